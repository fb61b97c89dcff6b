"""The matrix: what a good one means."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.model import JustifiedRequirement, Later, Trim, Waiver
from pipeline.model.errors import UsageError
from pipeline.model.platforms import AMD64, ARM64
from pipeline.stages.lock import inputs_of
from tests.unit.matrix.samples import CPU, CUDA, GOOD, OLD_CPU, OLD_CUDA, ROOT, load

if TYPE_CHECKING:
    from pathlib import Path


def test_the_axes_are_multiplied_in_the_order_of_the_file(tmp_path: Path) -> None:
    """Each combination is one cell, the last axis turning fastest."""
    assert [cell.id for cell in load(tmp_path, GOOD).cells] == [CPU, OLD_CPU, CUDA, OLD_CUDA]


def test_exclude_takes_cells_of_the_product_away(tmp_path: Path) -> None:
    """A partial match is enough."""
    text = GOOD + "exclude:\n  - {cuda: cu130, vllm: '0.31.0', reason: never released}\n"
    assert [cell.id for cell in load(tmp_path, text).cells] == [CPU, OLD_CPU, CUDA]


def test_include_adds_cells_after_exclude(tmp_path: Path) -> None:
    """What exclude took away may be included again; a platform and vLLM may be left out."""
    text = GOOD + (
        "exclude: [{cuda: cu130, reason: slow}]\n"
        "include:\n"
        "  - {torch: '2.13.0', cuda: cu130, python: '3.11', vllm: '0.32.0'}\n"
        "  - {torch: '2.14.0', cuda: cu130, python: '3.11', platform: linux/arm64}\n"
    )
    ids = [cell.id for cell in load(tmp_path, text).cells]
    assert ids == [CPU, OLD_CPU, CUDA, "torch2.14.0-cu130-py3.11-arm64"]


def test_a_rule_is_for_the_cells_that_its_glob_matches(tmp_path: Path) -> None:
    """Every kind of rule reaches the right specs and no other, in the order of the file."""
    text = GOOD + (
        "packages: [{pins: ['numpy==2.3.4']}, {pins: ['pandas==2.3.3'], cells: '*0.32.0*'}]\n"
        "constraints: [{pins: ['nvidia-cuda-nvcc<13.1'], cells: '*-cu130-*', reason: as the runtime}]\n"
        "overrides: [{pins: ['cuda-python==13.0.0'], cells: '*0.31.0*-{cu126,cu130}-*', reason: one major}]\n"
        "omit: [{packages: [Torch_Vision], cells: '*-cpu-*', reason: 'a  CUDA build'}]\n"
        "trim: [{packages: [Z3_Solver], files: ['z3/lib/*.so.*'], cells: '*-cpu-*', reason: a copy}]\n"
        "system: [libnuma1]\nenv: {B: '1', A: 'x y'}\nserve: ['--seed=0']\n"
    )
    first, _, _, last = load(tmp_path, text).specs
    assert first.packages == ("numpy==2.3.4", "pandas==2.3.3")
    assert last.packages == ("numpy==2.3.4",)
    assert first.constraints == ()
    assert last.constraints == (JustifiedRequirement("nvidia-cuda-nvcc<13.1", "as the runtime"),)
    assert first.overrides == ()
    assert last.overrides == (JustifiedRequirement("cuda-python==13.0.0", "one major"),)
    assert first.omit == (JustifiedRequirement("torch-vision", "a CUDA build"),)
    assert last.omit == ()
    assert first.trim == (Trim(("z3-solver",), ("z3/lib/*.so.*",), "a copy"),)
    assert last.trim == ()
    assert (last.system, last.env, last.serve) == (("libnuma1",), (("B", "1"), ("A", "x y")), ("--seed=0",))


def test_an_alias_may_be_a_glob_that_matches_one_cell(tmp_path: Path) -> None:
    """It is resolved to the cell's id."""
    text = GOOD + "  aliases: {cpu: '*0.32.0*-cpu-*'}\n"
    assert load(tmp_path, text).aliases == (("cpu", CPU),)


def test_staging_is_beside_the_repository_unless_it_is_named(tmp_path: Path) -> None:
    """The default differs from the repository by its name alone."""
    assert str(load(tmp_path, GOOD).staging) == "registry.example.org/team/vllm-staging"
    named = GOOD + "  staging: registry.example.org/attic/vllm\n"
    assert str(load(tmp_path, named).staging) == "registry.example.org/attic/vllm"


def test_another_repository_brings_its_own_staging(tmp_path: Path) -> None:
    """Blobs are mounted within one registry, so the file's staging does not go with another repository."""
    named = GOOD + "  staging: registry.example.org/attic/vllm\n"
    found = load(tmp_path, named, "127.0.0.1:5001/other")
    assert (str(found.repository), str(found.staging)) == (
        "127.0.0.1:5001/other",
        "127.0.0.1:5001/other-staging",
    )


def test_the_policy_requires_every_check_unless_it_says_otherwise(tmp_path: Path) -> None:
    """What is named replaces what each day has; keys of signers are found from the file."""
    assert load(tmp_path, GOOD).policy.required == {}
    (tmp_path / "team.pub").touch()
    text = (
        GOOD
        + "verify: {required: [serve], max_age_days: 7, flaky: accept, signers: [team.pub], model: a/b}\n"
    )
    found = load(tmp_path, text)
    assert (set(found.policy.required.values()), found.policy.max_age_days, found.policy.accept_flaky) == (
        {("serve",)},
        7,
        True,
    )
    assert (found.signers, found.model) == ((tmp_path / "team.pub",), "a/b")


@pytest.mark.parametrize("written", ["0.8", "'0.8'", "0.80"])
def test_a_server_takes_the_share_of_a_gpus_memory_that_is_named(written: str, tmp_path: Path) -> None:
    """And what production takes where none is."""
    assert load(tmp_path, GOOD).gpu_memory == 0.9
    assert load(tmp_path, GOOD + f"gpu: {{memory: {written}}}\n").gpu_memory == 0.8


def test_the_policy_may_ask_for_versions_of_checks_and_of_rules(tmp_path: Path) -> None:
    """By default it asks for none: each counts in the version of its day."""
    assert load(tmp_path, GOOD).policy.at_least == {}
    found = load(tmp_path, GOOD + "verify: {at_least: {chat: 1, jit: 1}}\n")
    assert found.policy.at_least == {"chat": 1, "jit": 1}


def test_rules_to_come_are_those_of_the_policy(tmp_path: Path) -> None:
    found = load(tmp_path, GOOD + 'verify: {later: [{from: "2027-01-01", at_least: {jit: 2}}]}\n')
    assert found.policy.later == (Later("2027-01-01", {"jit": 2}),)


def test_the_policy_compares_speed_only_where_a_ratio_is_named(tmp_path: Path) -> None:
    assert load(tmp_path, GOOD).speed_ratio is None
    assert load(tmp_path, GOOD + "verify: {speed: {ratio: 1.5}}\n").speed_ratio == 1.5


def test_a_base_may_be_an_image_by_digest_with_any_python(tmp_path: Path) -> None:
    """Only a distribution's base ties the Python version."""
    image = f"registry.example.org/base@sha256:{'a' * 64}"
    text = GOOD.replace('{suite: bookworm, refresh: "2026-11-20"}', f'{{image: "{image}"}}')
    found = load(tmp_path, text.replace("3.11", "3.12"))
    assert str(found.specs[0].base.image) == image


def test_the_glibc_of_a_named_base_is_what_the_matrix_says(tmp_path: Path) -> None:
    """It decides which wheels a lock may hold; a distribution's own is known."""
    named = f'base: {{image: "registry.example.org/team/base@sha256:{"a" * 64}", glibc: "2.36"}}'
    text = re.sub(r"(?m)^base:.*\n((?: .*\n)*)", named + "\n", GOOD)
    assert {spec.base.glibc for spec in load(tmp_path, text).specs} == {"2.36"}


def test_a_glibc_without_a_named_base_is_refused(tmp_path: Path) -> None:
    text = re.sub(r"(?m)^base:.*\n((?: .*\n)*)", 'base: {refresh: "2026-11-20", glibc: "2.36"}\n', GOOD)
    with pytest.raises(UsageError, match=r"base\.glibc is set without base\.image"):
        load(tmp_path, text)


def test_the_shipped_matrix_has_the_promised_cells() -> None:
    """Two CPU cells with vLLM, one with PyTorch alone, five CUDA cells, and two aliases, on loopback."""
    shipped = matrix.load(ROOT / "matrix.yaml")
    assert [cell.id for cell in shipped.cells] == [
        CPU,
        OLD_CPU,
        "torch2.13.0-cpu-py3.11",
        "vllm0.33.0-torch2.14.0-cu130-py3.11",
        "vllm0.33.0-torch2.14.0-cu130-py3.13",
        "vllm0.33.0-torch2.14.0-cu130-py3.11-arm64",
        CUDA,
        "vllm0.26.0-torch2.11.0-cu130-py3.11",
    ]
    assert shipped.repository.is_loopback
    assert dict(shipped.aliases) == {"cpu": CPU, "cu130": "vllm0.33.0-torch2.14.0-cu130-py3.11"}
    assert "HF_HUB_OFFLINE" not in dict(shipped.specs[0].env)


def test_the_gpus_of_a_cell_are_those_of_the_last_entry_that_matches_it(tmp_path: Path) -> None:
    """Other GPUs stand beside an ARM processor; one mapping is for all CUDA cells."""
    gpus = "gpu: [{archs: [sm_90, sm_80], memory: 0.8}, {archs: [sm_121], cells: '*-arm64'}]\n"
    arm = "include: [{torch: '2.14.0', cuda: cu130, python: '3.11', platform: linux/arm64}]\n"
    archs = {spec.cell.id: spec.archs for spec in load(tmp_path, GOOD + gpus + arm).specs}
    assert archs == {
        CPU: (),
        OLD_CPU: (),
        CUDA: ("sm_80", "sm_90"),
        OLD_CUDA: ("sm_80", "sm_90"),
        "torch2.14.0-cu130-py3.11-arm64": ("sm_121",),
    }
    shares = "gpu: [{archs: [sm_90], memory: 0.8}, {memory: 0.85, cells: '*-arm64'}]\n"
    loaded = load(tmp_path, GOOD + shares + arm)
    assert {spec.cell.platform: spec.gpu_memory for spec in loaded.specs} == {AMD64: 0.8, ARM64: 0.85}
    assert loaded.gpu_memory == 0.8
    listed = load(tmp_path, GOOD + "gpu: [{archs: [sm_90]}]\n").specs
    assert listed == load(tmp_path, GOOD + "gpu: {archs: [sm_90]}\n").specs


def test_an_exception_is_for_the_cells_that_its_glob_matches_until_its_day(tmp_path: Path) -> None:
    """It reaches the spec as it is written; no key of lock or build knows of it."""
    entry = "{rule: config, path: '/opt/*', cells: '*-cpu-*', reason: ours, expires: '2027-01-31'}"
    found = load(tmp_path, f"{GOOD}exceptions: [{entry}]\n").specs
    waivers = {spec.cell.cuda: spec.waivers for spec in found}
    assert waivers["cpu"] == (Waiver("config", "/opt/*", "ours", date(2027, 1, 31)),)
    assert waivers["cu130"] == ()
    without = load(tmp_path, GOOD).specs
    assert [inputs_of(one) for one in found] == [inputs_of(one) for one in without]
