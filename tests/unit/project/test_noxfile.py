"""The sessions: which there are, what a name selects, and that nothing is cut short."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

NOXFILE = Path(__file__).parents[3] / "noxfile.py"
STAGES = ("plan", "lock", "build", "verify", "publish", "report", "audit", "gpu-day", "refresh")
CHECKS = ("tests", "oracles", "healthy", "saboteurs", "fuzz", "mutants", "lint", "types", "bench")
CELLS = ("vllm0.32.0-torch2.13.0-cpu-py3.11", "vllm0.33.0-torch2.14.0-cu130-py3.11")

SLOW_TO_CLEAN_UP = """
import pathlib, time
try:
    pathlib.Path("ready").touch()
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(1)
    pathlib.Path("cleaned").touch()
    raise SystemExit(130)
"""

TWO = """
@nox.session
def two(session):
    with beside(session, sys.executable, '-c', %r):
        run(session, sys.executable, '-c', 'import time; time.sleep(1); print("the other")')
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with our noxfile and the locks of two cells."""
    shutil.copy(NOXFILE, tmp_path)
    (tmp_path / "locks").mkdir()
    for cell in CELLS:
        (tmp_path / "locks" / f"{cell}.txt").touch()
    return tmp_path


def nox(project: Path, *arguments: str) -> str:
    """What nox prints for these arguments."""
    command = [sys.executable, "-m", "nox", "--noxfile", str(project / "noxfile.py"), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def listed(project: Path, *arguments: str) -> list[dict[str, Any]]:
    """The sessions that nox lists for these arguments."""
    sessions: list[dict[str, Any]] = json.loads(nox(project, "--list", "--json", *arguments))
    return sessions


def test_every_stage_and_every_kind_of_check_is_a_session(project: Path) -> None:
    """A user finds each step of the path, and each check of the project, under its own name."""
    shown = nox(project, "--list")
    for name in STAGES + CHECKS:
        assert f" {name} -> " in shown


def test_each_session_is_described_in_one_line(project: Path) -> None:
    """``nox -l`` stays readable."""
    lines = [line for line in nox(project, "--list").splitlines() if line.startswith(("- ", "* "))]
    assert len(lines) == len(STAGES + CHECKS) + len(CELLS)
    assert all(" -> " in line and line.endswith(".") and len(line) < 110 for line in lines)


def test_verify_is_one_session_for_all_cells(project: Path) -> None:
    """Cells share work and a report, so asking for all of them is one run."""
    assert [session["name"] for session in listed(project, "-s", "verify")] == ["verify"]


@pytest.mark.parametrize("cell", CELLS)
def test_a_cell_in_brackets_selects_it_alone(project: Path, cell: str) -> None:
    """``nox -s "verify(<cell>)"`` works for each lock file, and runs exactly one session."""
    assert [session["name"] for session in listed(project, "-s", f"verify({cell})")] == [f"verify({cell})"]


def test_the_noxfile_needs_nothing_but_nox() -> None:
    """Plain ``nox`` cannot import the project or its dependencies."""
    tree = ast.parse(NOXFILE.read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    roots = {name.partition(".")[0] for name in imported}
    assert roots <= sys.stdlib_module_names | {"nox"}


ALONE = """
@nox.session
def slow(session):
    run(session, sys.executable, 'slow.py')
"""
BESIDE = """
@nox.session
def slow(session):
    with beside(session, sys.executable, 'slow.py'):
        run(session, sys.executable, '-c', %r)
"""


@pytest.mark.parametrize(
    "slow",
    [ALONE, BESIDE % "import time; time.sleep(60)", BESIDE % ""],
    ids=["alone", "beside another", "the last of two"],
)
def test_an_interrupted_session_waits_until_its_program_has_cleaned_up(project: Path, slow: str) -> None:
    """Ctrl-C reaches the program, which has more than nox's usual half second to end its containers."""
    (project / "slow.py").write_text(SLOW_TO_CLEAN_UP)
    with (project / "noxfile.py").open("a") as noxfile:
        noxfile.write(slow)
    command = [sys.executable, "-m", "nox", "--noxfile", str(project / "noxfile.py"), "-s", "slow"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True) as running:
        deadline = time.monotonic() + 20
        while not (project / "ready").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(running.pid, signal.SIGINT)
        running.communicate(timeout=20)
    assert (project / "cleaned").exists()
    assert running.returncode == 130


@pytest.mark.parametrize("code", [0, 3])
def test_what_ran_beside_another_program_is_shown_whole_and_its_failure_counts(
    project: Path, code: int
) -> None:
    """Its words come when both have ended, not between those of the other."""
    with (project / "noxfile.py").open("a") as noxfile:
        noxfile.write(TWO % f"print('one', flush=True); print('two'); raise SystemExit({code})")
    command = [sys.executable, "-m", "nox", "--noxfile", str(project / "noxfile.py"), "-s", "two"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "the other\none\ntwo\n"
    assert bool(done.returncode) == bool(code)
