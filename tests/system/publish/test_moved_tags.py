"""Tags that somebody else moved, and a registry that errs once: no tag lacks its proof."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from pipeline.model import Image, Publication, Reason, Result
from pipeline.model.errors import RegistryError
from pipeline.stages.publish import withdraw
from tests.system.publish.publishing import (
    CELL,
    CHANNELS,
    LATER,
    LATEST,
    assert_every_tag_is_proven,
    put,
    tags,
    unreadable_after_write,
)

if TYPE_CHECKING:
    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")


def once_after(proxy: Proxy, written: str, answer: Answer) -> None:
    """The first reading of this tag after it was written gets another answer: the registry is late."""
    answered: list[str] = []

    def before(method: str, path: str) -> Answer | None:
        is_tag = path.endswith(f"/manifests/{written}")
        if method == "GET" and is_tag and ("PUT", path) in proxy.seen and not answered:
            answered.append(path)
            return answer
        return None

    proxy.before = before


NOT_YET: Answer = (404, {}, b'{"errors": [{"code": "MANIFEST_UNKNOWN"}]}')


def move(bench: Bench, image: Image, *names: str) -> None:
    """Somebody puts tags onto an image that nobody proved."""
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    bench.destination.mount_or_copy_blobs(manifest.blobs, bench.staging)
    for name in names:
        bench.destination.put_manifest(manifest, name)


def test_one_reading_that_errs_moves_no_channel_back_onto_an_unproven_image(
    bench: Bench, proxy: Proxy
) -> None:
    """Somebody had moved it there; what we wrote is looked for again, and stays."""
    image, decision = bench.proven()
    move(bench, bench.image("2" * 64), CELL.id)
    once_after(proxy, CELL.id, NOT_YET)
    assert isinstance(put(bench.through(proxy), image, decision), Publication)
    assert tags(bench)[CELL.id] == str(image.ref.digest)


def test_a_channel_is_never_set_back_onto_an_unproven_image(bench: Bench, proxy: Proxy) -> None:
    """Our tag cannot be read for good; what it named before has no proof, so ours is left."""
    image, decision = bench.proven()
    move(bench, bench.image("2" * 64), CELL.id)
    proxy.after = unreadable_after_write(proxy, CELL.id)
    with pytest.raises(RegistryError, match="whose evidence does not hold, so that was not put back"):
        put(bench.through(proxy), image, decision)
    assert tags(bench)[CELL.id] == str(image.ref.digest)


def test_one_reading_that_errs_takes_no_tag_of_another_publisher_away(bench: Bench, proxy: Proxy) -> None:
    """He published the same image meanwhile, and was told so."""
    image, decision = bench.proven()
    once_after(proxy, image.immutable_tag, NOT_YET)

    def meanwhile(step: str) -> None:
        if step == f"tag {image.immutable_tag} written":
            assert isinstance(put(bench, image, decision), Publication)

    assert isinstance(put(bench.through(proxy), image, decision, on_step=meanwhile), Publication)
    assert tags(bench) == dict.fromkeys((image.immutable_tag, *CHANNELS), str(image.ref.digest))


def test_an_immutable_tag_that_was_moved_is_told_and_withdrawn(bench: Bench) -> None:
    """Channel and immutable tag name an unproven image: publishing names the way out, and that leads out."""
    image, decision = bench.proven()
    stranger = bench.image("2" * 64)
    move(bench, stranger, CELL.id, image.immutable_tag)
    refused = put(bench, image, decision)
    assert isinstance(refused, Reason)
    assert (refused.code, f"repair {CELL.id}" in refused.hint) == ("tag-moved", True)
    steps: list[str] = []
    left = withdraw(
        bench.destination,
        CELL,
        (image.immutable_tag, *CHANNELS),
        evidence=bench.evidence,
        gate=bench.gate(image),
        on_step=steps.append,
    )
    assert (left, tags(bench), len(steps)) == ((), {}, 2)
    assert isinstance(put(bench, image, decision), Publication)


def test_withdrawing_gives_a_channel_to_the_newest_image_that_holds_and_touches_no_other_tag(
    bench: Bench,
) -> None:
    """Of three images the middle one fails later; its own immutable tag is not asked for, and stays."""
    old, new = bench.proven("1" * 64), bench.proven("2" * 64, finished=LATER)
    put(bench, *old)
    put(bench, *new)
    failed = bench.prove(new[0], finished=LATEST, result=Result.FAILED)
    bench.evidence.copy([failed], bench.staging, bench.destination, new[0].ref.digest)
    withdraw(
        bench.destination,
        CELL,
        CHANNELS,
        evidence=bench.evidence,
        gate=bench.gate(new[0]),
        on_step=lambda _: None,
    )
    names = tags(bench)
    assert {names[channel] for channel in CHANNELS} == {str(old[0].ref.digest)}
    assert names[new[0].immutable_tag] == str(new[0].ref.digest)


def test_a_header_that_names_the_proven_digest_publishes_nothing(bench: Bench, proxy: Proxy) -> None:
    """The tag holds another manifest, and the registry says in a header that it is ours."""
    image, decision = bench.proven()
    put(bench, image, decision)
    move(bench, bench.image("2" * 64), CELL.id)

    def lie(_method: str, path: str, answer: Answer) -> Answer:
        told = {**answer[1], "Docker-Content-Digest": str(image.ref.digest)}
        return (answer[0], told, answer[2]) if path.endswith(f"/manifests/{CELL.id}") else answer

    proxy.after = lie
    with pytest.raises(RegistryError, match="other bytes"):
        put(bench.through(proxy), image, decision)


@pytest.mark.parametrize("how", ["its key is trusted no more", "its statements are gone"])
def test_a_channel_does_not_move_back_because_a_newer_image_cannot_be_judged(bench: Bench, how: str) -> None:
    """A digest whose evidence cannot be read is not older."""
    old, old_decision = bench.proven("1" * 64)
    rotated = replace(bench, key=generate_private_key(SECP256R1()))
    new, decision = rotated.proven("2" * 64, finished=LATER)
    put(rotated, new, decision)
    if how == "its statements are gone":
        for one in rotated.evidence.attestations_of(bench.destination, new.ref.digest).statements:
            bench.destination.delete_manifest(one.manifest)
        bench.destination.delete_tag(f"sha256-{new.ref.digest.hex}")
        bench.destination.delete_tag(f"sha256-{new.ref.digest.hex}.att")
    before = tags(bench)
    refused = put(bench, old, old_decision)
    assert isinstance(refused, Reason)
    assert (refused.code, f"repair {CELL.id}" in refused.hint, tags(bench)) == ("tag-unknown", True, before)


def test_evidence_that_vanishes_before_the_last_look_is_put_back(bench: Bench) -> None:
    """Between its read-back and the tags somebody deletes a record: it is brought once more."""
    image, decision = bench.proven()
    assert decision.proof
    record = decision.proof.manifest

    def vanish(step: str) -> None:
        if step == "tag latest written":
            assert bench.destination.delete_manifest(record)

    assert isinstance(put(bench, image, decision, on_step=vanish), Publication)
    assert_every_tag_is_proven(bench)


def test_evidence_that_cannot_be_put_back_takes_its_tags_with_it(bench: Bench) -> None:
    """The record is gone from both places before the last look: no tag stays on the image."""
    image, decision = bench.proven()
    assert decision.proof
    record = decision.proof.manifest

    def vanish(step: str) -> None:
        if step == "tag latest written":
            assert bench.destination.delete_manifest(record)
            assert bench.staging.delete_manifest(record)

    refused = put(bench, image, decision, on_step=vanish)
    assert isinstance(refused, Reason)
    assert (refused.code, tags(bench)) == ("not-allowed", {})
