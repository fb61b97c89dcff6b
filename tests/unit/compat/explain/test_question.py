"""A question to explain: how it may be written, and what is said of one that nobody could mean."""

from __future__ import annotations

import pytest

from pipeline.compat import shipped
from pipeline.compat.explain import question
from pipeline.model import Cell, Conditions
from pipeline.model.errors import UsageError
from tests.builders import CPU_CELL


@pytest.mark.parametrize(
    ("word", "axis", "value"),
    [
        ("cuda=cu121", "cuda", "cu121"),
        ("cuda=12.1", "cuda", "cu121"),
        ("cuda=CUDA-12.1.0", "cuda", "cu121"),
        ("cuda=cpu", "cuda", "cpu"),
        ("torch=v2.3.0", "torch", "2.3.0"),
        ("torch=2.3.0+cu121", "torch", "2.3.0"),
        ("python=py3.11", "python", "3.11"),
        ("python=3.11.7", "python", "3.11"),
        ("vllm=0.5.3.post1", "vllm", "0.5.3.post1"),
        ("vllm=none", "vllm", "none"),
        ("platform=aarch64", "platform", "linux/arm64"),
    ],
)
def test_an_axis_may_be_written_as_people_write_it(word: str, axis: str, value: str) -> None:
    assert getattr(question.parse([word], shipped()), axis) == value


@pytest.mark.parametrize(
    ("word", "conditions"),
    [
        ("gpu=h200", Conditions(gpus=("H200",))),
        ("gpu=NVIDIA GeForce RTX 5090", Conditions(gpus=("GeForce RTX 5090",))),
        ("gpu=5090", Conditions(gpus=("GeForce RTX 5090",))),
        ("gpu=orin", Conditions(gpus=("Jetson AGX Orin",))),
        ("gpu=rtx-5090,V100", Conditions(gpus=("GeForce RTX 5090", "V100"))),
        ("arch=sm_90,8.6", Conditions(archs=("sm_90", "sm_86"))),
        ("driver=550.54.14", Conditions(driver="550.54.14")),
        ("driver=R570", Conditions(driver="570")),
        ("driver=570", Conditions(driver="570")),
        ("driver=r570.26.01", Conditions(driver="570.26.01")),
        ("gpu=rtx pro 6000", Conditions(gpus=("RTX PRO 6000 Blackwell",))),
        (
            "gpu=NVIDIA RTX PRO 6000 Blackwell Server Edition",
            Conditions(gpus=("RTX PRO 6000 Blackwell Server Edition",)),
        ),
        ("glibc=2.36", Conditions(glibc="2.36")),
        ("gcc=12.2.0", Conditions(gcc="12")),
        ("compat=cuda-compat-13-0", Conditions(compat="13.0")),
    ],
)
def test_a_condition_may_be_written_as_people_write_it(word: str, conditions: Conditions) -> None:
    assert question.parse([word], shipped()).conditions == conditions


@pytest.mark.parametrize(
    ("words", "platform"),
    [
        (["gpu=GH200"], "linux/arm64"),
        (["gpu=GH200,H100"], "linux/amd64"),
        (["gpu=H100"], "linux/amd64"),
        (["gpu=GH200", "platform=amd64"], "linux/amd64"),
    ],
)
def test_a_gpu_that_is_built_into_its_machine_says_the_platform(words: list[str], platform: str) -> None:
    assert question.parse(words, shipped()).platform == platform


def test_words_add_up() -> None:
    asked = question.parse(["gpu=V100", "cuda=cu126", "gpu=T4"], shipped())
    assert (asked.cuda, asked.conditions.gpus) == ("cu126", ("V100", "T4"))


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("troch=2.3.0", "did you mean torch=?"),
        ("zzz=1", "the keys: torch,"),
        ("torch", "the keys: torch,"),
        ("torch=", "the keys: torch,"),
        ("torch=2.3", "all three numbers"),
        ("cuda=13", "cuda=12.1"),
        ("driver=12", "as nvidia-smi shows it"),
        ("driver=99.9", "no driver is known that shows CUDA 99.9"),
        ("gpu=H20O", "H200"),
        ("gpu=zzzzzz", "arch=sm_90"),
        ("arch=ninety", "arch=sm_90"),
        ("platform=windows", "platform=linux/amd64"),
        ("compat=new", "compat=13.0"),
    ],
)
def test_what_nobody_could_mean_is_refused_with_a_remedy(word: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        question.parse([word], shipped())
    assert word.partition("=")[0] in str(caught.value)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "cell",
    [
        CPU_CELL,
        Cell("2.3.1", "cu121", "3.10", "0.5.3.post1"),
        Cell("2.14.0", "cu130", "3.12", None, "linux/arm64"),
    ],
)
def test_a_cells_id_is_read_back_as_the_cell(cell: Cell) -> None:
    assert question.cell_of(cell.id) == cell


def test_no_id_is_no_cell() -> None:
    assert question.cell_of("latest") is None


def test_a_question_about_a_gpu_admits_no_cell_for_cpus() -> None:
    asked = question.parse(["gpu=V100"], shipped())
    assert not asked.admits(CPU_CELL)
    assert asked.admits(Cell("2.10.0", "cu128", "3.11", "0.19.1"))
    assert not question.parse(["vllm=none"], shipped()).admits(Cell("2.10.0", "cu128", "3.11", "0.19.1"))
