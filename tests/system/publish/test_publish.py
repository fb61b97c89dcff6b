"""Publication on a real registry: whenever it is ended, no tag lacks its proof."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.model import Decision, Publication, Reason, ReasonCode, Result
from pipeline.model.errors import RegistryError
from pipeline.stages.publish import publish
from tests.system.publish.publishing import (
    CELL,
    CHANNELS,
    LATER,
    LATEST,
    assert_every_tag_is_proven,
    moving,
    put,
    tags,
)

if TYPE_CHECKING:
    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")


EVERY = int(os.environ.get("TAGPROOF_KILLS", "4"))
"""Writes between two at which the registry shuts us out; 1 where somebody has the hours."""


class EndedError(Exception):
    """We were ended here."""


def test_the_tags_name_the_very_digest_that_was_tested(bench: Bench) -> None:
    """Immutable tag and channels, all written, all whole."""
    image, decision = bench.proven()
    result = put(bench, image, decision)
    names = (image.immutable_tag, *CHANNELS)
    ref = bench.destination.repository.at(image.ref.digest)
    assert result == Publication(CELL, ref, names, names)
    assert tags(bench) == dict.fromkeys(names, str(image.ref.digest))
    assert_every_tag_is_proven(bench)


def test_publishing_again_writes_nothing(bench: Bench, proxy: Proxy) -> None:
    """The second time only asks."""
    image, decision = bench.proven()
    put(bench, image, decision)
    again = put(bench.through(proxy), image, decision)
    assert isinstance(again, Publication)
    assert (again.written, proxy.writes) == ((), [])


def test_blobs_are_mounted_not_sent(bench: Bench, proxy: Proxy) -> None:
    """Of the image's three blobs none goes over the wire; only records are uploaded."""
    image, decision = bench.proven()
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    through = bench.through(proxy)
    staging = replace(bench.staging.repository, host=proxy.host)
    mounting = type(bench.staging)(staging)
    publish(
        image,
        decision,
        mounting,
        through.destination,
        CHANNELS,
        moves="forward",
        evidence=bench.evidence,
        gate=bench.gate(image),
    )
    assert sum("mount=" in path for _, path in proxy.writes) == len(manifest.blobs)
    for blob in manifest.blobs:
        assert not [path for method, path in proxy.writes if method == "PUT" and blob.digest.hex in path]


@pytest.mark.parametrize("refused", [Decision((Reason(ReasonCode.STALE, "", ""),)), Decision(())])
def test_without_the_gate_nothing_is_written(bench: Bench, proxy: Proxy, refused: Decision) -> None:
    """A decision that allows nothing publishes nothing."""
    image, allowed = bench.proven()
    given = allowed if refused.reasons else Decision(())
    result = put(bench.through(proxy), image, replace(given, reasons=refused.reasons))
    assert isinstance(result, Reason)
    assert (result.code, proxy.writes) == ("not-allowed", [])


def test_without_a_certificate_nothing_is_written(bench: Bench, proxy: Proxy) -> None:
    """A record alone is not enough, whatever the decision says."""
    image, allowed = bench.proven()
    result = put(bench.through(proxy), image, replace(allowed, certified=None))
    assert isinstance(result, Reason)
    assert (result.code, proxy.writes) == ("not-allowed", [])


def test_a_decision_about_another_image_is_refused(bench: Bench) -> None:
    """The proof's digest is compared once more."""
    _, decision = bench.proven()
    result = put(bench, bench.image(), decision)
    assert isinstance(result, Reason)
    assert (result.code, tags(bench)) == ("not-allowed", {})


def test_a_rebuilt_cell_moves_the_channels_forward_and_never_back(bench: Bench) -> None:
    """The newer proof wins; the older image keeps only its immutable tag."""
    old, old_decision = bench.proven("1" * 64)
    new, new_decision = bench.proven("2" * 64, finished=LATER)
    put(bench, old, old_decision)
    assert isinstance(put(bench, new, new_decision), Publication)
    refused = put(bench, old, old_decision)
    assert isinstance(refused, Reason)
    assert refused.code == "tag-newer"
    assert LATER in refused.text
    assert "rollback" in refused.hint
    expected = {old.immutable_tag: old, new.immutable_tag: new, **dict.fromkeys(CHANNELS, new)}
    assert tags(bench) == {tag: str(image.ref.digest) for tag, image in expected.items()}


def test_an_alias_may_leave_another_cell_whose_proof_is_newer(bench: Bench) -> None:
    """The matrix says which cell an alias means; only proofs of one cell are compared."""
    other = replace(CELL, vllm="0.31.0")
    old = bench.image("3" * 64, other)
    put(bench, old, bench.decision(old, bench.prove(old, finished=LATER)), channels=("latest",))
    image, decision = bench.proven()
    assert isinstance(put(bench, image, decision), Publication)
    assert tags(bench)["latest"] == str(image.ref.digest)


def test_an_immutable_tag_is_never_moved(bench: Bench, proxy: Proxy) -> None:
    """The same inputs gave other bytes: somebody must look, and nothing is written."""
    put(bench, *bench.proven())
    before = tags(bench)
    image, decision = bench.proven(finished=LATER)
    result = put(bench.through(proxy), image, decision)
    assert isinstance(result, Reason)
    assert (result.code, proxy.writes, tags(bench)) == ("tag-immutable", [], before)


def test_no_channel_moves_where_the_matrix_says_never(bench: Bench, proxy: Proxy) -> None:
    """A first publication is no move; a second image is."""
    assert isinstance(put(bench, *bench.proven(), moves="never"), Publication)
    before = tags(bench)
    result = put(bench.through(proxy), *bench.proven("2" * 64, finished=LATER), moves="never")
    assert isinstance(result, Reason)
    assert (result.code, proxy.writes, tags(bench)) == ("tag-fixed", [], before)


def test_a_record_that_failed_does_not_hold_a_channel(bench: Bench) -> None:
    """A newer record of the published digest that says FAILED must not keep a good image out."""
    old, decision = bench.proven()
    put(bench, old, decision)
    failed = bench.prove(old, finished=LATEST, result=Result.FAILED)
    bench.evidence.copy([failed], bench.staging, bench.destination, old.ref.digest)
    assert isinstance(put(bench, *bench.proven("2" * 64, finished=LATER)), Publication)


# -- ended at any moment ------------------------------------------------------------------------------


def test_ended_after_any_step_no_tag_lacks_its_proof_and_a_rerun_finishes(bench: Bench) -> None:
    """The crash sweep by steps: end after step k, for all k, from a channel that names an older image."""
    for k in range(1, 100):
        own, image, decision = moving(bench)
        steps: list[str] = []

        def end(step: str, steps: list[str] = steps, k: int = k) -> None:
            steps.append(step)
            if len(steps) == k:
                raise EndedError

        try:
            put(own, image, decision, on_step=end)
        except EndedError:
            assert_every_tag_is_proven(own)
            assert isinstance(put(own, image, decision), Publication)
        else:
            break
        assert_every_tag_is_proven(own)
    assert len(steps) == 6 + 2 * (1 + len(CHANNELS))


def test_shut_out_after_any_write_no_tag_lacks_its_proof_and_a_rerun_finishes(
    bench: Bench, proxy: Proxy
) -> None:
    """The crash sweep by requests: the destination is closed to us after its k-th write."""
    for k in range(0, 100, EVERY):
        own, image, decision = moving(bench)
        proxy.seen.clear()

        def gone(_method: str, _path: str, k: int = k) -> Answer | None:
            return (403, {}, b"") if len(proxy.writes) > k else None

        proxy.before = gone
        try:
            result = put(own.through(proxy), image, decision)
        except RegistryError:
            assert_every_tag_is_proven(own)
            assert isinstance(put(own, image, decision), Publication)
        else:
            assert isinstance(result, Publication)
            break
        assert_every_tag_is_proven(own)
    assert k > 10
