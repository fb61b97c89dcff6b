"""The file of a policy: what it may say, what is refused of it, and that what is written is read again."""

from __future__ import annotations

import json
import re
import textwrap
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline import matrix
from pipeline.matrix import policy_file
from pipeline.model import (
    CHECKS,
    KINDS,
    Demand,
    Later,
    Policy,
    Repository,
    ScanTerms,
    Signer,
    Threat,
    Tolerated,
    checks_of_kind,
)
from pipeline.model.errors import UsageError
from tests.unit.stages.deployed_image import OURS, signer

HERE = Repository.parse("registry.example.org/team/vllm")
TEAM = signer(OURS, "team", "2026-01-01", "2026-12-31")
FULL = Policy(
    required={"vllm-cuda": ("serve", "correct"), "torch-cpu": ("correct",)},
    max_age_days=30,
    accept_flaky=True,
    at_least={"correct": 2, "closure": 1},
    left_out={"torch2.13.0-cpu-py3.11": frozenset({"train", "generate"})},
    repositories={HERE: "published", Repository.parse(f"{HERE}-staging"): "any"},
    signers=(TEAM, replace(TEAM, name='CI: "new"', since="", until="")),
    architectures=("sm_90", "sm_100"),
    max_attempts=3,
    tolerated=("budget",),
    later=(Later("2027-01-01", {"correct": 3}, 30), Later("2027-06-01", {}, 7)),
    scan=ScanTerms(
        7,
        Demand(
            Threat.HIGH,
            fixable=True,
            leeway=14,
            tolerated=(
                Tolerated(frozenset({"CVE-2026-1"}), ("open*",), date(2027, 1, 1), "we do not call it"),
            ),
        ),
    ),
)
SMALL = f"schema: 1\nrepositories: {{{HERE}: published}}\n"


def read(folder: Path, text: str) -> Policy:
    file = folder / "policy.yaml"
    file.write_text(text)
    return policy_file.read(file)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    assert read(tmp_path, policy_file.text_of(FULL)) == FULL
    small = Policy(repositories={HERE: "published"})
    assert read(tmp_path, policy_file.text_of(small)) == small == read(tmp_path, SMALL)


@given(some.data())
def test_any_policy_is_written_as_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, data: some.DataObject
) -> None:
    names = some.text(some.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=20)
    some_checks = {kind: some.lists(some.sampled_from(checks_of_kind(kind)), min_size=1) for kind in KINDS}
    policy = Policy(
        required={
            kind: tuple(data.draw(some_checks[kind]))
            for kind in data.draw(some.sets(some.sampled_from(KINDS)))
        },
        max_age_days=data.draw(some.integers(1, 3650)),
        at_least=data.draw(some.dictionaries(some.sampled_from(CHECKS), some.integers(1, 9))),
        repositories={HERE: data.draw(some.sampled_from(["any", "published"]))},
        signers=(replace(TEAM, name=data.draw(names)),),
    )
    assert read(tmp_path_factory.mktemp("policy"), policy_file.text_of(policy)) == policy


def test_a_policy_may_be_json(tmp_path: Path) -> None:
    key = {"name": "team", "key": TEAM.key, "until": "2026-12-31"}
    document = {"schema": 1, "repositories": {str(HERE): "any"}, "signers": [key], "max_attempts": 2}
    found = read(tmp_path, json.dumps(document))
    assert found.signers == (Signer("team", TEAM.key, "", "2026-12-31"),)
    assert (found.repositories, found.max_attempts) == ({HERE: "any"}, 2)


@pytest.mark.parametrize(
    ("text", "line", "what", "hint"),
    [
        ("schema: 1\n", 1, "repositories is missing", ""),
        ("schema: 2\nrepositories: {a.org/b: any}\n", 1, "schema", ""),
        (SMALL + "max_age: 3\n", 3, "unknown key 'max_age'", "did you mean max_age_days?"),
        (SMALL + "max_age_days: 0\n", 3, "max_age_days", ""),
        ("schema: 1\nrepositories: {team/vllm: any}\n", 2, "is no repository", "registry.example.org"),
        ("schema: 1\nrepositories: {a.org/b: staged}\n", 2, "'published' or 'any'", "choose one of"),
        (SMALL + "required: {vllm-cpu: [server]}\n", 3, "'server'", ""),
        (SMALL + "required: {torch-cpu: [serve]}\n", 1, "kind torch-cpu has no check serve", "its checks"),
        (SMALL + "required: {vllm: [serve]}\n", 3, "'vllm'", "vllm-c"),
        (SMALL + "architectures: [sm90]\n", 3, "sm90", "did you mean"),
        (SMALL + "signers: [{name: a, key: abc}]\n", 3, "no public key in PEM", "BEGIN PUBLIC KEY"),
        (SMALL + "signers: [{name: a, key: -BEGIN PRIVATE KEY-}]\n", 3, "a private key", "take it out"),
        (SMALL + "signers: [{name: a, key: abc, from: 2026-01-01}]\n", 3, "without quotes", "quote it"),
        (SMALL + "max_age_days: &x 3\n", 3, "anchor", "remove it"),
        (SMALL + 'later: [{from: "2027-01-01"}]\n', 3, "nothing is asked from 2027-01-01 on", "at_least"),
        (SMALL + "later: [{at_least: {correct: 2}}]\n", 3, "from is missing", ""),
        (SMALL + "scan: {severity: high}\n", 1, "does not say how old a scan may be", "max_age_days"),
        (SMALL + "scan: {max_age_days: 0}\n", 3, "max_age_days", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_place_and_its_remedy(
    text: str, line: int, what: str, hint: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        read(tmp_path, text)
    said = str(refused.value)
    assert f"policy.yaml:{line}:" in said
    assert what in said
    assert hint in said.partition("hint:")[2]


def test_days_in_the_wrong_order_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    late = replace(TEAM, since="2027-01-01")
    with pytest.raises(UsageError, match="ends on 2026-12-31, before it begins on 2027-01-01"):
        read(tmp_path, policy_file.text_of(replace(FULL, signers=(late,))))
    with pytest.raises(UsageError, match=r"no such file\n.*--policy FILE"):
        policy_file.read(tmp_path / "none")


MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0", none]
base: {suite: bookworm, refresh: "2026-11-20"}
publish: {repository: registry.example.org/team/vllm}
verify: {required: [serve, correct], at_least: {correct: 1}, max_age_days: 7, flaky: accept}
leave_out: [{checks: [quantized], cells: "vllm*", reason: nobody asks for it}]
"""


def test_the_policy_of_a_matrix_asks_what_its_gate_asks_of_a_proof(tmp_path: Path) -> None:
    """By kind of cell: what a cell without a server is not asked for is not written down for it."""
    (tmp_path / "matrix.yaml").write_text(MATRIX)
    policy = policy_file.of_matrix(matrix.load(tmp_path / "matrix.yaml"), [TEAM])
    assert policy == Policy(
        required={"vllm-cpu": ("serve", "correct"), "torch-cpu": ("correct",)},
        max_age_days=7,
        accept_flaky=True,
        at_least={"correct": 1},
        left_out={"vllm0.32.0-torch2.13.0-cpu-py3.11": frozenset({"quantized"})},
        repositories={HERE: "published"},
        signers=(TEAM,),
    )
    assert read(tmp_path, policy_file.text_of(policy)) == policy


def test_the_page_shows_a_file_that_is_understood(tmp_path: Path) -> None:
    """With every key that there is."""
    page = (Path(__file__).parents[3] / "docs" / "policy.md").read_text("utf-8")
    (shown,) = re.findall(r"^    schema: 1\n(?:    .*\n)+", page, flags=re.MULTILINE)
    found = read(tmp_path, textwrap.dedent(shown))
    assert set(found.repositories.values()) == {"published", "any"}
    assert [(one.name, one.since, one.until) for one in found.signers] == [
        ("ci", "", "2026-12-31"),
        ("ci-2027", "2026-12-01", ""),
    ]
    keys = {entry.alias or name for name, entry in policy_file.PolicyFile.model_fields.items()}
    assert keys == set(re.findall(r"^(\w+):", textwrap.dedent(shown), flags=re.MULTILINE))
