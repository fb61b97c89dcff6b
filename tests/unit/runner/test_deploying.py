"""What the gate before a deployment asks a registry, and what it believes of the answers."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters import signing_keys
from pipeline.adapters.registry import OCI_MANIFEST, Manifest
from pipeline.cli import main as command_line
from pipeline.formats import dsse
from pipeline.matrix import policy_file
from pipeline.model import Digest, Policy, Signer, canonical
from pipeline.model.errors import GOOD, MACHINE, REFUSED, RegistryError, UsageError
from pipeline.runner import deploying
from pipeline.stages import attest
from tests.builders import certificate, now, record
from tests.memory_registry import MemoryRegistry, memory_registry
from tests.unit.stages.attest.samples import IMAGE, SUBJECT
from tests.unit.stages.deployed_image import OURS, STRANGER, TAG, signer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.adapters.registry import Registry


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """A registry of the test's own, where nobody else writes: there is nothing to wait for."""
    monkeypatch.setattr("pipeline.adapters.registry.referrers.time", SimpleNamespace(sleep=lambda _: None))
    monkeypatch.setattr(deploying, "PATIENCE", 0.3)
    with memory_registry() as running:
        yield running


@pytest.fixture
def home(registry: MemoryRegistry) -> Registry:
    """A repository with an image that is proven and published a moment ago."""
    found = registry.at("team/vllm")
    for tag in (TAG, "latest"):
        found.put_manifest(IMAGE, tag)
    about: dict[str, Any] = {"digest": str(SUBJECT), "repository": str(found.repository)}
    moment = now()
    for bundle in (
        attest.sign(record(**about, started=moment, finished=moment), OURS),
        attest.certificates.sign(certificate(**about, created=moment), OURS),
    ):
        attest.attach(found, found.repository.at(SUBJECT), bundle)
    registry.writes.clear()
    return found


def policy(home: Registry, *signers: Signer) -> Policy:
    return Policy(
        required={"vllm-cpu": ("serve",)},
        repositories={home.repository: "published"},
        signers=signers or (signer(OURS),),
    )


def test_a_tag_and_the_digest_that_it_names_have_the_same_answer(
    home: Registry, registry: MemoryRegistry
) -> None:
    """Which names the digest; and nothing is written for it."""
    by_tag = deploying.accept(home.repository.tagged("latest"), policy(home))
    by_digest = deploying.accept(home.repository.at(SUBJECT), policy(home))
    assert by_tag.image == by_digest.image == home.repository.at(SUBJECT)
    assert (by_tag.accepted, by_digest.accepted, registry.writes) == (True, True, [])


def test_another_image_in_the_place_of_the_one_that_is_asked_for_is_not_judged_for_it(
    home: Registry, registry: MemoryRegistry
) -> None:
    """A registry gives a proven image for a digest that is none: nothing is known of what was asked."""
    kept = registry.kept[home.repository.path]
    other = Manifest(canonical({**json.loads(IMAGE.body), "annotations": {"a": "b"}}), OCI_MANIFEST)
    kept.manifests[str(other.digest)] = kept.manifests[str(SUBJECT)]
    with pytest.raises(RegistryError, match=str(other.digest)):
        deploying.accept(home.repository.at(other.digest), policy(home))


def test_nothing_is_asked_of_a_repository_that_the_policy_does_not_name(registry: MemoryRegistry) -> None:
    elsewhere = registry.at("elsewhere")
    refused = deploying.accept(elsewhere.repository.tagged("latest"), policy(registry.at("team/vllm")))
    assert {reason.code for reason in refused.reasons} == {"repository-unnamed"}
    assert "elsewhere" not in registry.kept


def test_what_a_registry_lacks_is_a_refusal(home: Registry, registry: MemoryRegistry) -> None:
    """A tag, a digest, or the statements beside it."""
    for asked in (home.repository.tagged("none"), home.repository.at(Digest.of(b"none"))):
        refused = deploying.accept(asked, policy(home))
        assert {reason.code for reason in refused.reasons} == {"no-image"}
    blobs = registry.kept[home.repository.path].blobs
    for name in [name for name, body in blobs.items() if b"dsseEnvelope" in body]:
        del blobs[name]
    refused = deploying.accept(home.repository.tagged("latest"), policy(home))
    assert {reason.code for reason in refused.reasons} == {"no-proof", "no-certificate"}


def test_signers_are_of_the_policy_or_of_the_command_line(home: Registry, tmp_path: Path) -> None:
    """One of the two has to name some; a policy whose key is none is refused."""
    (tmp_path / "ours.pub").write_bytes(signing_keys.public_pem(OURS.public_key()))
    asked, of_others = home.repository.tagged("latest"), policy(home, signer(STRANGER))
    assert not deploying.accept(asked, of_others).accepted
    accepted = deploying.accept(asked, of_others, [tmp_path / "ours.pub"])
    assert accepted.accepted
    assert accepted.names[dsse.fingerprint(OURS.public_key())] == "ours"
    assert accepted.policy != of_others.digest, "what was judged by is more than the file"
    nobody = Policy(repositories={home.repository: "published"})
    with pytest.raises(UsageError, match="names no signers"):
        deploying.accept(asked, nobody)
    with pytest.raises(UsageError, match="signers: broken: no public key"):
        deploying.accept(asked, policy(home, Signer("broken", "-----BEGIN PUBLIC KEY-----")))


def test_the_answer_is_one_line_and_its_code_is_that_of_every_command(
    home: Registry, registry: MemoryRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, image = tmp_path / "policy.yaml", home.repository.at(SUBJECT)
    file.write_text(policy_file.text_of(policy(home)))
    words = ["--policy", str(file)]
    assert command_line.main(["gate", str(home.repository.tagged("latest")), *words]) == GOOD
    out, err = capsys.readouterr()
    assert (out.count("\n"), out.startswith(f"yes: {image}: proven on "), err) == (1, True, "")
    file.write_text(policy_file.text_of(policy(home, signer(STRANGER))))
    assert command_line.main(["gate", str(home.repository.tagged("latest")), *words]) == REFUSED
    out, err = capsys.readouterr()
    assert (out.count("\n"), out.startswith(f"no: {image}: nothing that")) == (1, True)
    assert err.count("hint: ") == 4, "each reason, and each statement that does not count, has its remedy"
    registry.kept[home.repository.path].manifests[str(SUBJECT)] = OCI_MANIFEST, b"other"
    assert command_line.main(["gate", str(image), *words]) == MACHINE
    assert capsys.readouterr().out == ""
