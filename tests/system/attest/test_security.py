"""What docs/security.md says of whoever may write or delete beside an image, and no other test shows."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.registry import OCI_MANIFEST, ContentError, Manifest, Registry
from pipeline.adapters.registry.referrers import MAX_REFERRERS, fallback_tag, own_tag
from pipeline.formats.oci import EMPTY, OCI_INDEX
from pipeline.model import Check, Digest, Outcome, Publication, Reason, Result
from pipeline.model.errors import RegistryError
from pipeline.stages import attest
from pipeline.stages.publish import carry, withdraw
from tests.system.publish.publishing import CELL, CHANNELS, LATER, LATEST, put, tags, unreadable_after_write

if TYPE_CHECKING:
    from pipeline.model import Attestations, Image
    from tests.system.conftest import Bench, Proxy

pytestmark = pytest.mark.needs("registry")

FAILED = {
    "result": Result.FAILED,
    "checks": (Check(name="serve", outcome=Outcome.FAILED, seconds=1, expected="up", seen="down"),),
}
EMPTY_LIST = Manifest(
    json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode(), OCI_INDEX
)


def attestations(bench: Bench, image: Image) -> Attestations:
    """What lies beside an image in staging."""
    return bench.evidence.attestations_of(bench.staging, image.ref.digest)


def sign(bench: Bench, image: Image, **changes: Any) -> Digest:
    """A record as verification makes it: it names what lies there already."""
    record = bench.record(image, **changes)
    bundle = attest.sign(record, bench.key, previous=attestations(bench, image).links)
    return attest.attach(bench.staging, image.ref, bundle)


def codes(bench: Bench, image: Image) -> set[str]:
    """What the gate has against the image."""
    return {reason.code for reason in bench.gate(image).decide(attestations(bench, image)).reasons}


def delete(bench: Bench, image: Image, statement: Digest) -> None:
    """Take a statement away, and its entry in the list that others read, as far as one may."""
    bench.staging.delete_manifest(statement)
    bench.staging.put_manifest(EMPTY_LIST, fallback_tag(image.ref.digest))


def failed_then_passed(bench: Bench) -> tuple[Image, Digest]:
    """An image that failed, and passed a year later by another suite; and the statement of its failure."""
    image = bench.image()
    failure = sign(bench, image, finished=LATER, proof_key="3" * 64, **FAILED)
    bench.certify(image)
    sign(bench, image, finished=LATEST)
    return image, failure


# -- who may delete -----------------------------------------------------------------------------------


def test_a_statement_that_was_deleted_is_missed_while_another_names_it(bench: Bench) -> None:
    """The image had failed before it passed; whoever takes the failure away does not make it better."""
    image, failure = failed_then_passed(bench)
    assert codes(bench, image) == set()
    delete(bench, image, failure)
    assert attestations(bench, image).missing == (failure,)
    assert codes(bench, image) == {"statement-missing"}


def test_an_image_that_is_tried_again_may_do_without_what_is_gone(bench: Bench) -> None:
    """The new record names what was lost, so that the loss itself stays signed."""
    image, failure = failed_then_passed(bench)
    delete(bench, image, failure)
    sign(bench, image, finished="2033-01-01T00:00:00Z")
    assert codes(bench, image) == set()
    assert attestations(bench, image).proofs[0].links.lost == (failure,)


def test_a_statement_that_was_deleted_comes_back_from_where_a_copy_is(bench: Bench) -> None:
    """From the destination to staging, as a repair brings it."""
    image, failure = failed_then_passed(bench)
    carry(image, bench.staging, bench.destination, bench.evidence)
    delete(bench, image, failure)
    assert codes(bench, image) == {"statement-missing"}
    carry(image, bench.destination, bench.staging, bench.evidence)
    assert codes(bench, image) == set()


def test_the_newest_statement_can_be_deleted_without_a_trace(bench: Bench) -> None:
    """What remains: nothing names the newest one, and there is no log elsewhere."""
    image = bench.image()
    bench.certify(image)
    sign(bench, image, finished=LATER)
    failure = sign(bench, image, finished=LATEST, proof_key="3" * 64, **FAILED)
    assert "not-passed" in codes(bench, image)
    delete(bench, image, failure)
    assert codes(bench, image) == set()


def test_a_channel_whose_image_lost_its_statements_is_not_taken_for_an_older_one(bench: Bench) -> None:
    """Nobody knows any more what it was: it may be newer than what is published now."""
    newer, decision = bench.proven("2" * 64, finished=LATEST)
    assert isinstance(put(bench, newer, decision), Publication)
    for one in bench.evidence.attestations_of(bench.destination, newer.ref.digest).statements:
        bench.destination.delete_manifest(one.manifest)
    older, decision = bench.proven("1" * 64, finished=LATER)
    refused = put(bench, older, decision)
    assert isinstance(refused, Reason)
    assert refused.code == "tag-unknown"
    assert tags(bench)[CHANNELS[0]] == str(newer.ref.digest)


# -- who may write ------------------------------------------------------------------------------------


def test_an_empty_list_in_the_place_of_the_list_hides_nothing(bench: Bench) -> None:
    """Each statement has a tag of its own; the list is for others to read."""
    image, failure = failed_then_passed(bench)
    bench.staging.put_manifest(EMPTY_LIST, fallback_tag(image.ref.digest))
    seen = attestations(bench, image)
    assert failure in {one.manifest for one in seen.proofs}
    assert len(seen.unlisted) == len(seen.statements)


def test_whoever_overwrites_the_tag_of_a_statement_is_seen(bench: Bench) -> None:
    """It is missed as one that was deleted is, and the tag is told."""
    image, failure = failed_then_passed(bench)
    bench.staging.put_manifest(EMPTY_LIST, fallback_tag(image.ref.digest))
    bench.staging.put_manifest(EMPTY_LIST, own_tag(image.ref.digest, failure))
    assert attestations(bench, image).missing == (failure,)
    assert codes(bench, image) == {"statement-missing"}
    assert any("names another manifest" in one.text for one in attestations(bench, image).rejected)


def test_more_beside_an_image_than_is_read_is_no_answer(bench: Bench, proxy: Proxy) -> None:
    """Whoever may write there chooses the order, so a part of it would say what he likes."""
    image, _ = failed_then_passed(bench)
    names = [
        own_tag(image.ref.digest, Digest.of(bytes([number % 256, number // 256])))
        for number in range(MAX_REFERRERS)
    ]
    body = json.dumps({"name": "test", "tags": names}).encode()
    proxy.before = lambda _method, path: (200, {}, body) if "/tags/list" in path else None
    through = Registry(replace(bench.staging.repository, host=proxy.host))
    with pytest.raises(RegistryError, match=f"more than {MAX_REFERRERS} are not read") as caught:
        bench.evidence.attestations_of(through, image.ref.digest)
    assert caught.value.hint.startswith(f"python -m pipeline repair {through.repository}@{image.ref.digest}")


def test_junk_beside_an_image_is_cleaned_away_and_what_we_signed_stays(bench: Bench) -> None:
    """Junk that looks as statements do in the registry, each with a tag of its own."""
    image, failure = failed_then_passed(bench)
    bury(bench.staging, image, 20)
    before = bench.staging.tags()
    attest.clean(bench.staging, image.ref.digest, bench.evidence.trusted, lambda _: None)
    assert len(before) - len(bench.staging.tags()) == 20
    assert failure in {one.manifest for one in attestations(bench, image).proofs}
    assert codes(bench, image) == set()


def bury(staging: Registry, image: Image, count: int) -> None:
    """So many more things refer to the image, each under a tag as statements have."""
    subject = staging.manifest(image.ref.digest)
    assert subject
    empty = {**staging.put_blob(b"{}").plain, "mediaType": EMPTY}

    def one(number: int) -> None:
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": empty,
            "layers": [empty],
            "subject": subject.descriptor.plain,
            "annotations": {"number": str(number)},
        }
        junk = Manifest(json.dumps(document).encode(), OCI_MANIFEST)
        staging.store(junk, own_tag(image.ref.digest, junk.digest))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(count)))


def test_an_image_in_the_place_of_the_list_is_told_and_not_overwritten(bench: Bench) -> None:
    """The message names the command that makes a list of it again, and that does."""
    image = bench.image()
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    bench.staging.put_manifest(manifest, fallback_tag(image.ref.digest))
    with pytest.raises(ContentError) as caught:
        sign(bench, image)
    assert caught.value.hint == f"python -m pipeline repair {image.ref}"
    assert bench.staging.digest_of(fallback_tag(image.ref.digest)) == image.ref.digest
    attest.clean(bench.staging, image.ref.digest, bench.evidence.trusted, lambda _: None)
    assert len(attestations(bench, image).proofs) == 1
    assert attestations(bench, image).unlisted == ()


def stranger(bench: Bench, *names: str) -> Image:
    """An image without proof under these tags of the destination."""
    image = bench.image("9" * 64)
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    bench.destination.mount_or_copy_blobs(manifest.blobs, bench.staging)
    for name in names:
        bench.destination.put_manifest(manifest, name)
    return image


def test_a_channel_that_was_moved_to_an_image_without_proof_is_taken_off_it(bench: Bench) -> None:
    """It goes back to the newest image of the cell whose evidence holds; tags not asked for stay."""
    good, decision = bench.proven(finished=LATER)
    put(bench, good, decision)
    bad = stranger(bench, CHANNELS[0], "somebodys")
    left = withdraw(
        bench.destination,
        CELL,
        CHANNELS,
        evidence=bench.evidence,
        gate=bench.gate(good),
        on_step=lambda _: None,
    )
    assert left == ()
    assert tags(bench)[CHANNELS[0]] == str(good.ref.digest)
    assert tags(bench)["somebodys"] == str(bad.ref.digest)


def test_no_channel_is_set_back_to_an_image_without_proof(bench: Bench, proxy: Proxy) -> None:
    """It named that when we came; what we wrote and cannot read is the better one."""
    stranger(bench, CHANNELS[0])
    image, decision = bench.proven()
    proxy.after = unreadable_after_write(proxy, CHANNELS[0])
    with pytest.raises(RegistryError, match="whose evidence does not hold, so that was not put back"):
        put(bench.through(proxy), image, decision)
    assert tags(bench)[CHANNELS[0]] == str(image.ref.digest)


def test_an_image_without_proof_is_no_other_publisher(bench: Bench) -> None:
    """Whoever may write there announces what he likes; only what the gate allows is given way to."""
    image, decision = bench.proven()

    def announce(step: str) -> None:
        if step == "manifest stored":
            stranger(bench, f"{CELL.id}-{'f' * 12}")

    assert isinstance(put(bench, image, decision, on_step=announce), Publication)
    assert tags(bench)[CHANNELS[0]] == str(image.ref.digest)


def test_a_tag_is_removed_without_the_image_that_others_may_name(bench: Bench) -> None:
    """Distribution removes manifests only, and with one all of its tags: so the tag gets one of its own."""
    image, decision = bench.proven()
    put(bench, image, decision)
    assert bench.destination.delete_tag(CHANNELS[1])
    assert tags(bench) == dict.fromkeys((image.immutable_tag, CHANNELS[0]), str(image.ref.digest))
    assert bench.destination.intact(bench.destination.repository.at(image.ref.digest))
