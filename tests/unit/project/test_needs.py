"""A test whose need is missing is left out, and the end of the run says so; under CI it fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import NOT_TESTED

ROOT = Path(__file__).parents[3]
TESTS = """\
import pytest

@pytest.mark.needs(%r)
def test_that_needs_something(): ...

def test_that_needs_nothing(): ...
"""

CAPACITY = """\
from tests.needs import NEEDS, Need

NEEDS["room"] = Need(lambda: "3 GB are free, 33 GB are needed", "a larger disk", is_capacity=True)
"""


def run(folder: Path, need: str, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Have pytest run a test with this need, and one without, on a machine with no program on PATH."""
    (folder / "test_sample.py").write_text(TESTS % need)
    own = {name: value for name, value in os.environ.items() if name not in ("CI", NOT_TESTED)}
    options = ["-c", str(ROOT / "pyproject.toml"), "-p", "tests.needs", "-p", "no:cacheprovider"]
    options += ["--disable-plugin-autoload"]  # they take longer than the test
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *more, str(folder)],
        cwd=ROOT,
        env=own | {"PATH": ""} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("need", "lack"),
    [("cosign", "no program cosign is on PATH"), ("engine", "no container engine with buildx answers")],
)
def test_what_needs_a_missing_program_is_left_out_and_the_end_says_so(
    tmp_path: Path, need: str, lack: str
) -> None:
    done = run(tmp_path, need)
    end = done.stdout.partition("left out, because")[2]
    assert f"{need}: {lack}: test_sample.py (1)\n  hint: " in end
    assert "1 passed, 1 skipped" in end
    assert done.returncode == pytest.ExitCode.OK


def test_what_another_process_left_out_is_said_too(tmp_path: Path) -> None:
    pytest.importorskip("xdist", reason="``./run tests`` itself does not start without it")
    done = run(tmp_path, "cosign", "-p", "xdist", "--numprocesses=1")
    assert "cosign: no program cosign is on PATH: test_sample.py (1)\n" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout


def test_what_shares_the_engine_can_be_run_apart_from_the_rest(tmp_path: Path) -> None:
    assert "1 skipped, 1 deselected" in run(tmp_path, "engine", "-m", "engine").stdout
    assert "1 passed, 1 deselected" in run(tmp_path, "engine", "-m", "not engine").stdout


def test_under_ci_it_is_a_failure(tmp_path: Path) -> None:
    done = run(tmp_path, "cosign", CI="true")
    assert "needs cosign: no program cosign is on PATH" in done.stdout
    assert "1 passed, 1 error" in done.stdout
    assert done.returncode == pytest.ExitCode.TESTS_FAILED


def test_what_no_command_adds_to_a_machine_is_left_out_under_ci_too(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(CAPACITY)
    done = run(tmp_path, "room", CI="true")
    assert "room: 3 GB are free, 33 GB are needed: test_sample.py (1)" in done.stdout
    assert "1 passed, 1 skipped" in done.stdout
    assert done.returncode == pytest.ExitCode.OK


def test_what_was_not_tested_is_noted_for_whoever_started_the_tests(tmp_path: Path) -> None:
    note = tmp_path / "note"
    run(tmp_path, "cosign", **{NOT_TESTED: str(note)})
    assert note.read_text() == "test_sample.py (1) (no program cosign is on PATH)\n"


def test_a_need_that_nobody_can_look_for_is_refused(tmp_path: Path) -> None:
    done = run(tmp_path, "cosing")
    assert "needs 'cosing', which tests/needs.py does not have" in done.stderr
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
