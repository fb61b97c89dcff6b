"""The report: nothing is told as passed that was not seen to pass, and a failure says all one needs."""

from __future__ import annotations

import io
import json
import os
import pty
import threading
from typing import TYPE_CHECKING, TextIO
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from pipeline import report
from pipeline.model import (
    Check,
    Digest,
    Outcome,
    Reason,
    ReasonCode,
    Record,
    Result,
    Stage,
    State,
    Status,
)
from pipeline.report.progress import ProgressReporter
from tests import builders
from tests.builders import CPU_CELL, CUDA_CELL

if TYPE_CHECKING:
    from pathlib import Path

CPU, CUDA = CPU_CELL, CUDA_CELL
SHA = str(Digest.of(b""))
PASSED = Check(name="serve", outcome=Outcome.PASSED, seconds=1.5)
WRONG = Check(
    name="correct", outcome=Outcome.FAILED, seconds=2.5, expected="[1, 2]", seen="[1, <3>]\nand more"
)
UNCLEAR = Check(name="batch", outcome=Outcome.INCONCLUSIVE, seconds=0, expected="an answer", seen="no engine")


def record(*checks: Check) -> Record:
    """A record of these checks."""
    is_good = all(check.outcome is Outcome.PASSED for check in checks)
    return builders.record(checks=checks, result=Result.PASSED if is_good else Result.FAILED)


STALE = Reason(ReasonCode.STALE, "the record is 91 days old", "verify again")
PUBLISHED = Status(
    CPU,
    State.PUBLISHED,
    record=record(PASSED),
    tags=("cpu", CPU.id),
    seconds=((Stage.BUILD, 2), (Stage.VERIFY, 1.25)),
)
PENDING = Status(CUDA, State.UNBUILT, pending="needs a GPU")
PENDING_OLD = Status(CUDA, State.UNPROVEN, (STALE,), pending="needs a GPU", record=record(PASSED))
FAILED = Status(
    CPU, State.FAILED, record=record(PASSED, WRONG, UNCLEAR), log_tail="one\n\x1b[31mtwo\x1b[0m\x07\n"
)


def suite(status: Status) -> ET.Element:
    """The one test suite of a cell's JUnit XML."""
    found = ET.fromstring(report.junit(status)).find("testsuite")  # noqa: S314 - we wrote it ourselves
    assert found is not None
    return found


def drawn(*statuses: Status) -> str:
    """The table as a wide terminal without colours shows it."""
    console = Console(file=io.StringIO(), width=200)
    console.print(report.table(statuses))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# -- summaries --------------------------------------------------------------------------------------


def test_a_row_tells_state_checks_tags_and_seconds() -> None:
    """The same row in the terminal and in Markdown."""
    first = drawn(PUBLISHED).splitlines()[1].split()
    assert first == [CPU.id, "published", "1/1", "cpu", CPU.id, "3.2", "-"]
    assert f"| {CPU.id} | published | 1/1 | cpu {CPU.id} | 3.2 | - |" in report.markdown([PUBLISHED])


def test_a_pending_cell_says_what_it_waits_for() -> None:
    """It counts no check, and is not told as passed."""
    said = drawn(PENDING)
    assert "unbuilt (pending)" in said
    assert "pending: needs a GPU" in said
    assert "passed" not in said + report.markdown([PENDING])


def test_where_nothing_is_wrong_the_steps_that_are_left_are_told() -> None:
    """A plan says what would be done."""
    status = Status(CPU, State.UNPROVEN, steps=(Stage.VERIFY, Stage.PUBLISH))
    assert "to do: verify publish" in drawn(status)


def test_a_failed_cell_names_its_checks_in_the_table() -> None:
    """What failed and what was unclear, side by side."""
    assert "correct failed, batch inconclusive" in drawn(FAILED)
    assert " 1/3 " in drawn(FAILED)


def test_markdown_shows_a_strangers_text_as_text() -> None:
    """No cell of the table is broken, no markup takes effect."""
    evil = Reason(ReasonCode.STALE, "a | b\n# c <img src=x> `d` [e](f) ![g]", "h")
    row = report.markdown([Status(CPU, State.UNPROVEN, (evil,))]).splitlines()[-1]
    assert row.endswith(r"a \| b \# c \<img src=x\> \`d\` \[e\](f) \!\[g\] |")


def test_the_table_shows_a_strangers_text_as_text() -> None:
    """Markup of rich in a reason is not obeyed."""
    assert "[bold]x[/nonsense]" in drawn(
        Status(CPU, State.UNPROVEN, (Reason(ReasonCode.STALE, "[bold]x[/nonsense]", "h"),))
    )


def test_json_holds_everything_and_its_schema() -> None:
    """Machines read the same statuses."""
    told = json.loads(report.as_json([PUBLISHED, PENDING]))
    assert told["schema"] == 1
    assert [cell["cell"]["id"] for cell in told["cells"]] == [CPU.id, CUDA.id]
    assert told["cells"][0]["record"]["checks"][0]["outcome"] == "passed"
    assert told["cells"][1]["pending"] == "needs a GPU"


# -- JUnit ------------------------------------------------------------------------------------------


def test_junit_has_a_case_for_each_check() -> None:
    """A failure holds what was expected and seen; an inconclusive check is an error, not a failure."""
    found = suite(FAILED)
    assert found.attrib | {"timestamp": ""} == {
        "name": CPU.id,
        "tests": "3",
        "failures": "1",
        "errors": "1",
        "skipped": "0",
        "time": "4.000",
        "timestamp": "",
    }
    assert [case.get("name") for case in found] == ["serve", "correct", "batch"]
    assert found.findtext("testcase/failure") == "expected: [1, 2]\nseen: [1, <3>]\nand more"
    assert "no engine" in (found.findtext("testcase/error") or "")


@pytest.mark.parametrize(
    "status", [PENDING, PENDING_OLD, Status(CPU, State.UNBUILT), Status(CPU, State.UNPROVEN)]
)
def test_what_was_not_proven_is_one_skipped_case_and_none_passed(status: Status) -> None:
    """Not even an old record makes a pending cell look passed."""
    found = suite(status)
    assert (found.get("tests"), found.get("skipped")) == ("1", "1")
    assert found.find("testcase/skipped") is not None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (Status(CPU, State.UNPROVEN, (STALE,), record=record(PASSED)), "failure"),
        (Status(CPU, State.UNPROVEN, (STALE,)), "failure"),
        (Status(CPU, State.INCONCLUSIVE, (STALE,)), "error"),
        (Status(CPU, State.FAILED), "failure"),
        (Status(CPU, State.INCONCLUSIVE), "error"),
    ],
)
def test_a_refusal_without_a_failed_check_is_still_no_pass(status: Status, kind: str) -> None:
    """The gate's no is a case of its own; so is a failure of which there is no record."""
    found = suite(status)
    assert found.find(f"testcase/{kind}") is not None
    assert {found.get("failures"), found.get("errors")} == {"0", "1"}


def test_junit_holds_whatever_a_server_said() -> None:
    """Bytes that XML cannot hold are left out, and the rest is kept."""
    check = Check(
        name="chat", outcome=Outcome.FAILED, seconds=0, expected="]]>", seen="a\x00\x1b[2J\ufffe&<b>\ud7ff"
    )
    assert suite(Status(CPU, State.FAILED, record=record(check))).findtext("testcase/failure") == (
        "expected: ]]>\nseen: a&<b>\ud7ff"
    )


# -- one failure ------------------------------------------------------------------------------------


def test_a_failure_says_what_was_expected_and_seen_and_how_to_run_it_again() -> None:
    """And the end of the log, without what would steer the terminal."""
    assert report.failure(FAILED) == (
        f"{CPU.id}: failed\n"
        "check correct: failed\n"
        "  expected: [1, 2]\n"
        "  seen:     [1, <3>]\n"
        "            and more\n"
        "check batch: inconclusive\n"
        "  expected: an answer\n"
        "  seen:     no engine\n"
        "the server's log ended:\n"
        "  | one\n"
        "  | two\n"
        "run just this again:\n"
        f"  python -m pipeline verify {CPU.id}\n"
    )


def test_a_failure_names_the_folder_of_what_was_kept_at_a_deadline() -> None:
    late = builders.check("chat", Outcome.FAILED, seen="nothing by then", facts={"kept": "cell.kept/chat"})
    said = report.failure(Status(CPU, State.FAILED, record=record(late)))
    assert "  kept:     cell.kept/chat, beside the log in .state/logs\n" in said


def test_a_failure_shows_reasons_and_the_given_command_and_the_last_lines_only() -> None:
    """A long log is cut at its beginning."""
    log = "\n".join(f"line {n}" for n in range(100))
    said = report.failure(Status(CPU, State.UNPROVEN, (STALE,), log_tail=log, again="nox -s x"))
    assert "  the record is 91 days old\n  hint: verify again\n" in said
    assert said.count("  | ") == report.LOG_LINES
    assert "  | line 99\n" in said
    assert said.endswith("  nox -s x\n")


# -- files ------------------------------------------------------------------------------------------


def test_the_files_are_written_whole_and_stale_ones_go(tmp_path: Path) -> None:
    """Nothing but this run's cells, no half-written file, readable by all."""
    report.write([PUBLISHED, PENDING], tmp_path / "report")
    paths = report.write([PENDING], tmp_path / "report")
    left = sorted(
        path.relative_to(tmp_path / "report") for path in (tmp_path / "report").rglob("*") if path.is_file()
    )
    assert [str(path) for path in left] == [f"junit/{CUDA.id}.xml", "report.json", "report.md"]
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in paths)


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old report stays, and no temporary file is left behind."""
    report.write([PUBLISHED], tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.setattr(report, "markdown", lambda _: "\ud800")
    with pytest.raises(UnicodeEncodeError):
        report.write([PENDING], tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


# -- progress ---------------------------------------------------------------------------------------


def test_away_from_a_terminal_progress_is_plain_lines() -> None:
    """One line for each event, without times of day; a download tells each tenth once."""
    stream = io.StringIO()
    with ProgressReporter(stream) as narrator:
        narrator.stage("cell", Stage.FETCH)
        with narrator.bytes(20_000_000) as download:
            for _ in range(20):
                download.advance(1_000_000)
        narrator.note("cell", "t\x1b[2Jwo\nlines")
        narrator.note("", "for all")
        narrator.done("cell", Stage.FETCH, 1.25, "148 wheels")
        narrator.done("cell", Stage.BUILD, 2)
    told = stream.getvalue().splitlines()
    assert told[0] == "cell: fetch"
    assert told[1:11] == [f"fetch: {percent} % of 20.0 MB" for percent in range(10, 101, 10)]
    assert told[11:] == [
        "cell: two",
        "cell: lines",
        "for all",
        "cell: fetch took 1.2 s: 148 wheels",
        "cell: build took 2.0 s",
    ]


def test_progress_leaves_stdout_to_data(capsys: pytest.CaptureFixture[str]) -> None:
    """By default all of it goes to stderr."""
    with ProgressReporter() as narrator:
        narrator.stage("cell", Stage.BUILD)
    assert capsys.readouterr() == ("", "cell: build\n")


def test_lines_from_many_threads_stay_whole() -> None:
    """Cells are worked on at once."""
    stream = io.StringIO()
    with ProgressReporter(stream) as narrator:
        threads = [threading.Thread(target=narrator.note, args=(f"cell{n}", "x" * 500)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(stream.getvalue().splitlines()) == sorted(f"cell{n}: {'x' * 500}" for n in range(20))


def troubled_work(stream: TextIO) -> None:
    """Some work that is told of, and then fails."""
    with ProgressReporter(stream) as narrator:
        narrator.stage("cell", Stage.FETCH)
        with narrator.bytes(2_000_000, "wheels") as download:
            download.advance(1_000_000)
            narrator.note("cell", "a [note] stays")
        narrator.done("cell", Stage.FETCH, 1.5)
        raise ValueError("trouble")


def test_on_a_terminal_progress_is_live_and_cleared_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real pseudo-terminal shows cell, stage and bar; what was noted stays, also after an error."""
    monkeypatch.setenv("TERM", "xterm")
    reader, writer = pty.openpty()
    output = bytearray()

    def listen() -> None:
        try:
            while chunk := os.read(reader, 65536):
                output.extend(chunk)
        except OSError:  # the other end of a pseudo-terminal was closed
            pass

    listener = threading.Thread(target=listen)
    listener.start()
    with pytest.raises(ValueError, match="trouble"), os.fdopen(writer, "w") as stream:
        troubled_work(stream)
    listener.join(timeout=10)
    os.close(reader)
    text = output.decode()
    assert "cell: fetch" in text
    assert "1.0/2.0 MB" in text
    assert "cell: a [note] stays" in text
    assert "cell: fetch took 1.5 s" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is shown again"
