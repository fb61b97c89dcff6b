"""What is exported for clusters and hosts, in the hands of programs that judge as those do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from pipeline.adapters import signing_keys
from pipeline.formats.dsse import TEST_RESULT
from pipeline.matrix import policy_file
from pipeline.model import Policy, Result, Signer
from pipeline.model.errors import GOOD, REFUSED
from pipeline.stages.attest import signatures
from pipeline.stages.publish import carry, tagged
from tests.system.publish.owning import digest, owner_of
from tests.system.publish.publishing import CHANNELS, put

if TYPE_CHECKING:
    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Image
    from tests.system.conftest import Bench

pytestmark = pytest.mark.needs("registry")


@dataclass(frozen=True)
class Host:
    """Somebody who runs images, with the files that were exported for this."""

    bench: Bench
    folder: Path

    def exports(self, program: str, key: PrivateKey | None = None) -> Path:
        """The files for a program, of a policy that trusts the publisher, or another key."""
        public = signing_keys.public_pem((key or self.bench.key).public_key()).decode()
        policy = Policy(
            required={"vllm-cpu": ("serve",)},
            repositories={self.bench.destination.repository: "published"},
            signers=(Signer("team", public),),
        )
        (self.folder / "given.yaml").write_text(policy_file.text_of(policy))
        folder = self.folder / program
        folder.mkdir(exist_ok=True)
        words = (
            "policy",
            "export",
            "--for",
            program,
            "--policy",
            self.folder / "given.yaml",
            "--output",
            folder,
        )
        done = subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, words)], capture_output=True, text=True, check=False
        )
        assert done.returncode == GOOD, done.stderr
        return folder

    def pulls(self, image: Image | str, files: Path) -> bool:
        """Whether skopeo, which judges by policy.json as podman does, takes an image."""
        repository = self.bench.destination.repository
        name = repository.tagged(image) if isinstance(image, str) else repository.at(image.ref.digest)
        done = subprocess.run(
            [
                *("skopeo", "--policy", str(files / "policy.json"), "--registries.d", str(files)),
                *("copy", "--src-tls-verify=false", f"docker://{name}", f"dir:{self.folder / 'pulled'}"),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0 or "ignature" in done.stderr or "rejected" in done.stderr, done.stderr
        return done.returncode == 0

    def verifies(self, image: Image, act: str, *words: str, key: str) -> bool:
        """Whether cosign, which policy-controller is made of, finds it good."""
        name = self.bench.destination.repository.at(image.ref.digest)
        done = subprocess.run(
            ["cosign", act, "--key", "env://PUBLIC_KEY", "--insecure-ignore-tlog=true", *words, str(name)],
            env={"PUBLIC_KEY": key, "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
            capture_output=True,
            check=False,
        )
        return done.returncode == 0


@pytest.fixture
def host(bench: Bench, tmp_path: Path) -> Host:
    return Host(bench, tmp_path)


@pytest.fixture
def published(bench: Bench) -> Image:
    image, decision = bench.proven()
    put(bench, image, decision)
    return image


def unproven(bench: Bench) -> Image:
    """An image that somebody has put into the destination, with a tag."""
    image = bench.image("2" * 64)
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    bench.destination.mount_or_copy_blobs(manifest.blobs, bench.staging)
    bench.destination.put_manifest(manifest, "unproven")
    return image


@pytest.mark.needs("skopeo-sigstore")
def test_podman_takes_what_was_published_and_nothing_else(host: Host, published: Image) -> None:
    """By digest and by tag; neither what nobody signed, nor what another key signed."""
    files = host.exports("podman")
    assert host.pulls(published, files)
    assert host.pulls(CHANNELS[1], files)
    unsigned = unproven(host.bench)
    assert not host.pulls(unsigned, files)
    stranger = replace(host.bench.signatures, key=generate_private_key(SECP256R1()))
    assert stranger.sign(unsigned.ref.digest)
    assert not host.pulls(unsigned, files)
    assert not host.pulls(published, host.exports("podman", generate_private_key(SECP256R1())))


@pytest.mark.needs("skopeo-sigstore", "cosign")
def test_a_yanked_image_has_no_signature_any_more(host: Host, tmp_path: Path) -> None:
    """Who reads nothing but signatures refuses it too; the one that takes its place stays."""
    owner = owner_of(host.bench, tmp_path / "owner")
    files = host.exports("podman")
    assert host.pulls(owner.new, files)
    code, _, err = owner.types("yank", digest(owner.new), "--reason", "answers wrong")
    assert (code, "its plain signature is gone" in err) == (GOOD, True), err
    assert not host.pulls(owner.new, files)
    key = signing_keys.public_pem(host.bench.key.public_key()).decode()
    assert not host.verifies(owner.new, "verify", key=key)
    assert host.pulls(owner.old, files)


@pytest.mark.needs("cosign")
def test_policy_controller_asks_what_cosign_finds_by_the_same_words(host: Host, published: Image) -> None:
    """Its key, its type and its CUE: a record that passed is enough, one that failed is none."""
    file = host.exports("policy-controller") / "policy-controller.yaml"
    signed, passed = yaml.safe_load_all(file.read_text())
    key = signed["spec"]["authorities"][0]["key"]["data"]
    assert host.verifies(published, "verify", key=key)
    assert not host.verifies(unproven(host.bench), "verify", key=key)
    (asked,) = passed["spec"]["authorities"][0]["attestations"]
    policy = host.folder / "asked.cue"
    policy.write_text(asked["policy"]["data"])
    words = ("--type", asked["predicateType"], "--policy", str(policy))
    assert host.verifies(published, "verify-attestation", *words, key=key)
    bench, failed = host.bench, host.bench.image("3" * 64)
    bench.prove(failed, result=Result.FAILED)
    carry(failed, bench.staging, bench.destination, bench.evidence)
    manifest = bench.staging.manifest(failed.ref.digest)
    assert manifest
    bench.destination.mount_or_copy_blobs(manifest.blobs, bench.staging)
    bench.destination.put_manifest(manifest)
    assert host.verifies(failed, "verify-attestation", "--type", TEST_RESULT, key=key)
    assert not host.verifies(failed, "verify-attestation", *words, key=key)
    other = bench.elsewhere()
    policy.write_text(
        policy.read_text().replace(bench.destination.repository.path, other.destination.repository.path)
    )
    assert not host.verifies(published, "verify-attestation", *words, key=key)


def test_containerd_pulls_what_the_gate_accepts(host: Host, published: Image) -> None:
    """The program is called as containerd calls it, with a descriptor on stdin."""
    files = host.exports("containerd")
    around = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(Path(__file__).parents[3]),
        "TAGPROOF_PYTHON": sys.executable,
        "TAGPROOF_POLICY": str(files / "policy.yaml"),
        "HOME": "/nonexistent",
    }

    def judges(name: object, image: Image) -> tuple[int, str]:
        descriptor = {"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(image)}
        kind = "application/vnd.oci.descriptor.v1+json"
        done = subprocess.run(
            [files / "tagproof", "-name", str(name), "-digest", digest(image), "-stdin-media-type", kind],
            input=json.dumps(descriptor),
            env=around,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    repository = host.bench.destination.repository
    code, out = judges(repository.tagged("latest"), published)
    assert (code, out.startswith(f"yes: {repository.at(published.ref.digest)}: proven on ")) == (GOOD, True)
    unknown = unproven(host.bench)
    code, out = judges(repository.tagged("unproven"), unknown)
    assert (code, out.startswith(f"no: {repository.at(unknown.ref.digest)}: ")) == (REFUSED, True)
    assert judges("registry.example.org/pause:3.10", published)[0] == REFUSED


def test_the_tag_of_a_signature_is_the_tag_of_no_image(host: Host, published: Image) -> None:
    """Publication is once: what lists images sees those, and a second run finds the signature there."""
    bench = host.bench
    assert set(tagged(bench.destination)) == {published.immutable_tag, *CHANNELS}
    listed = signatures.list_of(bench.destination, published.ref.digest)
    assert listed.tag in bench.destination.tags()
    assert len(listed.entries) == 1
    assert not bench.signatures.sign(published.ref.digest)


def test_no_signature_is_made_of_what_the_gate_refuses(host: Host) -> None:
    """Neither before a tag, nor where the evidence turns on the way: then it is taken away again."""
    bench = host.bench
    image, decision = bench.proven()
    bench.prove(image, result=Result.FAILED, finished="2031-01-01T00:00:00Z")
    put(bench, image, decision)
    assert signatures.list_of(bench.destination, image.ref.digest).entries == []
    image, decision = bench.proven("4" * 64)

    def turn(step: str) -> None:
        if step == "signed plainly":
            failed = bench.prove(image, result=Result.FAILED, finished="2031-01-01T00:00:00Z")
            bench.evidence.copy([failed], bench.staging, bench.destination, image.ref.digest)

    put(bench, image, decision, on_step=turn)
    found = signatures.list_of(bench.destination, image.ref.digest)
    assert (found.exists, found.entries) == (True, [])
