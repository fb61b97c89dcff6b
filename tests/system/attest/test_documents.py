"""Documents beside an image: made once, carried along, read by cosign and by whoever asks for a bill."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline import matrix
from pipeline.adapters import checkout, signing_keys
from pipeline.adapters.registry import OCI_MANIFEST, Manifest
from pipeline.model import (
    BILLS,
    CellState,
    Demand,
    Document,
    DocumentKind,
    Image,
    Links,
    Publication,
    Revision,
    Stage,
)
from pipeline.model.errors import UsageError
from pipeline.report.progress import ProgressReporter
from pipeline.runner import documenting, scanning, steps
from pipeline.runner.expectations import expectations_of
from pipeline.runner.services import Services, Settings
from pipeline.stages import attest, documents
from tests.builders import CPU_CELL, lock, pin, spec
from tests.crafted import config_of, tar
from tests.system.attest.test_cosign import accepts, layout, verify
from tests.system.publish.publishing import put
from tests.unit.stages.documents.bills import OS_RELEASE, STATUS, bill_of, metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Bench

__all__ = ["layout"]

pytestmark = pytest.mark.needs("registry")

ROOT = Path(__file__).parents[3]

COSIGNS = {
    DocumentKind.PROVENANCE: "slsaprovenance1",
    DocumentKind.CYCLONEDX: "cyclonedx",
    DocumentKind.SPDX: "spdxjson",
}
"""What cosign calls each of them."""

OF_A_BUILD = {DocumentKind.PROVENANCE, *BILLS}
"""What is signed before anybody has decided about an image."""

FILES = (OS_RELEASE, STATUS, metadata("numpy", "1.0", "License: MIT\n"))
LOCK = lock(pin("numpy"), pin("torch"), cell=CPU_CELL)
NOTES: list[str] = []


def services(bench: Bench, folder: Path) -> Services:
    """What a step works with, as far as documents need it."""
    return cast(
        "Services",
        SimpleNamespace(
            staging=bench.staging,
            holding=lambda _: bench.staging,
            evidence=bench.evidence,
            signing_key=bench.key,
            matrix=SimpleNamespace(repository=bench.destination.repository),
            settings=SimpleNamespace(run="1-2", folder=folder),
        ),
    )


def image_of_files(bench: Bench) -> Image:
    """An image in staging whose layer can be read."""
    layer, image = tar(*FILES), bench.image()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {
            **bench.staging.put_blob(config_of([layer])).plain,
            "mediaType": "application/vnd.oci.image.config.v1+json",
        },
        "layers": [
            {
                **bench.staging.put_blob(layer).plain,
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
            }
        ],
    }
    digest = bench.staging.put_manifest(Manifest(json.dumps(document).encode(), OCI_MANIFEST))
    return replace(image, ref=bench.staging.repository.at(digest))


def documented(bench: Bench, image: Image, folder: Path) -> CellState:
    """The state of a cell whose image was built and described just now."""
    here = services(bench, folder)
    state = CellState(
        spec(), lock=LOCK, base=image.ref, image=image,
        attestations=bench.evidence.attestations_of(bench.staging, image.ref.digest),
    )  # fmt: skip
    span = ("2030-01-01T00:00:00Z", "2030-01-02T00:00:00Z")
    state = documenting.attach_provenance(here, state, pin("uv"), span, NOTES.append)
    bill = replace(bill_of(*FILES), image=str(image.ref), digest=str(image.ref.digest))
    return documenting.attach_bills(here, state, bill, NOTES.append)


@pytest.mark.needs("cosign")
def test_cosign_reads_each_where_the_image_is_published(
    bench: Bench, layout: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the name that it has for the type, and with the very text that we read."""
    image, decision = bench.proven()
    monkeypatch.setattr(checkout, "revision", lambda _: Revision("f" * 40, is_dirty=True))
    state = documented(bench, image, tmp_path)
    assert isinstance(put(bench, image, decision), Publication)
    for kind, name in COSIGNS.items():
        ours = state.attestations.newest_document(kind)
        done = verify(bench, bench.destination.repository.at(image.ref.digest), layout, name)
        assert done.returncode == 0, done.stderr
        statement = json.loads(base64.b64decode(json.loads(done.stdout)["payload"]))
        assert ours
        assert statement["predicate"] == json.loads(ours.document.text)


@pytest.mark.needs("cosign")
def test_cosign_refuses_a_strangers_and_a_tampered_one(
    bench: Bench, layout: list[str], tmp_path: Path
) -> None:
    """One without our signature, whoever made it, is none to cosign either."""
    image = bench.image()
    documented(bench, image, tmp_path)
    assert accepts(bench, image.ref, layout, "spdxjson")
    stranger = replace(bench, key=generate_private_key(SECP256R1()))
    assert not accepts(stranger, image.ref, layout, "spdxjson")
    other = bench.image()
    text = json.loads(attest.documents.sign(_empty(other), bench.destination.repository, bench.key))
    payload = base64.b64decode(text["dsseEnvelope"]["payload"]).replace(b"SPDX-2.3", b"SPDX-2.2")
    text["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    attest.attach(bench.staging, other.ref, json.dumps(text).encode())
    assert not accepts(bench, other.ref, layout, "spdxjson")


def test_each_is_made_once(bench: Bench, tmp_path: Path) -> None:
    """An image does not change, and neither does what it is made of."""
    image = bench.image()
    first = documented(bench, image, tmp_path).attestations.documents
    assert {one.document.kind for one in first} == OF_A_BUILD
    assert documented(bench, image, tmp_path).attestations.documents == first


def test_one_that_nobody_would_read_is_not_kept(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and stops nothing."""
    monkeypatch.setattr("pipeline.formats.dsse.MAX_BUNDLE_BYTES", 100)
    NOTES.clear()
    assert documented(bench, bench.image(), tmp_path).attestations.documents == ()
    assert len(NOTES) == len(OF_A_BUILD)


def key_file(bench: Bench, folder: Path) -> Path:
    """The public key, as somebody hands it on."""
    path = folder / "them.pub"
    path.write_bytes(signing_keys.public_pem(bench.key.public_key()))
    return path


def names(text: str) -> set[str]:
    return {one["name"] for one in json.loads(text)["components"]}


def test_a_bill_is_the_signed_one_for_whoever_has_the_key(bench: Bench, tmp_path: Path) -> None:
    """With the hashes of the wheels, which no file of the image tells."""
    image = image_of_files(bench)
    documented(bench, image, tmp_path)
    document, signer, _ = documenting.bill_of(
        str(image.ref), DocumentKind.CYCLONEDX, None, [key_file(bench, tmp_path)]
    )
    assert signer in bench.evidence.trusted
    assert names(document.text) == {"libc6", "numpy"}
    assert '"hashes"' in document.text


def test_a_bill_that_nobody_trusted_signed_is_made_of_the_files(bench: Bench, tmp_path: Path) -> None:
    """A stranger's says that there is nothing in it: it is not believed, with our key or with none."""
    image = image_of_files(bench)
    stranger = generate_private_key(SECP256R1())
    empty = _empty(image, DocumentKind.CYCLONEDX)
    bundle = attest.documents.sign(empty, bench.destination.repository, stranger)
    attest.attach(bench.staging, image.ref, bundle)
    for keys in ([], [key_file(bench, tmp_path)]):
        document, signer, _ = documenting.bill_of(str(image.ref), DocumentKind.CYCLONEDX, None, keys)
        assert (names(document.text), signer) == ({"libc6", "numpy"}, "")
        assert '"hashes"' not in document.text


def test_a_scan_goes_by_the_signed_bill(bench: Bench, tmp_path: Path) -> None:
    image = image_of_files(bench)
    documented(bench, image, tmp_path)
    affected = [{"package": {"ecosystem": "PyPI", "name": "numpy"}, "versions": ["1.0"]}]
    advisory = {"id": "A-1", "modified": "2026-11-01T00:00:00Z", "affected": affected}
    (tmp_path / "osv").mkdir()
    (tmp_path / "osv" / "a.json").write_text(json.dumps(advisory))
    ask = scanning.Ask([tmp_path / "osv"], Demand())
    scan, ref = scanning.of_image(str(image.ref), ask, None, [key_file(bench, tmp_path)])
    assert ref == image.ref
    assert scan.signer in bench.evidence.trusted
    assert (scan.digest, scan.packages) == (str(image.ref.digest), 2)
    assert [one.package.shown for one in scan.refuses] == ["numpy 1.0"]


def test_a_key_that_is_none_is_the_users_mistake(bench: Bench, tmp_path: Path) -> None:
    absent = tmp_path / "absent.pub"
    with pytest.raises(UsageError):
        documenting.bill_of(str(bench.image().ref), DocumentKind.SPDX, None, [absent])


def test_a_cell_is_its_published_image_else_the_one_in_staging(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its id or an alias; a cell that has neither image is named with what builds one."""
    image = image_of_files(bench)
    here = services(bench, tmp_path)
    found: dict[str, Any] = {"image": None}
    monkeypatch.setattr(documenting, "anywhere", lambda *_: SimpleNamespace(**found))
    answer = _asker(bench, here)
    with pytest.raises(UsageError, match="has no image"):
        answer("cpu")
    found["image"] = image
    assert answer("cpu") == str(image.ref.digest)
    other = bench.image()
    manifest = bench.staging.manifest(other.ref.digest)
    assert manifest
    bench.destination.mount_or_copy_blobs(bench.destination.missing(manifest), bench.staging)
    bench.destination.put_manifest(manifest, CPU_CELL.id)
    assert documenting.reference_of("cpu", here) == str(bench.destination.repository.at(other.ref.digest))
    assert documenting.reference_of("host/path:cpu", here) == "host/path:cpu"


def _empty(image: Image, kind: DocumentKind = DocumentKind.SPDX) -> Document:
    """A bill that says of an image that there is nothing in it."""
    return documents.written(replace(bill_of(), image=str(image.ref), digest=str(image.ref.digest)), kind)


def _asker(bench: Bench, here: Services) -> Callable[[str], str]:
    """The digest of the image that a cell's bill is about."""
    machine = cast("Any", here)
    machine.destination = bench.destination
    machine.has_registry = lambda _repository: True
    machine.matrix.specs = (spec(CPU_CELL),)
    machine.matrix.aliases_of = lambda _cell: ("cpu",)
    return lambda named: documenting.bill_of(named, DocumentKind.SPDX, here)[0].digest


# -- the steps that make them ---------------------------------------------------------------------------


def test_a_build_and_its_certificate_leave_all_three(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order in which the runner takes the steps, with an image that BuildKit might have made."""
    here = _machine(bench, tmp_path)
    image, of_cell = image_of_files(bench), spec(CPU_CELL)
    monkeypatch.setattr("pipeline.stages.build.build", lambda *_, **__: image)
    monkeypatch.setattr(type(here), "builder", SimpleNamespace(snapshotter=False))
    state = CellState(
        of_cell, lock=LOCK, base=image.ref, expectations=expectations_of(of_cell, LOCK)
    )  # fmt: skip
    progress = steps.Progress(ProgressReporter(), CPU_CELL, Stage.BUILD)
    state = steps.build_image(here, state, progress)
    assert [one.document.kind for one in state.attestations.documents] == [DocumentKind.PROVENANCE]
    assert not state.attestations.certificates
    state = steps.certify(here, state, progress)
    assert {one.document.kind for one in state.attestations.documents} == OF_A_BUILD
    (certified,) = state.attestations.certificates
    assert certified.links == Links()
    bill = state.attestations.newest_document(DocumentKind.CYCLONEDX)
    assert bill
    assert names(bill.document.text) == {"libc6", "numpy"}
    again = steps.certify(here, state, progress)
    assert again.attestations.documents == state.attestations.documents


def _machine(bench: Bench, folder: Path) -> Services:
    """The machine, with a matrix whose images go to the bench's repositories, and the bench's key."""
    path = folder / "matrix.yaml"
    path.write_text((ROOT / "matrix.yaml").read_text("utf-8"), "utf-8")
    loaded = replace(
        matrix.load(path, str(bench.destination.repository)),
        staging=bench.staging.repository,
        signers=(),
    )
    pem = bench.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Services(Settings(matrix=loaded, key_pem=pem))
