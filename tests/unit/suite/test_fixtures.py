"""The suite's fixtures and checks fit each other: pytest can plan each check without running it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline import suite
from pipeline.model import checks_of, rehearsed_checks_of
from tests.builders import CPU_CELL, CUDA_CELL, PYTORCH_CELL
from tests.system.suite.trials import trial_of

if TYPE_CHECKING:
    from pipeline.model import Cell


KINDS = (CUDA_CELL, replace(CUDA_CELL, vllm=None), CPU_CELL, PYTORCH_CELL)


@pytest.mark.parametrize("cell", KINDS, ids=lambda cell: cell.id)
def test_pytest_can_set_up_every_check(cell: Cell, tmp_path: Path) -> None:
    """Every fixture that a check asks for exists; no fixture is run, so no engine is needed."""
    folder = Path(suite.__file__).parent
    trial = trial_of(Path(sys.executable), "/model", cell=cell)
    (tmp_path / "trial.json").write_text(trial.model_dump_json())
    command = [sys.executable, "-m", "pytest", "--setup-plan", "-q", "-c", str(folder / "pytest.ini")]
    command += ["--disable-plugin-autoload"]  # as the suite itself is started
    options = [f"--trial={tmp_path}/trial.json", f"--results={tmp_path}/results.jsonl", f"--rootdir={folder}"]
    planned = subprocess.run(
        [*command, *options, *suite.tests_of(cell), *suite.rehearsed_of(cell.vllm)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert [name for name in checks_of(cell) if f"::check_{name} (fixtures used" not in planned.stdout] == []
    wanted = rehearsed_checks_of(cell.vllm)
    assert [name for name in wanted if f"::rehearse_{name} (fixtures used" not in planned.stdout] == []
