"""A policy as files for what admits images: each demands what it can, and says what it cannot."""

from __future__ import annotations

import base64
import json
import subprocess
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pipeline.cli.commands.policy import PROGRAMS
from pipeline.cli.main import main
from pipeline.formats.dsse import TEST_RESULT
from pipeline.matrix import policy_file
from pipeline.model import Policy, Repository
from pipeline.model.errors import GOOD, USAGE
from pipeline.report import admission
from tests.unit.stages.deployed_image import OURS, STRANGER, signer

if TYPE_CHECKING:
    from pathlib import Path

HERE = Repository.parse("registry.example.org:5000/team/vllm")
STAGING = Repository.parse(f"{HERE}-staging")
POLICY = Policy(
    repositories={HERE: "published", STAGING: "any"},
    signers=(signer(OURS, "team"), signer(STRANGER, "CI: two")),
)
KEYS = [one.key for one in POLICY.signers]
PUBLISHED = [f"{HERE}:*", f"{HERE}@*"]
EVERY = [*PUBLISHED, f"{STAGING}:*", f"{STAGING}@*"]


def loaded(program: str, name: str, policy: Policy = POLICY) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(admission.TARGETS[program](policy)[name]))


def test_policy_controller_demands_a_signature_and_a_record_that_passed() -> None:
    """By any of the signers; where nothing is published there is no signature to ask for."""
    signed, passed = loaded("policy-controller", "policy-controller.yaml")
    for one in (signed, passed):
        assert (one["apiVersion"], one["kind"]) == ("policy.sigstore.dev/v1beta1", "ClusterImagePolicy")
        keys = [authority["key"] for authority in one["spec"]["authorities"]]
        assert keys == [{"hashAlgorithm": "sha256", "data": key} for key in KEYS]
    assert signed["metadata"]["name"] != passed["metadata"]["name"]
    assert [image["glob"] for image in signed["spec"]["images"]] == PUBLISHED
    assert [image["glob"] for image in passed["spec"]["images"]] == EVERY
    assert all("attestations" not in authority for authority in signed["spec"]["authorities"])
    for authority in passed["spec"]["authorities"]:
        (asked,) = authority["attestations"]
        assert (asked["predicateType"], asked["policy"]["type"]) == (TEST_RESULT, "cue")
        assert f'tagproof_record: repository: "{HERE}" | "{STAGING}"' in asked["policy"]["data"]
        assert 'result: "PASSED"' in asked["policy"]["data"]
    (only,) = loaded(
        "policy-controller", "policy-controller.yaml", replace(POLICY, repositories={STAGING: "any"})
    )
    assert only["spec"]["authorities"][0]["attestations"]


def test_kyverno_demands_the_same_and_no_transparency_log() -> None:
    (policy,) = loaded("kyverno", "kyverno.yaml")
    assert (policy["apiVersion"], policy["kind"]) == ("kyverno.io/v1", "ClusterPolicy")
    assert policy["spec"]["webhookConfiguration"]["failurePolicy"] == "Fail"
    (rule,) = policy["spec"]["rules"]
    signed, passed = rule["verifyImages"]
    assert (signed["imageReferences"], passed["imageReferences"]) == (PUBLISHED, EVERY)
    for one in (signed, passed):
        assert (one["failureAction"], one["required"], one["verifyDigest"]) == ("Enforce", True, True)
    (asked,) = passed["attestations"]
    assert asked["type"] == TEST_RESULT
    assert "attestations" not in signed
    for attestors in (signed["attestors"], asked["attestors"]):
        (attestor,) = attestors
        assert attestor["count"] == 1
        assert [entry["keys"]["publicKeys"] for entry in attestor["entries"]] == KEYS
        assert all(entry["keys"]["rekor"] == {"ignoreTlog": True} for entry in attestor["entries"])
    assert asked["conditions"] == [
        {
            "all": [
                {"key": "{{ result }}", "operator": "Equals", "value": "PASSED"},
                {
                    "key": "{{ tagproof_record.repository }}",
                    "operator": "AnyIn",
                    "value": [str(HERE), str(STAGING)],
                },
            ]
        }
    ]


def test_podman_demands_a_signature_and_refuses_all_else() -> None:
    """Staging has none, so it is refused; one key stands in words that older versions know too."""
    files = admission.TARGETS["podman"](POLICY)
    demanded = json.loads(files["policy.json"])
    encoded = [base64.b64encode(key.encode()).decode() for key in KEYS]
    asked = {"type": "sigstoreSigned", "signedIdentity": {"type": "matchRepository"}}
    assert demanded == {
        "default": [{"type": "reject"}],
        "transports": {"docker": {str(HERE): [{**asked, "keyDatas": encoded}]}},
    }
    assert yaml.safe_load(files["registries.yaml"]) == {
        "docker": {str(HERE): {"use-sigstore-attachments": True}}
    }
    one = admission.TARGETS["podman"](replace(POLICY, signers=POLICY.signers[:1]))
    (requirement,) = json.loads(one["policy.json"])["transports"]["docker"][str(HERE)]
    assert requirement == {**asked, "keyData": encoded[0]}


def test_where_nobody_signs_podman_takes_nothing() -> None:
    files = admission.TARGETS["podman"](replace(POLICY, signers=()))
    assert json.loads(files["policy.json"])["transports"]["docker"][str(HERE)] == [{"type": "reject"}]


def test_containerd_asks_the_gate_with_the_policy_itself(tmp_path: Path) -> None:
    files = admission.TARGETS["containerd"](POLICY)
    given = tmp_path / "policy.yaml"
    given.write_text(files["policy.yaml"])
    assert policy_file.read(given).digest == POLICY.digest
    settings = tomllib.loads(files["containerd.toml"])["plugins"]["io.containerd.image-verifier.v1.bindir"]
    assert settings["bin_dir"].startswith("/")
    program = tmp_path / admission.PROGRAM
    program.write_text(files[admission.PROGRAM])
    asked = {
        "registry.example.org:5000/team/vllm": f"{HERE}@sha256:1",
        "registry.example.org:5000/team/vllm:stable": f"{HERE}@sha256:1",
        "registry.example.org:5000/team/vllm:stable@sha256:2": f"{HERE}@sha256:1",
        "": "@sha256:1",
    }
    for name, expected in asked.items():
        done = subprocess.run(
            ["/bin/sh", program, "-stdin-media-type", "x", "-name", name, "-digest", "sha256:1"],
            env={"TAGPROOF_PYTHON": "/bin/echo", "TAGPROOF_POLICY": "p"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"-m pipeline gate {expected} --policy p\n"


@pytest.mark.parametrize(
    ("program", "name"),
    [
        ("policy-controller", "policy-controller.yaml"),
        ("kyverno", "kyverno.yaml"),
        ("podman", "registries.yaml"),
        ("containerd", "tagproof"),
    ],
)
def test_each_says_at_its_head_from_which_policy_it_is_and_what_it_leaves_out(
    program: str, name: str
) -> None:
    text = admission.TARGETS[program](POLICY)[name].removeprefix("#!/bin/sh\n")
    head = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("#"))
    assert text.startswith("# ")
    assert str(POLICY.digest) in head
    if program == "containerd":
        assert "This asks for all of it, at each pull" in head
    else:
        assert "How old a proof is, after how many attempts it passed" in head
        assert "can put an old signature back" in head


# -- as somebody types it -----------------------------------------------------------------------------


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "given.yaml"
    path.write_text(policy_file.text_of(POLICY))
    return path


def test_every_program_can_be_named() -> None:
    assert set(PROGRAMS) == set(admission.TARGETS)


def test_one_command_prints_a_file_or_several_under_their_names(
    given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["policy", "export", "--policy", str(given), "--for"]
    assert main([*words, "kyverno"]) == GOOD
    assert capsys.readouterr().out == admission.TARGETS["kyverno"](POLICY)["kyverno.yaml"]
    assert main([*words, "podman"]) == GOOD
    out = capsys.readouterr().out
    assert out.startswith("# ---- policy.json\n{")
    assert "\n# ---- registries.yaml\n# " in out
    assert main([*words, "podman", "--json"]) == GOOD
    assert json.loads(capsys.readouterr().out)["files"] == admission.TARGETS["podman"](POLICY)


def test_files_are_written_into_a_folder_and_the_program_can_be_run(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["policy", "export", "--policy", str(given), "--for", "containerd", "--output", str(tmp_path)]
    assert main(words) == GOOD
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("tagproof", "policy.yaml")}
    assert modes == {"tagproof": 0o755, "policy.yaml": 0o644}
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--output", "."], "--output is for files"),
        (["--repository", "registry.example.org/a"], "--repository is for the matrix"),
        (["--for", "podman", "--output", "none"], "there is no such folder"),
        (["--for", "docker"], "docker"),
    ],
)
def test_what_is_typed_wrong_is_said(
    words: list[str], what: str, given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(["policy", "export", "--policy", str(given), *words])
    except SystemExit as ended:
        code = int(ended.code or 0)
    err = capsys.readouterr().err
    assert (code, what in err) == (USAGE, True)


def test_a_policy_that_names_no_signer_is_exported_for_nobody(
    given: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given.write_text(f"schema: 1\nrepositories: {{{HERE}: published}}\n")
    assert main(["policy", "export", "--policy", str(given), "--for", "kyverno"]) == USAGE
    assert "it names no signer" in capsys.readouterr().err
