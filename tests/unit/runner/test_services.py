"""What the machine gives the stages: what it can prove, and the model that a cell is tried with."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import matrix
from pipeline.adapters import buildx, gpu, host
from pipeline.model import Cell, Goal, Matrix, Policy, Repository
from pipeline.model.errors import EngineError
from pipeline.report.progress import ProgressReporter
from pipeline.runner.running import Runner
from pipeline.runner.services import Services, Settings
from pipeline.suite import golden
from pipeline.suite.model import digest_of
from tests.builders import CPU_CELL, CUDA_CELL

ROOT = Path(__file__).parents[3]
HERE = Repository("127.0.0.1:5000", "a")
CUDA, WITH_VLLM = CUDA_CELL, CPU_CELL
PYTORCH_ALONE = Cell("2.13.0", "cpu", "3.11", None)
H200 = gpu.Gpu("NVIDIA H200", "GPU-0", (9, 0), 1 << 37)
V100 = gpu.Gpu("Tesla V100", "GPU-1", (7, 0), 1 << 35)


@pytest.fixture(autouse=True)
def processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cells here are for x86-64, whatever runs this test."""
    here = os.uname_result(("Linux", "here", "6", "1", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: here)


@pytest.mark.parametrize(
    ("gpus", "driver", "said"),
    [
        ((), "", "needs a GPU"),
        ((H200,), "580.65.06", ""),
        ((H200,), "535.161.08", "CUDA 13 needs driver 580 or newer; 535.161.08 is there"),
        ((V100,), "580.65.06", "has no code for sm_70"),
        ((H200, V100), "580.65.06", "has no code for sm_70"),
    ],
)
def test_a_gpu_proves_only_what_it_and_its_driver_can_run(
    gpus: tuple[gpu.Gpu, ...], driver: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A driver that is too old would fail the image for what is the machine's fault."""
    monkeypatch.setattr(gpu, "gpus", lambda: gpus)
    monkeypatch.setattr(gpu, "driver", lambda: driver)
    machine = Services(Settings(matrix.load(ROOT / "matrix.yaml")))
    why = machine.why_not(CUDA)
    assert (said in why) if said else not why


def test_a_cpu_cell_needs_no_gpu() -> None:
    machine = Services(Settings(matrix.load(ROOT / "matrix.yaml")))
    assert machine.why_not(CPU_CELL) == ""


def test_another_processor_is_needed_for_another_platform() -> None:
    machine = Services(Settings(matrix.load(ROOT / "matrix.yaml")))
    assert machine.why_not(Cell("2.13.0", "cpu", "3.11", "0.32.0", "linux/arm64")) == "needs linux/arm64"


ARM = Cell("2.14.0", "cu130", "3.11", None, "linux/arm64")


@pytest.mark.parametrize(
    ("platforms", "emulated", "makes_base", "lack"),
    [
        ({"linux/amd64"}, False, False, "the builder of this engine builds for linux/amd64"),
        ({"linux/amd64", "linux/arm64"}, False, True, "its base is made by programs for linux/arm64"),
        ({"linux/amd64", "linux/arm64"}, False, False, ""),
        ({"linux/amd64", "linux/arm64"}, True, True, ""),
        (set(), True, True, ""),
    ],
)
def test_a_builder_and_a_base_for_another_processor_are_needed(
    platforms: set[str], emulated: bool, makes_base: bool, lack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A builder elsewhere may build the image; a base is made here. One that says nothing may try."""
    monkeypatch.setattr(buildx, "platforms", lambda: frozenset(platforms))
    monkeypatch.setattr(host, "executes", lambda machine: emulated or machine == "x86_64")
    machine = Services(Settings(matrix.load(ROOT / "matrix.yaml")))
    machine.refuse_foreign(CUDA, makes_base=True)
    with pytest.raises(EngineError, match=lack) if lack else nullcontext():
        machine.refuse_foreign(ARM, makes_base=makes_base)


# -- the model ---------------------------------------------------------------------------------------


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """A machine whose matrix names a model of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (model / "model.safetensors").touch()
    matrix = Matrix(tmp_path / "matrix.yaml", (), HERE, HERE, (), Policy(), model=str(model))
    return Services(Settings(matrix))


def test_the_model_that_the_matrix_names_is_served(named: Services, tmp_path: Path) -> None:
    model = str(tmp_path / "model")
    assert named.model_of(WITH_VLLM) == model
    assert named.model_digest_of(WITH_VLLM) == digest_of(tmp_path / "model")


def test_a_folder_of_a_model_is_looked_for_beside_the_matrix(
    named: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the files of signers are, wherever the command is called."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    relative = Services(Settings(replace(named.matrix, model="model")))
    assert relative.model_digest_of(WITH_VLLM) == named.model_digest_of(WITH_VLLM)


def test_a_cell_without_vllm_is_tried_with_the_tiny_model_whatever_the_matrix_names(named: Services) -> None:
    """The suite's own forward pass knows the architecture of that one only."""
    assert named.model_digest_of(PYTORCH_ALONE) == golden.read().model
    assert digest_of(Path(named.model_of(PYTORCH_ALONE))) == golden.read().model


# -- running it again --------------------------------------------------------------------------------


def test_the_command_that_repeats_a_cell_names_the_matrix_and_the_repository_that_were_given() -> None:
    """Without them it would work on another registry."""
    given = ("--matrix", "my matrix.yaml", "--repository", "host.example/team/vllm")
    services = Services(Settings(matrix.load(ROOT / "matrix.yaml"), given=given))
    with ProgressReporter() as reporter:
        again = Runner(services, reporter)._again(Goal.VERIFY, CUDA)
    assert again == (
        f"python -m pipeline verify {CUDA.id} --matrix 'my matrix.yaml' --repository host.example/team/vllm"
    )
