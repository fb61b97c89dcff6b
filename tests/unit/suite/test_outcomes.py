"""What becomes of a check: how it ended decides, and each way has its own outcome."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import suite
from pipeline.model import Check, Outcome
from tests.system.suite.trials import trial_of

FOLDER = Path(suite.__file__).parent

CHECKS = """
from pipeline.model.errors import MachineError
from pipeline.suite.expect import Mismatch, NotRun

def check_passes(): pass
def check_fails(): raise Mismatch("four", "five")
def check_breaks(): raise ValueError("of nobody's making")
def check_troubles(): raise MachineError("no disk", hint="make room")
def check_cannot(): raise NotRun("no GPU is here")
"""


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    """What the suite writes of checks that end in each way."""
    folder = tmp_path_factory.mktemp("outcomes")
    (folder / "check_ways.py").write_text(CHECKS)
    (folder / "conftest.py").write_text("from pipeline.suite.conftest import *\n")
    (folder / "trial.json").write_text(trial_of(Path(sys.executable), "/model").model_dump_json())
    options = [f"--trial={folder}/trial.json", f"--results={folder}/results.jsonl", f"--rootdir={folder}"]
    command = [sys.executable, "-m", "pytest", "-q", "-c", str(FOLDER / "pytest.ini"), *options, str(folder)]
    command += ["--disable-plugin-autoload"]  # as the suite itself is started
    subprocess.run(command, check=False, capture_output=True)
    lines = (folder / "results.jsonl").read_text().splitlines()
    return {check.name: check for check in map(Check.model_validate_json, lines)}


@pytest.mark.parametrize(
    ("name", "outcome", "seen"),
    [
        ("passes", Outcome.PASSED, ""),
        ("fails", Outcome.FAILED, "five"),
        ("breaks", Outcome.FAILED, "ValueError: of nobody's making"),
        ("troubles", Outcome.INCONCLUSIVE, "no disk"),
        ("cannot", Outcome.NOT_RUN, "no GPU is here"),
    ],
)
def test_how_a_check_ends_is_its_outcome(
    name: str, outcome: Outcome, seen: str, checks: dict[str, Check]
) -> None:
    assert (checks[name].outcome, checks[name].seen.partition("\n")[0]) == (outcome, seen)
