"""An independent verifier, cosign, accepts our records, and refuses what we refuse."""

from __future__ import annotations

import base64
import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from pipeline.adapters import signing_keys
from pipeline.model import Publication, Result
from pipeline.stages import attest
from tests.system.publish.publishing import publish

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Image, ImageRef
    from tests.system.conftest import Bench

pytestmark = pytest.mark.needs("registry", "cosign")


@pytest.fixture(params=["legacy", "bundle"])
def layout(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The default layout of cosign, and the newer one, which an empty root of trust keeps offline."""
    if request.param == "legacy":
        return []
    root = tmp_path / "root.json"
    root.write_text('{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}')
    return ["--new-bundle-format", "--trusted-root", str(root)]


def accepts(bench: Bench, ref: ImageRef | str, layout: list[str], kind: str = attest.PREDICATE) -> bool:
    """Whether cosign, given only the public key, finds a record of this kind beside the image."""
    return verify(bench, ref, layout, kind).returncode == 0


def verify(
    bench: Bench, ref: ImageRef | str, layout: list[str], kind: str = attest.PREDICATE
) -> subprocess.CompletedProcess[bytes]:
    """What cosign says. There is no transparency log in this: the key is all that is trusted."""
    public = signing_keys.public_pem(bench.key.public_key()).decode()
    return subprocess.run(
        [
            *("cosign", "verify-attestation", "--key", "env://PUBLIC_KEY", "--type", kind),
            *("--insecure-ignore-tlog=true", *layout, str(ref)),
        ],
        env={"PUBLIC_KEY": public, "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/nonexistent"},
        capture_output=True,
        check=False,
    )


def attach(bench: Bench, image: Image, bundle: bytes) -> None:
    """Store any bundle beside an image."""
    attest.attach(bench.staging, image.ref, bundle)


def test_a_record_is_accepted_before_and_after_publication(bench: Bench, layout: list[str]) -> None:
    """In staging by digest, and in the destination by the published tag, with the same statement."""
    image, decision = bench.proven()
    assert accepts(bench, image.ref, layout)
    result = publish(
        image,
        decision,
        bench.staging,
        bench.destination,
        ("latest",),
        moves="forward",
        evidence=bench.evidence,
        gate=bench.gate(image),
    )
    assert isinstance(result, Publication)
    done = verify(bench, str(bench.destination.repository.tagged("latest")), layout)
    assert done.returncode == 0, done.stderr
    assert decision.proof
    payload = base64.b64decode(json.loads(done.stdout)["payload"])
    assert payload == attest.statement(decision.proof.record)


def test_an_image_without_a_record_is_refused(bench: Bench, layout: list[str]) -> None:
    """Nothing attached."""
    assert not accepts(bench, bench.image().ref, layout)


def test_another_key_is_refused(bench: Bench, layout: list[str]) -> None:
    """Signed by one, verified with another."""
    image, _ = bench.proven()
    assert not accepts(replace(bench, key=generate_private_key(SECP256R1())), image.ref, layout)


def test_a_tampered_record_is_refused(bench: Bench, layout: list[str]) -> None:
    """FAILED turned into PASSED under the old signature; we refuse it too."""
    image = bench.image()
    value = json.loads(attest.sign(bench.record(image, result=Result.FAILED), bench.key))
    payload = base64.b64decode(value["dsseEnvelope"]["payload"]).replace(b"FAILED", b"PASSED")
    value["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()
    attach(bench, image, json.dumps(value).encode())
    assert not accepts(bench, image.ref, layout)
    assert not bench.evidence.attestations_of(bench.staging, image.ref.digest).proofs


def test_a_record_of_another_image_is_refused(bench: Bench, layout: list[str]) -> None:
    """A good record of one image, attached to another; we refuse it too."""
    image = bench.image()
    attach(bench, image, attest.sign(bench.record(bench.image()), bench.key))
    assert not accepts(bench, image.ref, layout)
    assert not bench.evidence.attestations_of(bench.staging, image.ref.digest).proofs


def test_another_type_of_predicate_is_not_found(bench: Bench, layout: list[str]) -> None:
    """The exact type is asked for."""
    image, _ = bench.proven()
    assert not accepts(bench, image.ref, layout, kind="https://slsa.dev/provenance/v1")


def test_a_forged_record_beside_a_good_one_hides_nothing(bench: Bench, layout: list[str]) -> None:
    """The good one counts, the forged one is a reason."""
    image, decision = bench.proven()
    stranger = generate_private_key(SECP256R1())
    attach(bench, image, attest.sign(bench.record(image, result=Result.FAILED), stranger))
    assert accepts(bench, image.ref, layout)
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert found.proofs == (decision.proof,)
    assert [reason.code for reason in found.rejected] == ["record-untrusted"]


def test_a_signed_failure_is_accepted_by_cosign_and_refused_by_us(bench: Bench) -> None:
    """Its exit code 0 means "signed", not "passed": that is what our gate is for."""
    image = bench.image()
    proof = bench.prove(image, result=Result.FAILED)
    assert accepts(bench, image.ref, [])
    bench.certify(image)
    beside = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert beside.proofs == (proof,)
    assert [reason.code for reason in bench.gate(image).decide(beside).reasons] == ["not-passed"]


def test_records_come_newest_first(bench: Bench) -> None:
    """By when they were finished, not by when they were attached."""
    image = bench.image()
    times = ["2031-01-02T00:00:00Z", "2031-01-03T00:00:00Z", "2031-01-01T00:00:00Z"]
    for finished in times:
        bench.prove(image, finished=finished)
    found = bench.evidence.attestations_of(bench.staging, image.ref.digest).proofs
    assert [proof.record.finished for proof in found] == sorted(times, reverse=True)
