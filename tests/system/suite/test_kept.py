"""What is known of a server that misses a deadline is kept beside its log before it is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Outcome, checks_of
from tests.builders import CPU_CELL
from tests.system.suite.fake_server import saboteur
from tests.system.suite.trials import left, prove, trial_of

if TYPE_CHECKING:
    from pathlib import Path

HANGS = """
print('the server starts', flush=True)
def waits_for_ever(self): time.sleep(60)
Handler.do_POST = waits_for_ever
"""
SILENT = """
def says_nothing(self): time.sleep(60)
Handler.do_GET = says_nothing
"""
CONSTANT = ""
OTHERS = dict.fromkeys({*checks_of(CPU_CELL)} - {"serve", "complete"}, "not asked")


def _kept(folder: Path, check: str, server: str) -> dict[str, str]:
    files = (folder / "server.kept" / check).glob(f"{server}.*.txt")
    return {file.name.split(".")[1]: file.read_text() for file in files}


def test_of_a_server_that_hangs_at_a_request_all_is_kept(model: str, tmp_path: Path) -> None:
    """Its log, its metrics, and the function that each of its threads is in."""
    trial = trial_of(
        saboteur(tmp_path, HANGS), model, left_out=OTHERS, env={"METRICS": "vllm:num_requests_running 1"}
    )
    check = prove(trial, tmp_path)["complete"]
    assert (check.outcome, check.seen) == (Outcome.FAILED, "nothing by then")
    assert check.facts["kept"] == "server.kept/complete"
    kept = _kept(tmp_path, "complete", "production")
    assert "the server starts" in kept["log"]
    assert kept["metrics"] == "vllm:num_requests_running 1"
    assert "waits_for_ever (" in kept["stacks"]
    assert "S (sleeping)" in kept["stacks"]
    assert left(tmp_path) == []


def test_of_a_server_that_never_becomes_healthy_all_is_kept(model: str, tmp_path: Path) -> None:
    """What it does not answer says so in its place; what only follows from that keeps nothing."""
    checks = prove(trial_of(saboteur(tmp_path, SILENT), model, left_out=OTHERS), tmp_path)
    assert checks["serve"].facts["kept"] == "server.kept/serve"
    kept = _kept(tmp_path, "serve", "production")
    assert "says_nothing (" in kept["stacks"]
    assert kept["metrics"].startswith("not there: ")
    assert "kept" not in checks["complete"].facts


def test_of_a_server_that_is_wrong_in_time_nothing_is_kept(model: str, tmp_path: Path) -> None:
    """Nor is anything there that an earlier trial kept."""
    (tmp_path / "server.kept" / "serve").mkdir(parents=True)
    prove(trial_of(saboteur(tmp_path, CONSTANT), model, left_out=OTHERS), tmp_path)
    assert not (tmp_path / "server.kept").exists()
