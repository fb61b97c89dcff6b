"""What lies beside an image on a real registry: nothing that was signed is lost, hidden or overwritten."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.registry import EMPTY, OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest
from pipeline.adapters.registry.referrers import fallback_tag, own_tags
from pipeline.formats.dsse import BUNDLE
from pipeline.model import Digest, Image, Publication, Reason, Result
from pipeline.model.errors import RegistryError
from pipeline.stages import attest
from tests.system.publish.publishing import LATER, assert_every_tag_is_proven, put, tags

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry
    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")

FIRST, SECOND = "2031-01-01T00:00:00Z", "2031-01-01T00:00:01Z"


def fallback_of(registry: Registry, subject: Digest) -> Manifest:
    """The list of referrers that all writers share."""
    manifest = registry.manifest(fallback_tag(subject))
    assert manifest
    return manifest


def listing(*entries: Any) -> Manifest:
    """A list of referrers with these entries."""
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(entries)}
    return Manifest(json.dumps(document).encode(), OCI_INDEX)


def junk(bench: Bench, image: Image, count: int) -> list[dict[str, Any]]:
    """Entries of manifests that look as if they carried records, and carry none."""
    empty = {**bench.staging.put_blob(b"{}").plain, "mediaType": EMPTY}
    subject = bench.staging.manifest(image.ref.digest)
    assert subject

    def one(number: int) -> dict[str, Any]:
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": BUNDLE,
            "config": empty,
            "layers": [empty],
            "subject": subject.descriptor.plain,
            "annotations": {"number": str(number)},
        }
        manifest = Manifest(json.dumps(document).encode(), OCI_MANIFEST)
        bench.staging.put_manifest(manifest)
        return {**manifest.descriptor.plain, "artifactType": BUNDLE}

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(count)))


def is_found_by_cosign(bench: Bench, image: Image) -> bool:
    """The README's own command, which reads the older list."""
    from pipeline.adapters import signing_keys  # noqa: PLC0415 - only here

    done = subprocess.run(
        [
            *("cosign", "verify-attestation", "--key", "env://PUBLIC_KEY"),
            *("--type", attest.PREDICATE, "--insecure-ignore-tlog=true"),
            str(bench.destination.repository.at(image.ref.digest)),
        ],
        env={
            "PUBLIC_KEY": signing_keys.public_pem(bench.key.public_key()).decode(),
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": "/nonexistent",
        },
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def test_a_list_that_loses_its_entries_loses_no_statement(bench: Bench) -> None:
    """Whoever writes an older list later takes entries out of it; each statement has a tag of its own."""
    image, _ = bench.proven()
    before = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    bench.staging.put_manifest(listing(), fallback_tag(image.ref.digest))
    after = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert after.statements == before.statements
    assert set(after.unlisted) == {one.manifest for one in before.statements}


def test_what_the_lists_lack_is_entered_by_whoever_attaches_next(bench: Bench) -> None:
    """Its own statement, and those of others."""
    image, _ = bench.proven()
    bench.staging.put_manifest(listing(), fallback_tag(image.ref.digest))
    bench.prove(image, finished=LATER)
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert (len(found.statements), found.unlisted) == (3, ())


@pytest.mark.needs("cosign")
@pytest.mark.parametrize("layout", ["the referrers' list", "the older list"])
def test_what_was_ended_between_two_lists_is_completed_by_publishing_again(bench: Bench, layout: str) -> None:
    """Killed before the second list was written: the tags are right, and cosign finds nothing."""
    image, decision = bench.proven()
    put(bench, image, decision)
    tag = fallback_tag(image.ref.digest)
    tag = tag if layout == "the referrers' list" else f"{tag}.att"
    assert bench.destination.delete_tag(tag)
    assert bench.evidence.attestations_of(bench.destination, image.ref.digest).unlisted
    assert isinstance(put(bench, image, decision), Publication)
    assert bench.evidence.attestations_of(bench.destination, image.ref.digest).unlisted == ()
    assert is_found_by_cosign(bench, image)


def test_more_than_is_read_is_no_answer_and_repair_makes_it_one(bench: Bench) -> None:
    """FAILED, a thousand times junk, PASSED: whoever chose the order would choose the verdict."""
    image = bench.image()
    bench.prove(image, finished=SECOND, result=Result.FAILED)
    failed = fallback_of(bench.staging, image.ref.digest).document["manifests"]
    bench.prove(image, finished=FIRST)
    passed = fallback_of(bench.staging, image.ref.digest).document["manifests"][1:]
    bench.staging.put_manifest(
        listing(*failed, *junk(bench, image, 999), *passed), fallback_tag(image.ref.digest)
    )
    with pytest.raises(RegistryError, match=r"1001 things refer to(.|\n)*pipeline repair") as error:
        bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert f"repair {image.ref}" in error.value.hint
    attest.clean(bench.staging, image.ref.digest, bench.evidence.trusted, lambda _: None)
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert [proof.record.result for proof in found.proofs] == [Result.FAILED, Result.PASSED]
    assert (found.rejected, found.unlisted) == ((), ())


def test_repair_removes_nothing_that_merely_stands_in_a_list(bench: Bench) -> None:
    """Whoever may write a list may name a published image in it."""
    image, _ = bench.proven()
    other, decision = bench.proven("2" * 64)
    put(bench, other, decision)
    entry = Descriptor(BUNDLE, other.ref.digest, 10, BUNDLE).plain
    bench.destination.put_manifest(listing(entry), fallback_tag(image.ref.digest))
    attest.clean(bench.destination, image.ref.digest, bench.evidence.trusted, lambda _: None)
    assert tags(bench)["latest"] == str(other.ref.digest)
    assert fallback_of(bench.destination, image.ref.digest).document["manifests"] == []


def test_repair_keeps_what_others_attached_and_what_others_signed(bench: Bench) -> None:
    """A stranger's statement counts for nothing here, and is his all the same; so are other things."""
    image, _ = bench.proven()
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    note = bench.staging.attach(manifest.descriptor, "application/vnd.example.note", b"a note", {})
    before = fallback_of(bench.staging, image.ref.digest).document["manifests"]
    attest.clean(bench.staging, image.ref.digest, {}, lambda _: None)
    assert fallback_of(bench.staging, image.ref.digest).document["manifests"] == before
    assert (
        bench.staging.referrers(image.ref.digest, "application/vnd.example.note").descriptors[0].digest
        == note
    )


def image_in_place(bench: Bench) -> Manifest:
    """An image, where a list should be."""
    manifest = bench.staging.manifest(bench.image().ref.digest)
    assert manifest
    return manifest


@pytest.mark.parametrize("suffix", ["", ".att"], ids=["the referrers' list", "the older list"])
def test_something_else_under_the_tag_of_a_list_is_told_never_overwritten_and_repaired(
    bench: Bench, suffix: str
) -> None:
    """What is signed can still be read; what cannot be listed is an error that names the way out."""
    image, _ = bench.proven()
    tag = f"{fallback_tag(image.ref.digest)}{suffix}"
    foreign = image_in_place(bench) if not suffix else listing()
    bench.staging.put_manifest(foreign, tag)
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert len(found.statements) == 2
    assert "list-foreign" in {reason.code for reason in found.rejected}
    with pytest.raises(RegistryError, match="holds something else") as error:
        bench.prove(image, finished=LATER)
    assert f"repair {image.ref}" in error.value.hint
    assert bench.staging.digest_of(tag) == foreign.digest
    attest.clean(bench.staging, image.ref.digest, bench.evidence.trusted, lambda _: None)
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert (len(found.statements), found.rejected, found.unlisted) == (3, (), ())


def test_a_list_with_text_that_is_no_unicode_is_told(bench: Bench, proxy: Proxy) -> None:
    """A lone surrogate can be read as JSON and written by nobody."""
    image, _ = bench.proven()
    tag = fallback_tag(image.ref.digest)
    body = b'{"schemaVersion": 2, "mediaType": "%s", "manifests": [], "x": "\\ud800"}' % OCI_INDEX.encode()

    def odd(method: str, path: str) -> Answer | None:
        return (
            (200, {"Content-Type": OCI_INDEX}, body) if method == "GET" and path.endswith(f"/{tag}") else None
        )

    proxy.before = odd
    through = bench.through(proxy).destination
    registry = type(through)(type(through.repository)(proxy.host, bench.staging.repository.path))
    found = bench.evidence.attestations_of(registry, image.ref.digest)
    assert len(found.statements) == 2
    with pytest.raises(RegistryError, match="holds something else"):
        attest.complete_lists(registry, image.ref.digest)


def test_a_tag_that_shows_another_statement_than_its_name_says_is_told(bench: Bench) -> None:
    """Somebody moved it: what it showed may be gone."""
    image, decision = bench.proven()
    assert decision.proof
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    bench.staging.put_manifest(manifest, f"{own_tags(image.ref.digest)}{'0' * 32}")
    (reason,) = bench.evidence.attestations_of(bench.staging, image.ref.digest).rejected
    assert "names another manifest" in reason.text


# -- statements that are gone --------------------------------------------------------------------------


def chained(bench: Bench, image: Image, **changes: Any) -> Digest:
    """Sign and attach a record as verification does: it names what it saw."""
    seen = bench.evidence.attestations_of(bench.staging, image.ref.digest).links
    bundle = attest.sign(bench.record(image, **changes), bench.key, previous=seen)
    return attest.attach(bench.staging, image.ref, bundle)


def test_a_failure_that_was_taken_away_is_missed_by_what_was_signed_after_it(bench: Bench) -> None:
    """Whoever may delete cannot make it unsaid, unless he deletes all that came later as well."""
    image = bench.image()
    bench.certify(image)
    failed = chained(bench, image, finished=FIRST, result=Result.FAILED, proof_key="8" * 64)
    chained(bench, image, finished=SECOND)
    assert bench.gate(image).decide(bench.evidence.attestations_of(bench.staging, image.ref.digest)).allowed
    assert bench.staging.delete_manifest(failed)
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert found.missing == (failed,)
    codes = {reason.code for reason in bench.gate(image).decide(found).reasons}
    assert codes == {"statement-missing"}


def test_an_image_that_is_tried_again_does_without_what_is_gone(bench: Bench) -> None:
    """A cell is never stuck: the new record says which statements it did not see."""
    image = bench.image()
    bench.certify(image)
    gone = chained(bench, image, finished=FIRST)
    chained(bench, image, finished=SECOND)
    bench.staging.delete_manifest(gone)
    chained(bench, image, finished=LATER)
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert found.missing == ()
    assert bench.gate(image).decide(found).allowed


def test_an_older_list_put_back_hides_nothing(bench: Bench) -> None:
    """FAILED came after PASSED; the list of before is put back."""
    image = bench.image()
    chained(bench, image, finished=FIRST)
    old = fallback_of(bench.staging, image.ref.digest)
    chained(bench, image, finished=SECOND, result=Result.FAILED)
    bench.staging.put_manifest(old, fallback_tag(image.ref.digest))
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert [proof.record.result for proof in found.proofs] == [Result.FAILED, Result.PASSED]


def test_a_veto_is_carried_to_the_destination_with_all_else(bench: Bench) -> None:
    """Of one image, what speaks against it is copied before its tags, and refuses them."""
    image, decision = bench.proven(finished=FIRST)
    put(bench, image, decision)
    bench.prove(image, finished=SECOND, result=Result.FAILED)
    refused = put(bench, image, decision)
    assert isinstance(refused, Reason)
    assert (refused.code, "says FAILED" in refused.text) == ("not-allowed", True)
    there = bench.evidence.attestations_of(bench.destination, image.ref.digest)
    assert Result.FAILED in {proof.record.result for proof in there.proofs}


def test_ordinary_attachers_lose_nothing(bench: Bench) -> None:
    """Sixteen at once, at the speed of the machine."""
    image = bench.image()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: bench.prove(image, attempt=n, result=Result.FAILED), range(1, 17)))
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert (len(found.proofs), found.unlisted) == (16, ())


def test_every_tag_of_a_repository_with_evidence_is_proven(bench: Bench) -> None:
    """What the other tests of this file stand on."""
    put(bench, *bench.proven())
    assert_every_tag_is_proven(bench)
