"""Publication on a real registry: whenever it is ended, no tag lacks its proof."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.registry import limits
from pipeline.model import Decision, Image, Publication, Reason, ReasonCode, Result
from pipeline.model.errors import RegistryError
from pipeline.stages.publish import named, publish
from tests.builders import CPU_CELL

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Answer, Bench, Proxy, Server

pytestmark = pytest.mark.needs("registry")

CELL = CPU_CELL
CHANNELS = (CELL.id, "latest")
LATER, LATEST = "2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z"


class EndedError(Exception):
    """We were ended here."""


def put(bench: Bench, image: Image, decision: Decision, **changes: Any) -> Publication | Reason:
    """Publish under two channels that may move forward, unless told otherwise."""
    given: dict[str, Any] = {
        "moves": "forward",
        "evidence": bench.evidence,
        "gate": bench.gate(image),
        "channels": CHANNELS,
        **changes,
    }
    return publish(image, decision, bench.staging, bench.destination, **given)


def tags(bench: Bench) -> dict[str, str]:
    """The tags that people see, and their digests."""
    names = [name for name in bench.destination.tags() if not name.startswith("sha256-")]
    return {tag: str(digest) for tag, digest in named(bench.destination, names).items()}


def assert_every_tag_is_proven(bench: Bench) -> None:
    """What must hold at every moment: the gate allows each tag, by what lies in the destination alone."""
    digests = set(named(bench.destination, tags(bench)).values())
    for digest in digests:
        beside = bench.evidence.attestations_of(bench.destination, digest)
        ref = bench.destination.repository.at(digest)
        assert bench.gate(Image(CELL, ref, "", "")).holds(digest, beside), f"{digest} has a tag and no proof"
        assert bench.destination.intact(ref)


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


def moving(bench: Bench) -> tuple[Bench, Image, Decision]:
    """Repositories of their own whose channels name an older image, and a newer one that is proven."""
    own = bench.elsewhere()
    put(own, *own.proven("1" * 64))
    return own, *own.proven("2" * 64, finished=LATER)


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
    assert len(steps) == 5 + 2 * (1 + len(CHANNELS))


def test_shut_out_after_any_write_no_tag_lacks_its_proof_and_a_rerun_finishes(
    bench: Bench, proxy: Proxy
) -> None:
    """The crash sweep by requests: the destination is closed to us after its k-th write, for all k."""
    for k in range(100):
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


# -- a registry that lies, and other publishers -------------------------------------------------------


def unreadable_after_write(proxy: Proxy, *tags: str) -> Callable[[str, str, Answer], Answer]:
    """A registry that says 201 to these tags and then answers 500 for their manifests."""

    def after(method: str, path: str, answer: Answer) -> Answer:
        tag = path.rpartition("/")[2]
        written = [path for method, path in proxy.writes if method == "PUT" and path.endswith(f"/{tag}")]
        broken = method == "GET" and tag in tags and len(written) == 1
        return (500, {}, b"") if broken else answer

    return after


def test_a_channel_that_was_taken_but_cannot_be_read_is_set_back(bench: Bench, proxy: Proxy) -> None:
    """A 201 may be a lie; the previous digest is restored, and the run fails."""
    old, old_decision = bench.proven("1" * 64)
    put(bench, old, old_decision)
    new, decision = bench.proven("2" * 64, finished=LATER)
    proxy.after = unreadable_after_write(proxy, CELL.id)
    with pytest.raises(RegistryError, match=f"names {old.ref.digest} again"):
        put(bench.through(proxy), new, decision)
    assert tags(bench)[CELL.id] == str(old.ref.digest)


def test_a_new_tag_that_was_taken_but_cannot_be_read_is_left_on_the_proven_image(
    bench: Bench, proxy: Proxy
) -> None:
    """Its manifest is never removed: the tags of another publisher may name it by now."""
    image, decision = bench.proven()
    proxy.after = unreadable_after_write(proxy, image.immutable_tag)
    with pytest.raises(RegistryError, match="it did not exist before"):
        put(bench.through(proxy), image, decision)
    assert tags(bench) == {image.immutable_tag: str(image.ref.digest)}
    assert_every_tag_is_proven(bench)


def test_a_channel_whose_read_back_has_other_bytes_is_set_back(bench: Bench, proxy: Proxy) -> None:
    """The right digest in the header and other bytes in the body."""
    old, old_decision = bench.proven("1" * 64)
    put(bench, old, old_decision)
    new, decision = bench.proven("2" * 64, finished=LATER)

    def swap(method: str, path: str, answer: Answer) -> Answer:
        status, headers, body = answer
        ours = headers.get("Docker-Content-Digest") == str(new.ref.digest)
        swapped = method == "GET" and path.endswith(f"/{CELL.id}") and ours
        return (status, headers, body + b" ") if swapped else answer

    proxy.after = swap
    with pytest.raises(RegistryError, match="other bytes"):
        put(bench.through(proxy), new, decision)
    assert tags(bench)[CELL.id] == str(old.ref.digest)


def test_a_destination_that_loses_the_record_gets_no_tag(bench: Bench, proxy: Proxy) -> None:
    """The record was taken and is not given back: nothing more is written."""
    image, decision = bench.proven()

    def lose(method: str, path: str, answer: Answer) -> Answer:
        assert decision.proof
        lost = method == "GET" and decision.proof.manifest.hex in path
        return (404, {}, b"{}") if lost else answer

    proxy.after = lose
    with pytest.raises(RegistryError, match="does not give it back"):
        put(bench.through(proxy), image, decision)
    assert tags(bench) == {}


def test_of_two_publishers_the_one_that_was_overwritten_says_so(bench: Bench) -> None:
    """Another image lands on the channel between our write and our reading."""
    image, decision = bench.proven()
    other = bench.image("2" * 64)
    manifest = bench.staging.manifest(other.ref.digest)
    assert manifest

    def interfere(step: str) -> None:
        if step == "tag latest written":
            bench.destination.mount_or_copy_blobs(manifest.blobs, bench.staging)
            bench.destination.put_manifest(manifest, "latest")

    result = put(bench, image, decision, on_step=interfere)
    assert isinstance(result, Reason)
    assert result.code == "tag-race"
    assert tags(bench)["latest"] == str(other.ref.digest)


def test_a_channel_that_moved_since_it_was_looked_at_is_left_alone(bench: Bench) -> None:
    """Another image lands on the channel after we decided and before we write."""
    image, decision = bench.proven()
    other, other_decision = bench.proven("2" * 64, finished=LATER)

    def interfere(step: str) -> None:
        if step == "manifest stored":
            put(bench, other, other_decision)

    result = put(bench, image, decision, on_step=interfere)
    assert isinstance(result, Reason)
    assert result.code == "tag-race"
    assert tags(bench)["latest"] == str(other.ref.digest)


def test_two_publishers_of_the_same_image_both_succeed(bench: Bench) -> None:
    """They do the same things at the same time, so neither loses."""
    image, decision = bench.proven()
    start = Barrier(4)

    def one(_: int) -> Publication | Reason:
        start.wait()
        return put(bench, image, decision)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, range(4)))
    assert all(isinstance(result, Publication | Reason) for result in results)
    assert tags(bench) == dict.fromkeys((image.immutable_tag, *CHANNELS), str(image.ref.digest))
    assert [result for result in results if isinstance(result, Reason)] == []


# -- trouble ------------------------------------------------------------------------------------------


def test_a_read_only_registry_is_an_error_and_keeps_its_tags(own_bench: Bench, own_server: Server) -> None:
    """Nothing is written, and the message names the way out."""
    bench = own_bench
    put(bench, *bench.proven())
    image, decision = bench.proven("2" * 64, finished=LATER)
    before = tags(bench)
    own_server.stop()
    own_server.start(read_only=True)
    with pytest.raises(RegistryError, match=r"405(.|\n)*--repository"):
        put(bench, image, decision)
    assert tags(bench) == before


def test_a_registry_that_is_down_is_an_error(own_bench: Bench, own_server: Server) -> None:
    """It is asked for a while, then named."""
    bench = own_bench
    image, decision = bench.proven()
    own_server.stop()
    bench.destination.patience = 0.3
    with pytest.raises(RegistryError, match=f"{own_server.host} does not answer"):
        put(bench, image, decision)


def test_a_failure_that_is_signed_while_the_tags_are_written_takes_them_back(bench: Bench) -> None:
    """A channel that named a good image names that again."""
    old, old_decision = bench.proven("1" * 64)
    put(bench, old, old_decision)
    image, decision = bench.proven("2" * 64, finished=LATER)

    def fail(step: str) -> None:
        if step == "tag latest written":
            bench.prove(image, finished=LATEST, result=Result.FAILED)

    refused = put(bench, image, decision, on_step=fail)
    assert isinstance(refused, Reason)
    assert (refused.code, "latest: it names" in refused.text) == ("not-allowed", True)
    assert set(tags(bench).values()) == {str(old.ref.digest)}
    assert_every_tag_is_proven(bench)


def test_a_layer_that_the_destination_is_known_not_to_take_is_told_before_anything_is_sent(
    bench: Bench, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some registries end the upload of ten gigabytes after all of it was sent."""
    monkeypatch.setattr(limits, "LIMITS", (limits.Limit("127[.0-9:]*", 7999, "here"),))
    image, decision = bench.proven()
    refused = put(bench.through(proxy), image, decision)
    assert isinstance(refused, Reason)
    assert (refused.code, proxy.writes) == ("layer-too-large", [])
