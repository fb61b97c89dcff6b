"""The plain signature of an image: made once, beside those of others, and taken away again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.registry import OCI_MANIFEST, ContentError, Descriptor, Manifest
from pipeline.formats import simple_signing
from pipeline.model import Digest, canonical
from pipeline.model.errors import RegistryError
from pipeline.stages import attest
from pipeline.stages.attest import signatures, store
from tests.unit.stages.attest.samples import KEY, STRANGER, SUBJECT, TRUSTED, record

if TYPE_CHECKING:
    from pipeline.adapters.registry import Registry
    from pipeline.formats.dsse import PrivateKey
    from tests.memory_registry import MemoryRegistry

TAG = f"sha256-{SUBJECT.hex}.sig"


def by(registry: Registry, key: PrivateKey | None = KEY) -> attest.Signatures:
    """Signatures by a key, where ours is trusted."""
    return attest.Signatures(registry, registry.repository, TRUSTED, key)


def listed(registry: Registry) -> list[dict[str, Any]]:
    manifest = registry.manifest(TAG)
    assert manifest
    layers: list[dict[str, Any]] = manifest.document["layers"]
    return layers


def test_what_is_signed_names_the_repository_and_the_digest(staging: Registry) -> None:
    """In the words that cosign and containers/image look for."""
    assert by(staging).sign(SUBJECT)
    (entry,) = listed(staging)
    body = staging.blob(Digest(entry["digest"]))
    assert json.loads(body) == {
        "critical": {
            "identity": {"docker-reference": str(staging.repository)},
            "image": {"docker-manifest-digest": str(SUBJECT)},
            "type": "cosign container image signature",
        },
        "optional": {},
    }
    assert (entry["mediaType"], entry["size"]) == (
        "application/vnd.dev.cosign.simplesigning.v1+json",
        len(body),
    )
    assert set(entry["annotations"]) == {"dev.cosignproject.cosign/signature"}
    manifest = staging.manifest(TAG)
    assert manifest
    assert (manifest.media_type, staging.has_blob(manifest.config.digest)) == (OCI_MANIFEST, True)


def test_an_image_is_signed_once_by_one_key_and_beside_another(
    registry: MemoryRegistry, staging: Registry
) -> None:
    assert by(staging, STRANGER).sign(SUBJECT)
    assert not by(staging).has(SUBJECT)
    assert by(staging).sign(SUBJECT)
    before = listed(staging)
    registry.writes.clear()
    assert not by(staging).sign(SUBJECT)
    assert not by(staging, STRANGER).sign(SUBJECT)
    assert (len(before), listed(staging), registry.writes) == (2, before, [])
    assert by(staging).has(SUBJECT)


def test_without_a_key_nothing_is_signed(registry: MemoryRegistry, staging: Registry) -> None:
    registry.writes.clear()
    assert not by(staging, None).sign(SUBJECT)
    assert registry.writes == []


def test_our_signatures_are_taken_away_and_those_of_others_stay(
    registry: MemoryRegistry, staging: Registry
) -> None:
    by(staging, STRANGER).sign(SUBJECT)
    theirs = listed(staging)
    by(staging).sign(SUBJECT)
    assert by(staging, None).revoke(SUBJECT)
    assert (listed(staging), by(staging).has(SUBJECT)) == (theirs, False)
    registry.writes.clear()
    assert not by(staging).revoke(SUBJECT)
    assert registry.writes == []


def test_where_nothing_was_signed_there_is_nothing_to_take_away(
    registry: MemoryRegistry, staging: Registry
) -> None:
    registry.writes.clear()
    assert not by(staging).revoke(SUBJECT)
    assert (registry.writes, staging.manifest(TAG)) == ([], None)


def test_a_list_that_others_go_on_putting_back_is_an_error(
    staging: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    by(staging).sign(SUBJECT)
    monkeypatch.setattr(type(staging), "put_manifest", lambda *_: None)
    with pytest.raises(RegistryError, match=rf"{TAG}: others go on overwriting") as caught:
        by(staging).revoke(SUBJECT)
    assert "run the same command again" in caught.value.hint


def test_a_signature_whose_payload_is_gone_is_none_until_it_is_there_again(
    registry: MemoryRegistry, staging: Registry
) -> None:
    by(staging).sign(SUBJECT)
    payload = listed(staging)[0]["digest"]
    del registry.kept["a-staging"].blobs[payload]
    assert not by(staging).has(SUBJECT)
    by(staging).sign(SUBJECT)
    assert by(staging).has(SUBJECT)
    assert len(listed(staging)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"digest": str(Digest.of(store.COSIGN_CONFIG))},
        {"annotations": None},
        {"annotations": {}},
        {"annotations": {simple_signing.SIGNATURE: 7}},
        {"annotations": {simple_signing.SIGNATURE: ""}},
        {"annotations": {simple_signing.SIGNATURE: "no base64"}},
        {"annotations": {simple_signing.SIGNATURE: "é"}},
        {"annotations": {simple_signing.SIGNATURE: "QUJD"}},
    ],
)
def test_an_entry_that_is_no_signature_of_ours_counts_for_nothing_and_stays(
    change: dict[str, Any], staging: Registry
) -> None:
    image = staging.repository.at(SUBJECT)
    odd = {**simple_signing.entry(image, KEY), **change}
    assert not simple_signing.is_by(odd, image, KEY.public_key())
    put(staging, [odd, "text"])
    assert not by(staging).has(SUBJECT)
    assert by(staging).sign(SUBJECT)
    assert listed(staging)[:2] == [odd, "text"]


def test_a_signature_of_another_image_or_place_counts_for_nothing(
    registry: MemoryRegistry, staging: Registry
) -> None:
    """Copied from a mirror, or from beside an image that is good."""
    elsewhere = registry.at("b-staging").repository
    for image in (elsewhere.at(SUBJECT), staging.repository.at(Digest.of(b"another"))):
        entry = simple_signing.entry(image, KEY)
        put(staging, [entry])
        assert not by(staging).has(SUBJECT)
        assert simple_signing.is_by(entry, image, KEY.public_key())


def test_what_is_no_list_stops_a_signature_until_it_is_repaired(staging: Registry) -> None:
    staging.put_manifest(
        Manifest(canonical({"schemaVersion": 2, "mediaType": OCI_MANIFEST}), OCI_MANIFEST), TAG
    )
    assert not by(staging).has(SUBJECT)
    assert not by(staging).revoke(SUBJECT)
    with pytest.raises(ContentError, match=TAG) as caught:
        by(staging).sign(SUBJECT)
    assert "repair" in caught.value.hint
    said: list[str] = []
    attest.clean(staging, SUBJECT, TRUSTED, said.append)
    assert said == [f"tag {TAG} is a list again, of 0"]
    assert by(staging).sign(SUBJECT)


def test_the_tag_of_signatures_is_no_tag_of_an_image_nor_of_a_statement(staging: Registry) -> None:
    """So nothing that lists tags takes it for either, or removes it."""
    attest.attach(staging, staging.repository.at(SUBJECT), attest.sign(record(), KEY))
    by(staging).sign(SUBJECT)
    assert TAG in staging.tags()
    found = attest.Evidence(TRUSTED).attestations_of(staging, SUBJECT)
    assert (len(found.proofs), found.rejected, found.missing) == (1, (), ())
    attest.clean(staging, SUBJECT, TRUSTED, lambda _: None)
    assert by(staging).has(SUBJECT)


def test_the_list_is_where_cosign_looks_for_it(staging: Registry) -> None:
    assert signatures.list_of(staging, SUBJECT).tag == TAG


def put(registry: Registry, layers: list[Any]) -> None:
    """A list of signatures as somebody wrote it."""
    config = Descriptor("application/vnd.oci.image.config.v1+json", Digest.of(b"{}"), 2)
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.plain, "layers": layers}
    registry.put_manifest(Manifest(canonical(document), OCI_MANIFEST), TAG)
