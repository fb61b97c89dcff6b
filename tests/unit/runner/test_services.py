"""What the machine gives the stages: what it can prove, and the model that a cell is tried with."""

from __future__ import annotations

import os
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline import matrix
from pipeline.adapters import buildx, gpu, host
from pipeline.model import Basis, Cell, Goal, Matrix, Policy, Repository
from pipeline.model.errors import EngineError, MachineError, UsageError
from pipeline.report.progress import ProgressReporter
from pipeline.runner.running import Runner
from pipeline.runner.services import Services, Settings
from pipeline.runner.steps import refuse_changed
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
    assert named.basis_for_proof(WITH_VLLM) == Basis(digest_of(tmp_path / "model"))


@pytest.mark.parametrize("name", ["model", "./model", "more/../model"])
def test_a_folder_of_a_model_is_looked_for_beside_the_matrix(
    named: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """As the files of signers are, wherever the command is called."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "more").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    relative = Services(Settings(replace(named.matrix, model=name)))
    assert relative.basis_for_proof(WITH_VLLM) == Basis(digest_of(tmp_path / "model"))


def test_a_folder_where_we_were_called_is_no_model_of_the_matrix(
    named: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A matrix means the same model for everyone."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    (tmp_path / "here").mkdir()
    (tmp_path / "model").rename(tmp_path / "here" / "model")
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UsageError, match="'model' is neither a folder"):
        Services(Settings(replace(named.matrix, model="model"))).basis_for_proof(WITH_VLLM)


def test_whoever_only_plans_needs_no_model_and_no_time_to_read_it(named: Services, tmp_path: Path) -> None:
    """Its digest stands beside the locks."""
    digest = digest_of(tmp_path / "model")
    named.pin_model()
    for file in (tmp_path / "model").iterdir():
        file.unlink()
    assert Services(named.settings).basis_of(WITH_VLLM) == Basis(digest)


def test_a_model_that_was_never_pinned_is_refused_where_nobody_proves(
    named: Services, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as refused:
        named.basis_of(WITH_VLLM)
    assert f"is not pinned in {tmp_path}/locks/model.sha256: it is not there" in refused.value.what
    assert "python -m pipeline lock" in refused.value.hint


def test_the_pin_of_another_model_is_none_of_this_one(named: Services) -> None:
    named.pin_model()
    other = Services(Settings(replace(named.matrix, model="a/b")))
    with pytest.raises(UsageError, match=r"verify: model: a/b. is not pinned .* it is of .*model"):
        other.basis_of(WITH_VLLM)


def test_a_proof_pins_a_model_that_is_not_pinned_and_says_so(named: Services) -> None:
    """As it locks a cell that is not locked."""
    assert named.ensure_pinned_model(WITH_VLLM)
    assert not named.ensure_pinned_model(WITH_VLLM)
    assert not named.ensure_pinned_model(PYTORCH_ALONE)


def test_a_proof_with_other_files_than_those_that_are_pinned_is_refused(
    named: Services, tmp_path: Path
) -> None:
    named.pin_model()
    (tmp_path / "model" / "config.json").write_text("{ }")
    with pytest.raises(UsageError, match=r"config\.json is another"):
        Services(named.settings).basis_for_proof(WITH_VLLM)


def test_a_model_that_was_pinned_elsewhere_stays_so_where_its_files_are_not(
    named: Services, tmp_path: Path
) -> None:
    """Whoever locks wheels on another machine takes nothing away."""
    before = named.pin_model()
    (tmp_path / "model" / "config.json").unlink()
    assert Services(named.settings).pin_model() == before
    (tmp_path / "locks" / "model.sha256").unlink()
    with pytest.raises(UsageError, match="neither a folder"):
        Services(named.settings).pin_model()


def test_tests_are_for_every_cell_and_prompts_for_those_that_serve_the_model(
    named: Services, tmp_path: Path
) -> None:
    """So a new prompt makes no proof of PyTorch alone stale."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").touch()
    (tmp_path / "a.jsonl").touch()
    named.pin_model()

    def basis(cell: Cell) -> Basis:
        matrix = replace(named.matrix, tests=tmp_path / "tests", prompts=(tmp_path / "a.jsonl",))
        return Services(Settings(matrix)).basis_of(cell)

    before = basis(WITH_VLLM), basis(PYTORCH_ALONE)
    (tmp_path / "a.jsonl").write_text("{}")
    assert [basis(WITH_VLLM) == before[0], basis(PYTORCH_ALONE) == before[1]] == [False, True]
    (tmp_path / "tests" / "test_a.py").write_text("#")
    assert basis(PYTORCH_ALONE) != before[1]


def test_a_cell_without_vllm_is_tried_with_the_tiny_model_whatever_the_matrix_names(named: Services) -> None:
    """The suite's own forward pass knows the architecture of that one only."""
    assert named.basis_of(PYTORCH_ALONE).model == golden.read().model
    assert digest_of(Path(named.model_of(PYTORCH_ALONE))) == golden.read().model


def test_tests_that_were_changed_while_they_ran_are_signed_by_nobody(named: Services, tmp_path: Path) -> None:
    """Nobody knows which of them ran."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").touch()
    services = Services(Settings(replace(named.matrix, tests=tmp_path / "tests")))
    basis = services.basis_of(PYTORCH_ALONE)
    refuse_changed(services, PYTORCH_ALONE, basis)
    (tmp_path / "tests" / "test_a.py").write_text("#")
    with pytest.raises(MachineError, match="were changed while the suite ran"):
        refuse_changed(services, PYTORCH_ALONE, basis)


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
