"""Trials of environments on this machine, and what they leave."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

from pipeline.model import Expectations, PythonTarget, Trial, checks_of
from pipeline.stages import verify
from tests.builders import CPU_CELL

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Cell, Check


def trial_of(python: Path, model: str, **changes: Any) -> Trial:
    """A trial of an environment without a lock, with deadlines that a server of ours can miss."""
    cell = changes.get("cell", CPU_CELL)
    expected = Expectations(cell=cell, torch="2.13.0+cpu", pins=())
    target = PythonTarget(python=str(python))
    short = {"healthy_seconds": 6.0, "answer_seconds": 3.0, "shutdown_seconds": 1.0}
    trial = Trial(cell=cell, run="system-test", target=target, expected=expected, model=model)
    return trial.model_copy(update=short | changes)


def others(cell: Cell = CPU_CELL, *but: str) -> dict[str, str]:
    """All checks of ours but these left out, for they are not what is asked here."""
    return dict.fromkeys(set(checks_of(cell)) - set(but), "not asked here")


def prove(trial: Trial, tmp_path: Path) -> dict[str, Check]:
    """Every check by its name."""
    named: list[str] = []
    checks, _ = verify.prove(trial, progress=named.append, log=tmp_path / "server.log")
    assert named == list(checks_of(trial.cell))
    return {check.name: check for check in checks}


def left(folder: Path) -> list[str]:
    """The processes that name this folder in their arguments and still live."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]
