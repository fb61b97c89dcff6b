"""``diagnose`` on the command line: where logs come from, what is printed, and the exit codes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from pipeline.cli import main as command_line
from pipeline.model.errors import GOOD, MACHINE, USAGE

if TYPE_CHECKING:
    import pytest

LOGS = Path(__file__).parents[1] / "compat" / "diagnosis" / "logs"
KNOWN, OTHER = LOGS / "nvcc-missing.log", LOGS / "disk-full.log"


def diagnose(*words: object) -> int:
    return command_line.main(["diagnose", *map(str, words)])


def test_a_cause_is_good_and_stands_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(KNOWN) == GOOD
    out, err = capsys.readouterr()
    assert out.startswith(f"{KNOWN} (")
    assert "nvcc-missing: at fault is the image" in out
    assert not err


def test_a_log_may_come_by_standard_input(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in ((), ("-",)):
        stdin = SimpleNamespace(buffer=io.BytesIO(KNOWN.read_bytes()), isatty=lambda: False)
        monkeypatch.setattr("sys.stdin", stdin)
        assert diagnose(*words) == GOOD
        assert capsys.readouterr().out.startswith("standard input (")


def test_what_is_not_recognised_could_not_be_found_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside one that is, too: nobody may take the silence of one log for an answer."""
    strange = tmp_path / "strange.log"
    strange.write_text("ZebraError: stripes\n")
    assert diagnose(strange) == diagnose(KNOWN, strange) == MACHINE
    assert "not recognised" in capsys.readouterr().out


def test_programs_get_every_log_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert diagnose(KNOWN, OTHER, "--json") == GOOD
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert [(log["name"], log["diagnoses"][0]["id"]) for log in document["logs"]] == [
        (str(KNOWN), "nvcc-missing"),
        (str(OTHER), "disk-full"),
    ]


def test_a_log_that_is_not_there_is_the_users_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diagnose(tmp_path / "none.log") == USAGE
    out, err = capsys.readouterr()
    assert not out
    assert "none.log: No such file or directory" in err
    assert "hint: " in err
