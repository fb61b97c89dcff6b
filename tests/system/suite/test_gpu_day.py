"""A day with a GPU, rehearsed: all of it that a machine without one can do, on real environments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.suite.trials import left

if TYPE_CHECKING:
    from pipeline.model import Lock

ROOT = Path(__file__).resolve().parents[3]


def _spend(folder: Path, python: Path, *more: str) -> tuple[dict[str, Any], int]:
    """The parts of the day by name, and the exit code."""
    words = [sys.executable, "-m", "pipeline", "gpu-day", "--python", str(python), "--rehearse", "--json"]
    home = {"XDG_CONFIG_HOME": str(folder / "config")}  # a key of the test's own
    done = subprocess.run(
        [*words, "--folder", str(folder / "day"), *more],
        cwd=ROOT,
        env=os.environ | home,
        stdout=subprocess.PIPE,
        check=False,
    )
    return {part["name"]: part for part in json.loads(done.stdout)["parts"]}, done.returncode


@pytest.mark.needs("index", "compiler")
def test_a_day_with_pytorch_alone_passes_refuses_its_saboteur_and_is_not_repeated(
    pytorch_alone: tuple[Path, Lock], tmp_path: Path
) -> None:
    python, _ = pytorch_alone
    parts, code = _spend(tmp_path, python)
    assert code == 0
    assert set(parts) == {"suite", "saboteurs"}
    seen = {check["name"]: check["outcome"] for check in parts["suite"]["checks"]}
    assert seen.pop("generate") == "not-run"  # Transformers is not there
    assert set(seen.values()) == {"passed"}
    (refused,) = parts["saboteurs"]["checks"]
    assert refused["name"] == "no_causal_mask"
    assert "correct failed" in refused["seen"]
    assert "no_causal_mask" in (tmp_path / "day" / "summary.md").read_text().replace("\\", "")
    assert _spend(tmp_path, python)[0] == parts
    assert left(tmp_path) == []


@pytest.mark.needs("index", "compiler")
def test_what_serving_costs_is_measured(locked: tuple[Path, Lock], tmp_path: Path) -> None:
    """The second start finds what the first one compiled; many requests together are faster than one."""
    parts, code = _spend(tmp_path, locked[0], "--part", "serving")
    assert code == 0
    facts = dict(map(tuple, parts["serving"]["facts"]))
    one, together = (
        float(facts[f"tokens per second, {what}"]) for what in ("one request", "64 requests together")
    )
    assert together > one > 0
    assert facts["dtype"] == "bfloat16"
    assert left(tmp_path) == []
