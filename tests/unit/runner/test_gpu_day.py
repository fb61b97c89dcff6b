"""The day's order and memory: it needs a GPU, tells its plan, and does nothing twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import matrix
from pipeline.adapters import gpu
from pipeline.model import Digest, Expectations, Outcome, PythonTarget, Trial
from pipeline.model.errors import MachineError
from pipeline.report.progress import ProgressReporter
from pipeline.runner import gpu_day
from pipeline.runner.gpu_day import parts
from pipeline.runner.services import Services, Settings
from pipeline.runner.subjects import Subject
from tests.builders import CPU_CELL, CUDA_CELL, check

if TYPE_CHECKING:
    from pipeline.model import Cell, Check

ROOT = Path(__file__).parents[3]


@pytest.fixture
def services(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Services:
    """A machine without a GPU, with a key of its own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(gpu, "gpus", lambda: ())
    return Services(Settings(matrix.load(ROOT / "matrix.yaml")))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The parts that are done: each leaves its title, and passes."""
    titles: list[str] = []

    def do(_services: Any, _reporter: Any, task: Any, _folder: Path) -> tuple[tuple[Check, ...], Any]:
        titles.append(task.title)
        return (check("a"),), ()

    for name in parts.DO:
        monkeypatch.setitem(parts.DO, name, do)
    return titles


def _subject(cell: Cell = CPU_CELL, digest: str = "a") -> Subject:
    target = PythonTarget(python="/nowhere/python")
    trial = Trial(cell=cell, run="test", target=target, expected=Expectations(), model="/nowhere")
    return Subject(Digest(f"sha256:{digest * 64}"), trial)


def _spend(services: Services, folder: Path, *subjects: Subject) -> Any:
    return gpu_day.spend(services, ProgressReporter(), subjects, folder, rehearse=True)


def test_without_a_gpu_it_is_refused_unless_it_is_a_rehearsal(services: Services, tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="no GPU answers here") as error:
        gpu_day.spend(services, ProgressReporter(), [_subject()], tmp_path, rehearse=False)
    assert "--rehearse" in error.value.hint


def test_what_needs_a_gpu_is_left_out_of_a_rehearsal_with_the_reason(
    services: Services, done: list[str], tmp_path: Path
) -> None:
    day = _spend(services, tmp_path, _subject(CUDA_CELL))
    assert done == []
    assert dict(day.left_out) == dict.fromkeys(
        (f"{name} of {CUDA_CELL.id}" for name in ("suite", "serving", "saboteurs")), "needs a GPU"
    )


def test_the_suite_on_every_subject_comes_before_all_else(
    services: Services, done: list[str], tmp_path: Path
) -> None:
    """It matters most, and the day may be cut short."""
    _spend(services, tmp_path, _subject(), _subject(replace(CPU_CELL, vllm=None), "b"))
    names = [title.split()[0] for title in done]
    assert names == ["suite", "suite", "serving", "saboteurs", "saboteurs"]


def test_what_was_done_is_not_done_again(services: Services, done: list[str], tmp_path: Path) -> None:
    first = _spend(services, tmp_path, _subject())
    count = len(done)
    assert _spend(services, tmp_path, _subject()).parts == first.parts
    assert len(done) == count


def test_what_could_not_be_found_out_is_tried_again(
    services: Services, done: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: Any) -> tuple[tuple[Check, ...], Any]:
        return (check("a", Outcome.INCONCLUSIVE),), ()

    with monkeypatch.context() as patch:
        patch.setitem(parts.DO, "suite", fail)
        _spend(services, tmp_path, _subject())
    _spend(services, tmp_path, _subject())
    assert done.count(f"suite of {CPU_CELL.id}") == 1


@pytest.mark.parametrize("change", ["cut off", "another environment"])
def test_what_is_not_the_same_is_done_again(
    change: str, services: Services, done: list[str], tmp_path: Path
) -> None:
    _spend(services, tmp_path, _subject())
    count = len(done)
    if change == "cut off":
        part = tmp_path / f"{CPU_CELL.id}.suite.json"
        part.write_bytes(part.read_bytes()[:100])
    _spend(services, tmp_path, _subject(digest="a" if change == "cut off" else "b"))
    assert len(done) == count + (1 if change == "cut off" else count)
