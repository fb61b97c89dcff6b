"""What plan, gate and publish say of a cell whose evidence or tags somebody tampered with."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline import compat, matrix
from pipeline.adapters import signing_keys
from pipeline.adapters.recipe import IMAGES
from pipeline.adapters.registry import OCI_INDEX, OCI_MANIFEST, Manifest, Registry
from pipeline.adapters.registry.referrers import fallback_tag
from pipeline.cli.main import main
from pipeline.model import (
    Goal,
    Image,
    ImageRef,
    Lock,
    Pin,
    Repository,
    Result,
    State,
    Status,
    checks_of,
    records,
    versions_of,
)
from pipeline.model.errors import GOOD, TagproofError
from pipeline.model.speeds import RATE_ALONE, Speed
from pipeline.report.progress import ProgressReporter
from pipeline.runner.expectations import expectations_of
from pipeline.runner.running import Runner
from pipeline.runner.services import Services, Settings
from pipeline.stages import attest, audit, build
from pipeline.stages import lock as locks
from tests.builders import certificate, check, now, passed, record, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Check, Digest, Spec
    from tests.system.conftest import Bench

pytestmark = pytest.mark.needs("registry")

MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0"]
base: {image: "%s"}
publish: {repository: "%s"}
"""
TORCH = Pin("torch", "2.13.0", "1" * 64, "torch-2.13.0-py3-none-any.whl", 4000)


@dataclass
class Cell:
    """A cell that is built and certified; records of it can be signed at will."""

    runner: Runner
    spec: Spec
    image: Image
    lock: Lock

    @property
    def services(self) -> Services:
        return self.runner.services

    @property
    def destination(self) -> Registry:
        return self.services.destination

    def prove(self, registry: Registry | None = None, *, minutes: int = 10, **changes: Any) -> Digest:
        """Sign a record of so many minutes ago and attach it, in staging unless told otherwise."""
        moment = rfc3339(datetime.now(UTC) - timedelta(minutes=minutes))
        good: dict[str, Any] = {
            "repository": str(self.services.matrix.repository),
            "versions": versions_of(self.spec.cell),
            "model": self.services.basis_of(self.spec.cell).model,
            "started": moment,
            "finished": moment,
            "checks": passed(checks_of(self.spec.cell)),
        }
        bundle = attest.sign(record(self.image, **{**good, **changes}), self.services.key)
        return self.attach(bundle, registry)

    def certify(self, registry: Registry | None = None, **changes: Any) -> Digest:
        """Sign a certificate without findings and attach it."""
        expected = expectations_of(self.spec, self.lock)
        good: dict[str, Any] = {
            "repository": str(self.services.matrix.repository),
            "inputs": audit.inputs_of(self.image.ref.digest, expected, self.spec.waivers),
            "created": now(),
        }
        signed = attest.certificates.sign(certificate(self.image, **{**good, **changes}), self.services.key)
        return self.attach(signed, registry)

    def attach(self, bundle: bytes, registry: Registry | None = None) -> Digest:
        place = registry or self.services.staging
        return attest.attach(place, place.repository.at(self.image.ref.digest), bundle)

    def again(self) -> Cell:
        """The same cell of the matrix as it lies there now."""
        loaded = matrix.load(self.services.matrix.path)
        settings = replace(self.services.settings, matrix=loaded)
        return replace(self, runner=Runner(Services(settings), self.runner.reporter), spec=loaded.specs[0])

    def strip(self, registry: Registry) -> None:
        """Somebody who may delete takes away all that is signed beside the image."""
        for one in self.services.evidence.attestations_of(registry, self.image.ref.digest).statements:
            assert registry.delete_manifest(one.manifest)
        for tag in (fallback_tag(self.image.ref.digest), f"{fallback_tag(self.image.ref.digest)}.att"):
            assert registry.delete_tag(tag)

    def tags(self) -> set[str]:
        """The tags that people see."""
        return {tag for tag in self.destination.tags() if not tag.startswith("sha256-")}

    def status(self) -> Status:
        """What the plan says of the cell."""
        return self.runner.bring(Goal.PLAN, self.spec)

    def publish(self) -> Status:
        """What ``publish`` says after its work."""
        return self.runner.bring(Goal.PUBLISH, self.spec)

    def repair(self) -> Status:
        """What ``repair`` says after its work."""
        return self.runner.bring(Goal.REPAIR, self.spec)

    def codes(self) -> set[str]:
        """Why the plan says that something is to be looked at."""
        return {reason.code for reason in self.status().reasons}

    def gate(self, place: Repository) -> set[str]:
        """Why the gate refuses the image at this place."""
        return {reason.code for reason in self.runner.judge(place.at(self.image.ref.digest)).reasons}


def push(registry: Registry, tag: str, labels: dict[str, str]) -> ImageRef:
    """An image with these labels and one layer."""
    layer = registry.put_blob(json.dumps([tag, labels]).encode())
    described = {"config": {"Labels": labels}, "rootfs": {"diff_ids": []}}
    config = registry.put_blob(json.dumps(described).encode())
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {**config.plain, "mediaType": "application/vnd.oci.image.config.v1+json"},
        "layers": [{**layer.plain, "mediaType": "application/vnd.oci.image.layer.v1.tar"}],
    }
    digest = registry.put_manifest(Manifest(json.dumps(document).encode(), OCI_MANIFEST), tag)
    return registry.repository.at(digest)


@pytest.fixture
def cell(bench: Bench, tmp_path: Path) -> Iterator[Cell]:
    """A cell whose image is in staging, certified and proven."""
    base = push(bench.staging, "base", {})
    file = tmp_path / "matrix.yaml"
    file.write_text(MATRIX % (base, bench.destination.repository))
    loaded = matrix.load(file, None)
    (spec,) = loaded.specs
    lock = Lock(spec.cell, (TORCH,))
    locks.write(spec, lock, tmp_path / "locks")
    driver = compat.driver_floor(spec.cell.cuda)
    key = build.key(spec, lock, base, driver, IMAGES)
    ref = push(Registry(loaded.staging), key, dict(build.labels(spec, lock, driver)))
    own = generate_private_key(SECP256R1())
    pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with ProgressReporter() as narrator:
        runner = Runner(Services(Settings(matrix=loaded, key_pem=pem)), narrator)
        made = Cell(runner, spec, Image(spec.cell, ref, key, lock.digest), lock)
        made.certify()
        made.prove()
        yield made


def test_a_proven_cell_is_published_and_then_there_is_nothing_to_do(cell: Cell) -> None:
    """The twin of all that follows: nobody tampers."""
    assert cell.status().state is State.PROVEN
    assert cell.publish().state is State.PUBLISHED
    assert cell.status().reasons == ()
    assert cell.gate(cell.destination.repository) == cell.gate(cell.services.staging.repository) == set()


def test_whoever_publishes_another_image_gets_the_notes_of_what_changed(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cell.publish().replaced is None
    lock = Lock(cell.spec.cell, (replace(TORCH, sha256="2" * 64),))
    locks.write(cell.spec, lock, tmp_path / "locks")
    base, driver = cell.services.base_of(cell.spec), compat.driver_floor(cell.spec.cell.cuda)
    assert base
    key = build.key(cell.spec, lock, base, driver, IMAGES)
    ref = push(cell.services.staging, key, dict(build.labels(cell.spec, lock, driver)))
    newer = replace(cell, image=Image(cell.spec.cell, ref, key, lock.digest), lock=lock).again()
    newer.certify()
    newer.prove(minutes=5)

    def publish() -> int:
        monkeypatch.setenv("TAGPROOF_KEY", cell.services.settings.key_pem or "")
        return main(["publish", "--matrix", str(cell.services.matrix.path)])

    assert publish() == GOOD
    notes = (tmp_path / ".state" / "report" / "notes" / f"{cell.spec.cell.id}.md").read_text()
    repository = cell.destination.repository
    assert notes.startswith(f"`{repository.at(ref.digest)}`, after `{repository.at(cell.image.ref.digest)}`.")
    assert publish() == GOOD
    assert list((tmp_path / ".state" / "report" / "notes").iterdir()) == []


def test_tests_of_a_users_make_the_proof_of_before_stale_for_all_but_what_is_published(
    cell: Cell, tmp_path: Path
) -> None:
    """Plan, gate and publish read the same digest; taken away again, the proof of before holds."""
    cell.publish()
    (tmp_path / "tests" / "images").mkdir(parents=True)
    test = tmp_path / "tests" / "images" / "test_a.py"
    test.write_text("raise RuntimeError('nobody imports this but a proof')")
    with_tests = cell.again()
    assert (with_tests.status().state, with_tests.codes()) == (State.UNPROVEN, {"other-tests"})
    assert with_tests.gate(cell.destination.repository) == {"other-tests"}
    assert with_tests.publish().tags == cell.status().tags != ()
    with_tests.prove(minutes=5, tests=with_tests.services.basis_of(cell.spec.cell).tests)
    assert with_tests.publish().state is State.PUBLISHED
    test.write_text("def test_other(): pass")
    assert with_tests.codes() == {"other-tests"}
    test.unlink()
    assert cell.again().status().state is State.PUBLISHED


@pytest.mark.parametrize("left", ["nothing", "a failure", "a foreign record and certificate"])
def test_what_the_destination_lacks_is_seen_and_brought_again(cell: Cell, left: str) -> None:
    """Published is the gate's judgement of what lies there, not that anything signed lies there."""
    cell.publish()
    cell.strip(cell.destination)
    if left == "a foreign record and certificate":
        elsewhere = "127.0.0.1:9/elsewhere"
        cell.prove(cell.destination, cell="torch2.13.0-cpu-py3.11", repository=elsewhere)
        cell.certify(cell.destination, repository=elsewhere)
    if left == "a failure":
        cell.prove(cell.destination, minutes=90, result=Result.FAILED, proof_key="3" * 64)
    assert cell.status().state is State.PROVEN
    assert "evidence-lacking" in cell.codes()
    assert cell.publish().state is State.PUBLISHED
    assert cell.gate(cell.destination.repository) == set()


def test_the_gate_judges_what_lies_beside_the_reference_that_was_asked_for(cell: Cell) -> None:
    """Stripped there, it is refused there, whatever lies in staging; and nowhere else is it ours."""
    cell.publish()
    other = Registry(replace(cell.destination.repository, path=f"{cell.destination.repository.path}-other"))
    manifest = cell.services.staging.manifest(cell.image.ref.digest)
    assert manifest
    other.mount_or_copy_blobs(manifest.blobs, cell.services.staging)
    other.put_manifest(manifest)
    assert "no-proof" in cell.gate(other.repository)
    beside = cell.services.evidence.attestations_of(cell.services.staging, cell.image.ref.digest)
    cell.services.evidence.copy(beside.statements, cell.services.staging, other, cell.image.ref.digest)
    assert "other-repository" in cell.gate(other.repository)
    cell.strip(cell.destination)
    assert "no-proof" in cell.gate(cell.destination.repository)
    assert cell.gate(cell.services.staging.repository) == set()


def test_a_published_image_that_fails_later_is_told_vetoed_there_and_withdrawn(cell: Cell) -> None:
    """Tags do not stay on it in silence: its failure lies beside them, and repair takes them off."""
    cell.publish()
    cell.prove(minutes=1, result=Result.FAILED, proof_key="3" * 64)
    assert cell.status().state is not State.PUBLISHED
    assert "still-tagged" in {reason.code for reason in cell.publish().reasons}
    there = cell.services.evidence.attestations_of(cell.destination, cell.image.ref.digest)
    assert Result.FAILED in {proof.record.result for proof in there.proofs}
    assert cell.gate(cell.destination.repository)
    assert cell.services.signatures.has(cell.image.ref.digest)
    cell.repair()
    assert cell.tags() == set()
    assert not cell.services.signatures.has(cell.image.ref.digest)


def test_a_plain_signature_that_is_gone_is_missed_and_made_again(
    cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beside an image that was published before there were any; who cannot sign does not miss it."""
    cell.publish()
    assert cell.services.signatures.revoke(cell.image.ref.digest)
    assert cell.status().state is State.PROVEN
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "empty"))
    (tmp_path / "team.pub").write_bytes(signing_keys.public_pem(cell.services.key.public_key()))
    trusting = replace(cell.services.matrix, signers=(tmp_path / "team.pub",))
    reader = Runner(Services(Settings(matrix=trusting)), cell.runner.reporter)
    assert reader.bring(Goal.PLAN, cell.spec).state is State.PUBLISHED
    assert cell.publish().state is State.PUBLISHED
    assert cell.services.signatures.has(cell.image.ref.digest)


def test_tags_whose_proof_has_grown_too_old_are_told(cell: Cell) -> None:
    """Nobody failed, and nobody looked again either."""
    cell.publish()
    policy = replace(cell.services.matrix.policy, max_age_days=0)
    cell.services.matrix = replace(cell.services.matrix, policy=policy)
    assert {"stale", "still-tagged"} <= cell.codes()


def test_a_published_image_stays_published_when_a_check_has_a_new_version(
    cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is built from now on is proven by it; who wants more says so in the matrix."""
    cell.publish()
    newer = {name: version + 1 for name, version in versions_of(cell.spec.cell).items()}
    monkeypatch.setattr(records, "CHECK_VERSIONS", newer)
    assert cell.status().state is State.PUBLISHED
    policy = replace(cell.services.matrix.policy, at_least=newer)
    cell.services.matrix = replace(cell.services.matrix, policy=policy)
    assert {"old-check", "still-tagged"} <= cell.codes()


@pytest.mark.parametrize(("rate", "refused"), [(50.0, True), (90.0, False)])
def test_an_image_takes_no_channel_from_one_that_is_faster_than_the_matrix_allows(
    rate: float, refused: bool, cell: Cell
) -> None:
    """Whoever asks is told: the plan, the publication, the gate before a deployment."""
    cell.services.matrix = replace(cell.services.matrix, speed_ratio=1.5)
    other = replace(cell, image=replace(cell.image, ref=push(cell.destination, cell.spec.cell.id, {})))
    other.prove(cell.destination, checks=(*passed(checks_of(cell.spec.cell)), measured(100.0)))
    cell.prove(minutes=1, checks=(*passed(checks_of(cell.spec.cell)), measured(rate)))
    assert ("slower" in cell.codes()) is refused
    assert ("slower" in cell.gate(cell.services.staging.repository)) is refused
    assert (cell.publish().state is State.PUBLISHED) is not refused
    named = cell.destination.digest_of(cell.spec.cell.id)
    assert named == (other if refused else cell).image.ref.digest


def measured(rate: float) -> Check:
    """The check ``speed`` with this rate of tokens."""
    return check("speed", facts={RATE_ALONE: str(Speed(rate, rate, rate, 9))})


def test_tags_that_were_moved_to_an_unproven_image_are_put_back_by_repair(cell: Cell) -> None:
    """Publishing says what happened; one command mends it, and the next plan has nothing to do."""
    stranger = push(cell.destination, "x", {})
    manifest = cell.destination.manifest(stranger.digest)
    assert manifest
    for tag in (cell.spec.cell.id, cell.image.immutable_tag):
        cell.destination.put_manifest(manifest, tag)
    assert "tag-moved" in cell.codes()
    assert "tag-moved" in {reason.code for reason in cell.publish().reasons}
    assert cell.repair().state is State.PUBLISHED
    assert cell.status().reasons == ()


def test_an_index_in_the_place_of_an_image_is_named_with_what_replaces_it(cell: Cell) -> None:
    """Any builder with attestations leaves one; a build with --fresh does not look at it."""
    inner = cell.services.staging.manifest(cell.image.ref.digest)
    assert inner
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [inner.descriptor.plain]}
    cell.services.staging.put_manifest(
        Manifest(json.dumps(document).encode(), OCI_INDEX), cell.image.build_key
    )
    with pytest.raises(TagproofError, match="in the place of the image") as error:
        cell.status()
    assert f"build --fresh {cell.spec.cell.id}" in error.value.hint


def test_why_evidence_counts_for_nothing_is_told_with_its_key(cell: Cell) -> None:
    """Another machine's key signed: the gate and the plan say whose it claims to be."""
    stranger = generate_private_key(SECP256R1())
    pem = stranger.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    other = Runner(Services(Settings(matrix=cell.services.matrix, key_pem=pem)), cell.runner.reporter)
    texts = [
        reason.text
        for reason in other.bring(Goal.PLAN, cell.spec).reasons
        if reason.code == "record-untrusted"
    ]
    (signer,) = cell.services.evidence.trusted
    assert len(texts) == 2
    assert all(signer in text for text in texts)
    decision = other.judge(cell.image.ref)
    assert {reason.code for reason in decision.rejected} == {"record-untrusted"}
