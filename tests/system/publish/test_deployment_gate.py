"""The gate before a deployment, as somebody types it who has a policy and nothing else of ours."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from pipeline.adapters import signing_keys
from pipeline.formats import dsse
from pipeline.matrix import policy_file
from pipeline.model import Outcome, Policy, Repository, Result, Signer
from pipeline.model.errors import GOOD, MACHINE, REFUSED, USAGE
from pipeline.stages import attest
from pipeline.stages.publish import carry
from tests import builders
from tests.builders import CPU_CELL, check
from tests.system.publish.publishing import LATER, put

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.formats.dsse import PrivateKey
    from pipeline.model import Image
    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")

SECONDS = 20
"""In which whoever deploys is told that a registry is down; a start of Python is in it."""


@dataclass(frozen=True)
class Deployer:
    """An empty folder, a home with nothing in it, and a policy elsewhere."""

    here: Path
    policy: Path

    def types(self, *words: object, **variables: str) -> subprocess.CompletedProcess[str]:
        """One command, in an environment of nothing but what Python needs."""
        home = self.here.parent / "home"
        home.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        around = {"PATH": "/nowhere", "HOME": str(home), "PYTHONDONTWRITEBYTECODE": "1", **kept, **variables}
        return subprocess.run(
            [sys.executable, "-m", "pipeline", *map(str, words)],
            cwd=self.here,
            env=around,
            capture_output=True,
            text=True,
            check=False,
        )

    def gate(self, reference: object, *words: object, **variables: str) -> tuple[int, str, str]:
        done = self.types("gate", reference, "--policy", self.policy, *words, **variables)
        return done.returncode, done.stdout, done.stderr

    def asks(self, policy: Policy) -> None:
        self.policy.write_text(policy_file.text_of(policy))


def signer(key: PrivateKey, name: str = "team", **days: str) -> Signer:
    return Signer(name, signing_keys.public_pem(key.public_key()).decode(), **days)


def policy_for(bench: Bench, *signers: Signer, **changes: Any) -> Policy:
    named = (bench.home or bench.destination.repository, bench.destination.repository)
    return Policy(
        required={"vllm-cpu": ("serve",)},
        repositories=dict.fromkeys(named, "published"),
        signers=signers or (signer(bench.key),),
        **changes,
    )


@pytest.fixture
def deployer(tmp_path: Path, bench: Bench) -> Iterator[Deployer]:
    """Whoever types leaves nothing behind, in the folder or at home."""
    (tmp_path / "here").mkdir()
    found = Deployer(tmp_path / "here", tmp_path / "policy.yaml")
    found.asks(policy_for(bench))
    yield found
    assert list(found.here.rglob("*")) == []
    assert list((tmp_path / "home").rglob("*")) == []


@pytest.fixture
def published(bench: Bench) -> Image:
    image, decision = bench.proven()
    put(bench, image, decision)
    return image


def test_a_published_image_is_accepted_by_tag_and_by_digest_in_one_line(
    deployer: Deployer, bench: Bench, published: Image
) -> None:
    """The answer names the digest to deploy, the day, the machine, who signed, and the publication."""
    repository, digest = bench.destination.repository, published.ref.digest
    for reference in (repository.at(digest), repository.tagged("latest"), repository.tagged(CPU_CELL.id)):
        code, out, err = deployer.gate(reference)
        assert (code, err) == (GOOD, "")
        day = builders.now()[:10]
        assert out.startswith(f"yes: {repository}@{digest}: proven on {day} on cpu-amd64, signed by team (")
        assert out.endswith(f"), published as {published.immutable_tag}\n")
        assert out.count("\n") == 1


def test_a_program_is_told_all_of_it(deployer: Deployer, bench: Bench, published: Image) -> None:
    reference = bench.destination.repository.tagged("latest")
    code, out, _ = deployer.gate(reference, "--json")
    answer = json.loads(out)
    assert (code, answer["accepted"], answer["asked"]) == (GOOD, True, str(reference))
    assert answer["image"] == f"{bench.destination.repository}@{published.ref.digest}"
    assert answer["policy"] == str(policy_for(bench).digest)
    key = dsse.fingerprint(bench.key.public_key())
    said = [(one["kind"], one["says"], one["name"], one["key"]) for one in answer["statements"]]
    assert said == [("record", "PASSED", "team", key), ("certificate", "PASSED", "team", key)]
    assert answer["proofs"][0]["record"]["digest"] == str(published.ref.digest)
    assert answer["certified"]["certificate"]["digest"] == str(published.ref.digest)
    assert answer["certifies"]["hardware"] == "cpu-amd64"


def test_a_tag_is_resolved_once(deployer: Deployer, bench: Bench, proxy: Proxy, published: Image) -> None:
    """It names another image a moment later; the answer is about the first, and names that."""
    other = bench.staging.manifest(bench.image().ref.digest)
    assert other
    bench.destination.mount_or_copy_blobs(other.blobs, bench.staging)
    through = bench.through(proxy)

    def move(method: str, path: str, answer: Answer) -> Answer:
        if (method, path.rpartition("/")[2]) == ("GET", "latest"):
            bench.destination.put_manifest(other, "latest")
        return answer

    proxy.after = move
    deployer.asks(policy_for(through))
    code, out, _ = deployer.gate(through.destination.repository.tagged("latest"))
    assert (code, f"@{published.ref.digest}: proven on" in out) == (GOOD, True)
    assert sum(path.endswith("/latest") for _, path in proxy.seen) == 1
    assert proxy.writes == []


def test_an_image_in_staging_is_refused_unless_the_policy_names_it(deployer: Deployer, bench: Bench) -> None:
    image, _ = bench.proven()
    code, out, err = deployer.gate(image.ref)
    assert (code, out.startswith(f"no: {image.ref}: the policy names no repository")) == (REFUSED, True)
    assert "hint: " in err
    named = policy_for(bench)
    deployer.asks(replace(named, repositories={**named.repositories, image.ref.repository: "any"}))
    code, out, _ = deployer.gate(image.ref)
    assert (code, out.endswith(", not published\n")) == (GOOD, True)


def test_a_copy_elsewhere_is_refused_and_one_among_named_repositories_is_not(
    deployer: Deployer, bench: Bench, published: Image
) -> None:
    """The very same bytes, with all that was signed of them."""
    mirror = type(bench.destination)(Repository(bench.destination.repository.host, "mirror/of/it"))
    manifest = bench.destination.manifest(published.ref.digest)
    assert manifest
    mirror.mount_or_copy_blobs(manifest.blobs, bench.destination)
    for tag in (published.immutable_tag, "latest"):
        mirror.put_manifest(manifest, tag)
    carry(published, bench.destination, mirror, bench.evidence, lambda _: None)
    reference = mirror.repository.tagged("latest")
    assert deployer.gate(reference)[0] == REFUSED
    named = policy_for(bench)
    deployer.asks(replace(named, repositories={**named.repositories, mirror.repository: "published"}))
    assert deployer.gate(reference)[0] == GOOD


def test_a_failure_that_was_signed_later_refuses_every_tag_of_the_image(
    deployer: Deployer, bench: Bench, published: Image
) -> None:
    bundle = attest.sign(
        bench.record(
            published, finished=LATER, result=Result.FAILED, checks=(check("serve", Outcome.FAILED),)
        ),
        bench.key,
    )
    attest.attach(bench.destination, bench.destination.repository.at(published.ref.digest), bundle)
    code, out, err = deployer.gate(bench.destination.repository.tagged("latest"))
    assert (code, "failed later" in out, "hint: " in err) == (REFUSED, True, True)


def test_an_image_whose_publication_was_taken_back_is_refused(
    deployer: Deployer, bench: Bench, published: Image
) -> None:
    bench.destination.delete_tag(published.immutable_tag)
    code, out, _ = deployer.gate(bench.destination.repository.at(published.ref.digest))
    assert (code, "no publication names it" in out) == (REFUSED, True)


def test_keys_are_rotated_by_the_days_on_which_they_count(
    deployer: Deployer, bench: Bench, published: Image
) -> None:
    """What the old key signed in its time goes on to count; what it signed after its last day does not."""
    new = generate_private_key(SECP256R1())
    today = builders.now()[:10]
    reference = bench.destination.repository.at(published.ref.digest)
    deployer.asks(policy_for(bench, signer(bench.key, "old", until=today), signer(new, "new", since=today)))
    code, out, _ = deployer.gate(reference)
    assert (code, "signed by old (" in out) == (GOOD, True)
    deployer.asks(policy_for(bench, signer(bench.key, "old", until="2026-01-01"), signer(new, "new")))
    code, out, err = deployer.gate(reference)
    assert (code, "nothing that a signer of the policy signed" in out) == (REFUSED, True)
    assert "old until 2026-01-01" in err


def test_a_key_of_the_command_line_counts_beside_those_of_the_policy(
    deployer: Deployer, bench: Bench, published: Image, tmp_path: Path
) -> None:
    reference = bench.destination.repository.at(published.ref.digest)
    stranger = signer(generate_private_key(SECP256R1()), "another")
    deployer.asks(policy_for(bench, stranger))
    code, out, _ = deployer.gate(reference)
    assert (code, dsse.fingerprint(bench.key.public_key()) in out) == (REFUSED, True)
    (tmp_path / "ours.pub").write_bytes(signing_keys.public_pem(bench.key.public_key()))
    code, out, _ = deployer.gate(reference, "--key", tmp_path / "ours.pub")
    assert (code, "signed by ours (" in out) == (GOOD, True)


@pytest.mark.parametrize("variables", [{"CI": "true"}, {}])
def test_what_the_registry_does_not_have_is_refused(
    variables: dict[str, str], deployer: Deployer, bench: Bench
) -> None:
    code, out, _ = deployer.gate(bench.destination.repository.tagged("none"), **variables)
    assert (code, "no such tag" in out) == (REFUSED, True)


def test_a_registry_that_is_down_or_silent_is_told_in_seconds(
    deployer: Deployer, bench: Bench, unused_port: int
) -> None:
    """As what it is: nothing is known of the image."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        for port in (unused_port, silent.getsockname()[1]):
            repository = Repository(f"127.0.0.1:{port}", "team/vllm")
            deployer.asks(replace(policy_for(bench), repositories={repository: "published"}))
            began = time.monotonic()
            code, out, err = deployer.gate(repository.tagged("latest"))
            assert (code, out) == (MACHINE, "")
            assert f"127.0.0.1:{port}" in err
            assert time.monotonic() - began < SECONDS


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["ubuntu:24.04", "--policy", "{policy}"], "no host"),
        (["127.0.0.1:5000/a", "--policy", "{policy}"], "names no tag"),
        (["127.0.0.1:5000/a:b", "--policy", "none.yaml"], "there is no such file"),
        (["127.0.0.1:5000/a:b", "--policy", "{policy}", "--key", "none.pub"], "none.pub"),
        (["127.0.0.1:5000/a:b", "--policy", "{policy}", "--repository", "a.org/b"], "--repository"),
        ([f"127.0.0.1:5000/a@sha256:{'a' * 64}", "--key", "none.pub"], "--key is for a deployment"),
    ],
)
def test_what_is_typed_wrong_is_said_before_anything_is_asked(
    words: Sequence[str], what: str, deployer: Deployer
) -> None:
    done = deployer.types("gate", *(word.format(policy=deployer.policy) for word in words))
    assert (done.returncode, done.stdout) == (USAGE, "")
    assert what in done.stderr
    assert "hint: " in done.stderr
