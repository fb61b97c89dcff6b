"""Statements beside an image: stored in every list, found in order, and no neighbour hides or stops them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.registry import OCI_INDEX, OCI_MANIFEST, ContentError, Descriptor, Manifest
from pipeline.formats import dsse
from pipeline.model import (
    Attestations,
    Certified,
    Digest,
    Links,
    Proof,
    Reason,
    ReasonCode,
    canonical,
)
from pipeline.model.errors import RegistryError
from pipeline.stages import attest
from pipeline.stages.attest import certificates, store
from tests.unit.stages.attest.samples import (
    AGAIN,
    IMAGE,
    KEY,
    SIGNER,
    STRANGER,
    SUBJECT,
    TRUSTED,
    attach,
    attestations,
    certificate,
    names,
    odd_layers,
    other_layer,
    put_beside,
    record,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.adapters.registry import Registry
    from tests.memory_registry import MemoryRegistry

# -- storing and finding --------------------------------------------------------------------------------


def test_what_is_attached_is_found_and_in_every_list(staging: Registry) -> None:
    """By cosign of today in the referrers' list, by older ones in theirs, with what each looks for."""
    bundle = attest.sign(record(), KEY)
    digest = attach(staging, bundle)
    assert attestations(staging) == Attestations((Proof(record(), SIGNER, digest),))
    (listed,) = staging.referrers(SUBJECT, dsse.BUNDLE).descriptors
    assert (listed.digest, listed.artifact_type) == (digest, dsse.BUNDLE)
    assert dict(listed.annotations) == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": attest.PREDICATE,
    }
    older = staging.manifest(f"sha256-{SUBJECT.hex}.att")
    assert older is not None
    assert older.media_type == OCI_MANIFEST
    assert older.document["config"]["mediaType"] == "application/vnd.oci.image.config.v1+json"
    assert staging.blob(older.config.digest) == canonical(
        {"architecture": "", "os": "", "rootfs": {"type": "layers"}}
    )
    assert older.config.size == len(staging.blob(older.config.digest))
    (layer,) = older.document["layers"]
    assert layer == {
        "mediaType": "application/vnd.dsse.envelope.v1+json",
        "digest": layer["digest"],
        "size": len(staging.blob(Digest(layer["digest"]))),
        "annotations": {"dev.cosignproject.cosign/signature": "", "predicateType": attest.PREDICATE},
    }
    assert json.loads(staging.blob(Digest(layer["digest"]))) == json.loads(bundle)["dsseEnvelope"]


def test_statements_come_newest_first_whatever_the_lists_say(staging: Registry) -> None:
    """By the end of the run, and of one second by the attempt; certificates by their making."""
    made = [record(7), record(9), record(8, attempt=1), record(8, attempt=2)]
    for one in made:
        attach(staging, attest.sign(one, KEY))
    for second in (7, 9, 8):
        attach(staging, certificates.sign(certificate(second), KEY))
    found = attestations(staging)
    assert [one.record for one in found.proofs] == [made[1], made[3], made[2], made[0]]
    assert [one.certificate.created[-3:] for one in found.certificates] == ["09Z", "08Z", "07Z"]
    assert found.rejected == ()


def test_nothing_is_stored_beside_an_image_that_is_not_there(
    registry: MemoryRegistry, staging: Registry
) -> None:
    del registry.kept["a-staging"].manifests[str(SUBJECT)]
    registry.writes.clear()
    with pytest.raises(RegistryError) as raised:
        attach(staging, attest.sign(record(), KEY))
    assert raised.value.what == f"{staging.repository}@{SUBJECT} is not in the registry"
    assert raised.value.hint == "build it and verify it again"
    assert registry.writes == []


def test_only_a_bundle_of_ours_is_stored(staging: Registry) -> None:
    with pytest.raises(ValueError, match=r"^no bundle of ours: it holds no statement$"):
        attach(staging, b"{}")


def test_the_very_bytes_are_copied_into_every_list(registry: MemoryRegistry, staging: Registry) -> None:
    """The image itself may come later."""
    for body in (attest.sign(record(), KEY), certificates.sign(certificate(), KEY)):
        attach(staging, body)
    found, destination = attestations(staging), registry.at("a")
    attest.Evidence(TRUSTED).copy(found.statements, staging, destination, SUBJECT)
    assert attestations(destination) == found
    assert attestations(destination).unlisted == ()
    assert registry.kept["a"].manifests.keys() >= {str(one.manifest) for one in found.statements}
    kept = registry.kept["a"].blobs.items()
    assert kept <= registry.kept["a-staging"].blobs.items()


def test_a_statement_that_is_gone_cannot_be_copied(registry: MemoryRegistry, staging: Registry) -> None:
    digest = attach(staging, attest.sign(record(), KEY))
    found = attestations(staging).statements
    del registry.kept["a-staging"].manifests[str(digest)]
    with pytest.raises(RegistryError) as raised:
        attest.copy(found, staging, registry.at("a"), SUBJECT)
    assert raised.value.what == f"{staging.repository}@{digest} is not in the registry"


# -- neighbours -------------------------------------------------------------------------------------------


def second_layer(document: dict[str, Any]) -> None:
    document["layers"] *= 2


def no_layer(document: dict[str, Any]) -> None:
    document["layers"] = []


def large_layer(document: dict[str, Any]) -> None:
    document["layers"][0]["size"] = dsse.MAX_BUNDLE_BYTES + 1


def lost_layer(document: dict[str, Any]) -> None:
    document["layers"][0]["digest"] = f"sha256:{'e' * 64}"


NO_BUNDLE = "does not hold one bundle of sigstore"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (second_layer, NO_BUNDLE),
        (no_layer, NO_BUNDLE),
        (other_layer, NO_BUNDLE),
        (large_layer, NO_BUNDLE),
        (lost_layer, f"cannot be read: {{here}} lacks the blob sha256:{'e' * 64}"),
        (odd_layers, "cannot be read: {digest} (application/vnd.oci.image.manifest.v1+json) is no manifest"),
    ],
)
def test_a_broken_neighbour_is_a_reason_and_hides_nothing(
    staging: Registry, change: Callable[[dict[str, Any]], object], says: str
) -> None:
    """The gate goes on: a statement beside it counts as if it were alone."""
    ours = attach(staging, attest.sign(record(), KEY))
    broken = put_beside(staging, change)
    found = attestations(staging)
    assert [one.manifest for one in found.proofs] == [ours]
    (reason,) = found.rejected
    assert (reason.code, reason.hint) == ("record-malformed", AGAIN)
    assert reason.text.startswith(
        f"the record {broken} {says.format(digest=broken, here=staging.repository)}"
    )


def test_a_bundle_may_be_as_large_as_is_read(staging: Registry) -> None:
    """By what its manifest says of it, to the byte."""

    def large(document: dict[str, Any]) -> None:
        document["layers"][0]["size"] = dsse.MAX_BUNDLE_BYTES

    put_beside(staging, large)
    (reason,) = attestations(staging).rejected
    assert NO_BUNDLE not in reason.text


@pytest.mark.parametrize(("more", "is_refused"), [(0, False), (1, True)])
def test_a_neighbour_with_a_large_manifest_is_not_even_asked_for(
    staging: Registry, more: int, *, is_refused: bool
) -> None:
    """By the size that the list tells."""
    size = dsse.MAX_BUNDLE_BYTES + more
    entry = Descriptor(OCI_MANIFEST, Digest(f"sha256:{'d' * 64}"), size, dsse.BUNDLE)
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry.plain]}
    staging.put_manifest(Manifest(canonical(index), OCI_INDEX), f"sha256-{SUBJECT.hex}")
    (reason,) = attestations(staging).rejected
    expected = (
        ("record-malformed", f"the record {entry.digest} has a manifest of {size} bytes")
        if is_refused
        else ("record-missing", f"the record {entry.digest} is listed but not in the registry")
    )
    assert (reason.code, reason.text, reason.hint) == (*expected, AGAIN)


def test_what_a_stranger_signed_is_a_reason(staging: Registry) -> None:
    digest = attach(staging, attest.sign(record(), STRANGER))
    hint = ascii(dsse.fingerprint(STRANGER.public_key()))[:80]
    text = f"is not signed by a key that is trusted here; it names {hint} as its key"
    assert attestations(staging) == Attestations(
        rejected=(Reason(ReasonCode.RECORD_UNTRUSTED, f"the record {digest} {text}", AGAIN),),
        strangers=(hint,),
    )


def test_a_tag_that_shows_another_manifest_is_a_reason(staging: Registry) -> None:
    """It has the form of a statement's own tag."""
    tag = f"sha256-{SUBJECT.hex}.{'5' * 32}"
    staging.put_manifest(IMAGE, tag)
    text = f"{staging.repository}:{tag} names another manifest, {IMAGE.digest}"
    assert attestations(staging).rejected == (Reason(ReasonCode.RECORD_MALFORMED, text, AGAIN),)


@pytest.mark.parametrize("suffix", ["", ".att"])
def test_what_is_no_list_is_named_and_never_overwritten(
    registry: MemoryRegistry, staging: Registry, suffix: str
) -> None:
    """Under either tag; and what is trusted counts all the same."""
    ours = attach(staging, attest.sign(record(), KEY))
    tag = f"sha256-{SUBJECT.hex}{suffix}"
    del registry.kept["a-staging"].blobs[names(staging, ".att")[0]]  # or there would be nothing to write
    registry.kept["a-staging"].manifests["sha256:x"] = ("application/vnd.oci.image.manifest.v1+json", b"{}")
    registry.kept["a-staging"].tags[tag] = "sha256:x"
    found = attestations(staging)
    assert [one.manifest for one in found.proofs] == [ours]
    assert [reason.code for reason in found.rejected] == ["list-foreign"]
    assert tag in found.rejected[0].text
    assert found.rejected[0].hint == f"python -m pipeline repair {staging.repository}@{SUBJECT}"
    registry.writes.clear()
    with pytest.raises(ContentError) as raised:
        store.complete_lists(staging, SUBJECT)
    assert raised.value.hint == f"python -m pipeline repair {staging.repository}@{SUBJECT}"
    assert registry.writes == []


# -- what is not listed, and what is gone -------------------------------------------------------------------


def test_what_one_list_lacks_is_unlisted_until_it_is_entered(
    registry: MemoryRegistry, staging: Registry
) -> None:
    """Whoever overwrote which list; what a stranger signed is nobody's loss."""
    ours = attach(staging, attest.sign(record(), KEY))
    attach(staging, attest.sign(record(), STRANGER))
    assert attestations(staging).unlisted == ()
    for suffix in ("", ".att"):
        del registry.kept["a-staging"].tags[f"sha256-{SUBJECT.hex}{suffix}"]
        assert attestations(staging).unlisted == (ours,)
        store.complete_lists(staging, SUBJECT)
        assert attestations(staging).unlisted == ()


def test_the_older_list_is_written_once(registry: MemoryRegistry, staging: Registry) -> None:
    """Where nothing is lacking, nothing is stored."""
    attach(staging, attest.sign(record(), KEY))
    registry.writes.clear()
    store.complete_lists(staging, SUBJECT)
    assert registry.writes == []


def test_what_a_statement_names_and_is_gone_is_missing(staging: Registry) -> None:
    """Unless a proof was made in the knowledge of that; what is there, worthless or not, is not gone."""
    gone, lost = Digest(f"sha256:{'1' * 64}"), Digest(f"sha256:{'2' * 64}")
    strangers = attach(staging, attest.sign(record(), STRANGER))
    first = attach(staging, attest.sign(record(), KEY, previous=Links((gone, lost, strangers))))
    assert attestations(staging).missing == (gone, lost)
    attach(staging, attest.sign(record(6), KEY, previous=Links((first,), (lost,))))
    assert attestations(staging).missing == (gone,)


def test_a_certificate_misses_what_it_names_and_excuses_nothing(staging: Registry) -> None:
    """Only an image that was tried again may do without a statement."""
    gone = Digest(f"sha256:{'1' * 64}")
    links = Links((gone,), (gone,))
    digest = attach(staging, certificates.sign(certificate(), KEY, previous=links))
    found = attestations(staging)
    assert found.certificates == (Certified(certificate(), SIGNER, digest, links),)
    assert found.missing == (gone,)
