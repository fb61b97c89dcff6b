"""Published images in a folder, and from there in another registry, with all that was signed of them."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.layout import Layout
from pipeline.model import Outcome, ReasonCode, Result
from pipeline.model.errors import GOOD, REFUSED, RegistryError
from pipeline.stages import attest
from tests.builders import check
from tests.system.publish.carrying import Carrier, at, carrier_of, tags_in
from tests.system.publish.owning import ago
from tests.system.publish.publishing import tags

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Image
    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")


@pytest.fixture
def carrier(bench: Bench, tmp_path: Path) -> Carrier:
    return carrier_of(bench, tmp_path)


def failure_of(bench: Bench, image: Image) -> bytes:
    """A record that says that the image failed, signed after all others."""
    failed = bench.record(image, result=Result.FAILED, checks=(check("serve", Outcome.FAILED),))
    return attest.sign(failed, bench.key)


def test_a_published_image_is_exported_and_imported_by_two_commands(carrier: Carrier) -> None:
    """The same digest under the same tags, and every statement beside it in its very bytes."""
    image, there = carrier.published(), at(carrier.bench, carrier.there)
    code, out, err = carrier.types("export", carrier.here.tagged("latest"), "--output", carrier.folder)
    assert (code, out.startswith(f"exported: {carrier.here}@{image.ref.digest}: ")) == (GOOD, True), err
    code, out, err = carrier.types("import", carrier.folder, "--repository", carrier.there)
    assert (code, out.startswith(f"imported: {carrier.there}@{image.ref.digest}: ")) == (GOOD, True), err
    assert tags_in(there) == tags(carrier.bench)
    assert there.intact(carrier.there.at(image.ref.digest))
    assert carrier.evidence_in(there, image) == carrier.evidence_in(carrier.bench.destination, image)
    code, out, _ = carrier.types("gate", carrier.there.tagged("latest"))
    assert (code, image.immutable_tag in out) == (GOOD, True)


def test_the_same_digest_is_in_a_second_registry_without_a_folder(carrier: Carrier) -> None:
    """A proof is of a digest; where it counts is policy. Nothing is proven again."""
    image, there = carrier.published(), at(carrier.bench, carrier.there)
    words = ("import", carrier.here.at(image.ref.digest), "--repository", carrier.there)
    code, out, err = carrier.types(*words)
    assert (code, out.startswith(f"imported: {carrier.there}@{image.ref.digest}: ")) == (GOOD, True), err
    assert tags_in(there) == tags(carrier.bench)
    assert carrier.evidence_in(there, image) == carrier.evidence_in(carrier.bench.destination, image)
    for repository in (carrier.here, carrier.there):
        assert carrier.judge.accept(repository.tagged("latest")).accepted


def test_a_folder_is_judged_without_any_registry(carrier: Carrier) -> None:
    """By the statements in it, as the repository that it was taken from, or as another one that is named."""
    image = carrier.published()
    carrier.exports(image)
    code, out, err = carrier.types("gate", f"oci:{carrier.folder}:latest")
    assert (code, f"@{image.ref.digest}: proven on" in out, err) == (GOOD, True, "")
    code, out, _ = carrier.types("gate", f"oci:{carrier.folder}@{image.ref.digest}")
    assert (code, out.startswith(f"yes: {carrier.here}@")) == (GOOD, True)
    code, out, _ = carrier.types("gate", f"oci:{carrier.folder}:latest", "--repository", "a.org/strange")
    assert (code, "the policy names no repository a.org/strange" in out) == (REFUSED, True)


@pytest.mark.needs("skopeo", "oras")
def test_other_programs_read_the_folder(carrier: Carrier, tmp_path: Path) -> None:
    """An image is found by its tag, and by oras also what refers to it."""
    image = carrier.published()
    carrier.exports(image)
    layout = Layout.read(carrier.folder)
    manifest = layout.manifest(image.ref.digest)
    inspected = subprocess.run(
        ["skopeo", "inspect", "--raw", f"oci:{carrier.folder}:latest"], capture_output=True, check=True
    )
    assert manifest
    assert inspected.stdout == manifest.body
    words = ("--from-oci-layout", f"{carrier.folder}:latest", "--to-oci-layout", f"{tmp_path}/copy:latest")
    subprocess.run(["oras", "copy", "--recursive", *words], capture_output=True, check=True)
    copied = Layout.read(tmp_path / "copy", carrier.here)
    assert copied.digest_of("latest") == image.ref.digest
    assert carrier.evidence_in(copied, image) == carrier.evidence_in(layout, image)


def test_an_image_that_the_policy_refuses_is_in_no_folder(carrier: Carrier) -> None:
    image = carrier.published()
    at_home = carrier.bench.destination.repository.at(image.ref.digest)
    attest.attach(carrier.bench.destination, at_home, failure_of(carrier.bench, image))
    code, out, _ = carrier.types("export", carrier.here.tagged("latest"), "--output", carrier.folder)
    assert (code, "failed later" in out) == (REFUSED, True)
    assert Layout.read(carrier.folder).images() == {}
    assert list((carrier.folder / "blobs" / "sha256").iterdir()) == []


def test_what_is_signed_in_the_other_registry_keeps_tags_off(carrier: Carrier) -> None:
    """The folder knows nothing of it; what lies beside the image there is judged before a tag is written."""
    image, there = carrier.published(), at(carrier.bench, carrier.there)
    carrier.exports(image)
    manifest = carrier.bench.destination.manifest(image.ref.digest)
    assert manifest
    there.mount_or_copy_blobs(manifest.blobs, carrier.bench.destination)
    there.put_manifest(manifest)
    attest.attach(there, carrier.there.at(image.ref.digest), failure_of(carrier.bench, image))
    (promotion,) = carrier.imports()
    assert (promotion.tags, promotion.reasons[0].code) == ((), ReasonCode.SUPERSEDED)
    assert tags_in(there) == {}


@pytest.mark.parametrize("of", ["a layer", "a statement", "the manifest"])
def test_a_folder_in_which_a_byte_was_changed_is_refused_by_name(carrier: Carrier, of: str) -> None:
    """And no tag is written."""
    image = carrier.published()
    carrier.exports(image)
    layout = Layout.read(carrier.folder)
    manifest = layout.manifest(image.ref.digest)
    assert manifest
    statement = carrier.bench.evidence.attestations_of(layout, image.ref.digest).statements[0].manifest
    carried = layout.manifest(statement)
    assert carried
    digest = {
        "a layer": manifest.layers[1].digest,
        "a statement": carried.layers[0].digest,
        "the manifest": manifest.digest,
    }[of]
    path = layout.path_of(digest)
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 1
    path.write_bytes(body)
    with pytest.raises(RegistryError, match=f"{digest.hex} was changed"):
        carrier.imports()
    assert tags_in(at(carrier.bench, carrier.there)) == {}


def test_other_bytes_than_those_of_a_layer_are_in_no_folder(
    bench: Bench, proxy: Proxy, tmp_path: Path
) -> None:
    """A registry that gives them is named, with the layer."""
    carrier = carrier_of(bench, tmp_path, host=proxy.host)
    image = carrier.published()
    manifest = bench.destination.manifest(image.ref.digest)
    assert manifest
    layer = manifest.layers[0].digest

    def change(method: str, path: str, answer: Answer) -> Answer:
        status, headers, body = answer
        return (status, headers, body[::-1]) if (method, path[-64:]) == ("GET", layer.hex) else answer

    proxy.after = change
    with pytest.raises(RegistryError, match=f"{carrier.here}@{layer}"):
        carrier.exports(image)
    assert list(carrier.folder.rglob(f"*{layer.hex}*")) == []
    assert Layout.read(carrier.folder).tags() == ()


def test_no_channel_goes_back_to_an_older_proof_and_no_immutable_tag_moves(carrier: Carrier) -> None:
    """Last month's folder after this month's: its image comes, by its digest and under its own tag."""
    old = carrier.published("1" * 64, **ago(hours=2))
    carrier.exports(old)
    new = carrier.published("2" * 64, **ago(hours=1))
    newer = replace(carrier, folder=carrier.folder.parent / "newer")
    newer.exports(new)
    assert [promotion.reasons for promotion in newer.imports()] == [()]
    (promotion,) = carrier.imports()
    assert promotion.tags == (old.immutable_tag,)
    assert {reason.code for reason in promotion.reasons} == {ReasonCode.TAG_NEWER}
    found = tags_in(at(carrier.bench, carrier.there))
    assert (found["latest"], found[old.immutable_tag]) == (str(new.ref.digest), str(old.ref.digest))
