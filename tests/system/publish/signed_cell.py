"""Cells whose images are in staging, certified and proven by a key of their own, on a real registry."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline import compat, matrix
from pipeline.adapters import signing_keys
from pipeline.adapters.recipe import IMAGES
from pipeline.adapters.registry import OCI_MANIFEST, Manifest, Registry
from pipeline.adapters.registry.referrers import fallback_tag
from pipeline.model import (
    Goal,
    Image,
    ImageRef,
    Lock,
    Pin,
    Repository,
    Status,
    checks_of,
    versions_of,
)
from pipeline.report.progress import ProgressReporter
from pipeline.runner.expectations import expectations_of
from pipeline.runner.running import Runner
from pipeline.runner.services import Services, Settings
from pipeline.stages import attest, audit, build
from pipeline.stages import lock as locks
from tests.builders import certificate, now, passed, record, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Digest, Spec
    from tests.system.conftest import Bench

MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: [%s]
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

    def asks_cosign(self, predicate: str, folder: Path) -> subprocess.CompletedProcess[str]:
        """What cosign says of a statement of this type beside the published image, by our key."""
        key = folder / "team.pub"
        key.write_bytes(signing_keys.public_pem(self.services.key.public_key()))
        words = ["--key", str(key), "--insecure-ignore-tlog", "--type", predicate]
        image = str(self.destination.repository.at(self.image.ref.digest))
        command = ["cosign", "verify-attestation", *words, image]
        return subprocess.run(command, capture_output=True, text=True, check=False)

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


@contextmanager
def proven(bench: Bench, folder: Path, *releases: str) -> Iterator[tuple[Cell, ...]]:
    """Such cells, one for each of these releases of vLLM; their matrix and locks are in this folder."""
    base = push(bench.staging, "base", {})
    file = folder / "matrix.yaml"
    vllm = ", ".join(f'"{release}"' for release in releases)
    file.write_text(MATRIX % (vllm, base, bench.destination.repository))
    own = generate_private_key(SECP256R1())
    pem = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with ProgressReporter() as narrator:
        runner = Runner(Services(Settings(matrix=matrix.load(file, None), key_pem=pem)), narrator)
        made = tuple(_built(runner, spec, base, folder) for spec in runner.services.matrix.specs)
        for cell in made:
            cell.certify()
            cell.prove()
        yield made


def _built(runner: Runner, spec: Spec, base: ImageRef, folder: Path) -> Cell:
    """A cell with its lock and its image."""
    lock = Lock(spec.cell, (TORCH,))
    locks.write(spec, lock, folder / "locks")
    driver = compat.driver_floor(spec.cell.cuda)
    key = build.key(spec, lock, base, driver, IMAGES)
    ref = push(runner.services.staging, key, dict(build.labels(spec, lock, driver)))
    return Cell(runner, spec, Image(spec.cell, ref, key, lock.digest), lock)
