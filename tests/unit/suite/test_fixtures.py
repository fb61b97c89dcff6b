"""The suite's fixtures and checks fit each other: pytest can plan each check without running it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import suite
from pipeline.model import checks_of, rehearsed_checks_of


@pytest.mark.parametrize("vllm", ["0.32.0", None], ids=["with vLLM", "without"])
def test_pytest_can_set_up_every_check(vllm: str | None, tmp_path: Path) -> None:
    """Every fixture that a check asks for exists; no fixture is run, so no engine is needed."""
    folder = Path(suite.__file__).parent
    command = [sys.executable, "-m", "pytest", "--setup-plan", "-q", "-c", str(folder / "pytest.ini")]
    options = [f"--trial={tmp_path}/trial.json", f"--results={tmp_path}/results.jsonl", f"--rootdir={folder}"]
    planned = subprocess.run(
        [*command, *options, *map(str, suite.files_of(vllm)), *suite.rehearsed_of(vllm)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert [name for name in checks_of(vllm) if f"::check_{name} (fixtures used" not in planned.stdout] == []
    wanted = rehearsed_checks_of(vllm)
    assert [name for name in wanted if f"::rehearse_{name} (fixtures used" not in planned.stdout] == []
