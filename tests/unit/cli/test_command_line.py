"""The command line with bad input: exit 2, where and what it is, a remedy, and nothing on stdout."""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import matrix
from pipeline.cli import main as command_line
from pipeline.model import PROJECT
from pipeline.model.errors import GOOD, INTERRUPTED, MACHINE, REFUSED, USAGE
from pipeline.runner.services import Settings
from tests.crafted import Item, layout, tar

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD_MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0", "0.31.0"]
base: {suite: bookworm, refresh: "2026-11-20"}
publish:
  repository: registry.example.org/team/vllm
  aliases:
    stable: vllm0.32.0-*
"""

BAD = {
    "unknown key": ("base:", "bases:", 6, "unknown key 'bases'", "base"),
    "misspelt axis": ("python:", "phyton:", 4, "unknown key 'phyton'", "python"),
    "unquoted version": ('"3.11"', "3.10", 4, "3.10 without quotes is the number 3.1", 'quote it: "3.10"'),
    "duplicate key": ("cuda: [cpu]\n", "cuda: [cpu]\ncuda: [cpu]\n", 4, "cuda", ""),
    "two cells with one id": (
        "base:",
        'include: [{torch: "2.13.0", cuda: cpu, python: "3.11", vllm: "0.32.0"}]\nbase:',
        6,
        "vllm0.32.0-torch2.13.0-cpu-py3.11",
        "",
    ),
    "alias that matches no cell": ("vllm0.32.0-*", "vllm0.30.0-*", 10, "vllm0.30.0-*", "vllm0.3"),
    "alias that matches two": ("vllm0.32.0-*", '"*-cpu-*"', 10, "matches 2 cells", "the one cell"),
}


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Leave the handlers of signals as they were."""
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def plan(folder: Path, text: str) -> int:
    """The exit code of ``plan`` for this matrix."""
    file = folder / "matrix.yaml"
    file.write_text(text)
    return command_line.main(["plan", "--json", "--matrix", str(file)])


@pytest.mark.parametrize("bad", BAD)
def test_a_bad_matrix_is_refused_by_file_line_value_and_remedy(
    bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says where and what, the next what to do."""
    old, new, line, value, remedy = BAD[bad]
    assert old in GOOD_MATRIX
    assert plan(tmp_path, GOOD_MATRIX.replace(old, new, 1)) == USAGE
    out, err = capsys.readouterr()
    assert out == ""
    places = [text for text in err.splitlines() if f"{tmp_path}/matrix.yaml:{line}:" in text]
    assert any(value in place for place in places), err
    assert re.search(rf"hint: .*{re.escape(remedy)}", err), err


@pytest.mark.parametrize("text", ["", "\n# nothing\n", "---\n"])
def test_an_empty_matrix_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says so, and shows how to begin."""
    assert plan(tmp_path, text) == USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert re.search(r"matrix\.yaml:\d+:\d+: .*empty", err), err
    assert "hint:" in err


def test_no_matrix_at_all_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The path is named, and the option for another one."""
    assert command_line.main(["plan", "--matrix", str(tmp_path / "none.yaml")]) == USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert str(tmp_path / "none.yaml") in err
    assert "hint:" in err


def test_a_selection_that_matches_no_cell_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A typing error must not look like a run without work."""
    file = tmp_path / "matrix.yaml"
    file.write_text(GOOD_MATRIX)
    assert command_line.main(["verify", "vllm0.23.0-*", "--matrix", str(file)]) == USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert "vllm0.23.0-*" in err
    assert "hint:" in err


def test_an_alias_of_the_matrix_stands_for_its_cell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a selection, taken away from one, and as what is to be explained."""
    (tmp_path / "matrix.yaml").write_text(GOOD_MATRIX)
    shipped = matrix.load(tmp_path / "matrix.yaml")
    cells = {
        words: [spec.cell.vllm for spec in matrix.select(shipped, words.split())]
        for words in ("stable", "!stable", "stable *0.31*")
    }
    assert cells == {"stable": ["0.32.0"], "!stable": ["0.31.0"], "stable *0.31*": ["0.32.0", "0.31.0"]}
    specs, _ = matrix.survey(shipped, ["stable"])
    assert [spec.cell.vllm for spec in specs] == ["0.32.0"]
    assert command_line.main(["explain", "stable", "--matrix", str(tmp_path / "matrix.yaml")]) == GOOD
    assert "vLLM 0.32.0" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["a..b/c", f"{'a' * 70}.org/c", f"a.org:{'4' * 4400}/c", "a.org:0/c", f"a.org/{'c' * 246}"]
)
def test_a_repository_that_cannot_be_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever is wrong with its host, port or path, or with the staging that it would have."""
    file = tmp_path / "matrix.yaml"
    file.write_text(GOOD_MATRIX)
    assert command_line.main(["plan", "--matrix", str(file), "--repository", name]) == USAGE
    assert "is no repository" in capsys.readouterr().err


@pytest.mark.parametrize("ref", ["a..b/c", "a.org:70000/c", "a.org/x//y", "u:p@a.org/c", "::error::x"])
def test_an_image_that_cannot_be_is_refused(
    ref: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Said as a mistake of whoever typed it."""
    file = tmp_path / "matrix.yaml"
    file.write_text(GOOD_MATRIX)
    digest = f"sha256:{'0' * 64}"
    assert command_line.main(["gate", "--matrix", str(file), f"{ref}@{digest}"]) == USAGE
    assert "is no repository" in capsys.readouterr().err


def test_a_repository_without_a_host_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """There is no default registry to push to by mistake."""
    file = tmp_path / "matrix.yaml"
    file.write_text(GOOD_MATRIX)
    assert command_line.main(["plan", "--matrix", str(file), "--repository", "team/vllm"]) == USAGE
    assert "'team/vllm'" in capsys.readouterr().err


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_what_the_system_refuses_is_the_machines_trouble(
    number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up during the work: the file and a remedy instead of a traceback."""

    def fails(*_: object) -> None:
        raise OSError(number, os.strerror(number), str(tmp_path / "half"))

    monkeypatch.setattr("pipeline.matrix.load", fails)
    assert plan(tmp_path, GOOD_MATRIX) == MACHINE
    err = capsys.readouterr().err
    assert str(tmp_path / "half") in err
    assert "hint: free some room" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_is_exit_code_130(
    number: signal.Signals,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C and the end of a CI job alike; a second one does not disturb the clean-up."""
    cleaned_up = []

    def interrupted(*_: object) -> None:
        try:
            signal.raise_signal(number)
        finally:
            signal.raise_signal(number)
            cleaned_up.append(True)

    monkeypatch.setattr("pipeline.matrix.load", interrupted)
    assert plan(tmp_path, GOOD_MATRIX) == INTERRUPTED
    assert "interrupted" in capsys.readouterr().err
    assert cleaned_up


@pytest.mark.parametrize(
    ("closed", "words"), [("stdout", ["explain", "torch=2.13.0", "cuda=cpu"]), ("stderr", ["plan"])]
)
def test_a_reader_that_went_away_gets_no_traceback_and_no_verdict(
    closed: str, words: list[str], tmp_path: Path
) -> None:
    """As after ``| head``: exit 1 would say that something was refused, 0 that all is well."""
    read, write = os.pipe()
    os.close(read)
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, closed: write}
    done = subprocess.run([sys.executable, "-m", "pipeline", *words], cwd=tmp_path, check=False, **streams)
    os.close(write)
    assert (done.returncode, done.stdout or b"", done.stderr or b"") == (MACHINE, b"", b"")


def test_help_is_good(capsys: pytest.CaptureFixture[str]) -> None:
    """Every command is listed with what it does."""
    with pytest.raises(SystemExit) as ended:
        command_line.main(["--help"])
    assert ended.value.code == GOOD
    assert "prove images by real inference" in capsys.readouterr().out


def test_an_image_that_says_it_is_a_cell_is_judged_by_all_that_its_build_promised(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its other labels too, as right after the build."""
    cell = "torch2.13.0-cpu-py3.11"
    place = layout(tmp_path, [tar(Item("f"))], labels={f"{PROJECT}.cell": cell, f"{PROJECT}.lock": "another"})
    shipped = Path(__file__).parents[3] / "matrix.yaml"
    assert command_line.main(["certify", str(place), "--json", "--matrix", str(shipped)]) == REFUSED
    found = [one["what"] for one in json.loads(capsys.readouterr().out)["findings"]]
    assert any(one.startswith(f"the label {PROJECT}.lock") for one in found)
    assert any(one.startswith("torch 2.13.0") and "not installed" in one for one in found)


@pytest.mark.parametrize("heavy", ["numpy", "docker", "isal", "rich"])
def test_what_a_plan_needs_not_is_not_loaded(heavy: str) -> None:
    """A plan reads what was judged and proven, and judges and proves nothing itself."""
    script = f"import sys, pipeline.__main__, pipeline.runner; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


@pytest.mark.parametrize("command", ["report", "verify", "publish"])
@pytest.mark.parametrize("place", [".state", ".state/report"])
def test_a_link_in_a_checkout_leads_no_report_elsewhere(
    command: str, place: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is found before any work, and named."""
    checkout, outside = tmp_path / "checkout", tmp_path / "outside"
    (checkout / place).parent.mkdir(parents=True)
    (outside / "report" / "junit").mkdir(parents=True)
    (outside / "junit").mkdir()
    (outside / "junit" / "mine.xml").write_text("precious")
    (checkout / place).symlink_to(outside)
    (checkout / "matrix.yaml").write_text(GOOD_MATRIX)
    assert command_line.main([command, "--matrix", str(checkout / "matrix.yaml")]) == USAGE
    assert f"{checkout / place}: a link to" in capsys.readouterr().err
    assert [path.name for path in outside.rglob("*") if path.is_file()] == ["mine.xml"]


def test_a_matrix_that_is_a_link_keeps_its_report_in_the_checkout(tmp_path: Path) -> None:
    """The folder that the user named is his checkout, not the one that a link in it leads to."""
    checkout, outside = tmp_path / "checkout", tmp_path / "outside"
    checkout.mkdir()
    outside.mkdir()
    (outside / "matrix.yaml").write_text(GOOD_MATRIX)
    (checkout / "matrix.yaml").symlink_to(outside / "matrix.yaml")
    settings = Settings(matrix.load(checkout / "matrix.yaml"))
    assert settings.state("logs") == checkout / ".state" / "logs"
    assert settings.locks == checkout / "locks"


def test_a_report_for_other_tools_is_not_written_through_a_link(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = layout(tmp_path, [tar(Item("f"))])
    (tmp_path / "other").write_text("precious")
    (tmp_path / "out.sarif").symlink_to(tmp_path / "other")
    words = [
        "certify",
        str(place),
        "--matrix",
        str(tmp_path / "none"),
        "--sarif",
        str(tmp_path / "out.sarif"),
    ]
    assert command_line.main(words) == USAGE
    assert "out.sarif: a link to" in capsys.readouterr().err
    assert (tmp_path / "other").read_text() == "precious"


def test_the_key_is_taken_out_of_the_environment_first_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before a word of the command line is read: nothing that is started later inherits it."""
    monkeypatch.setenv("TAGPROOF_KEY", "precious")
    with pytest.raises(SystemExit):
        command_line.main(["--help"])
    assert "TAGPROOF_KEY" not in os.environ


def test_settings_do_not_show_the_key_that_they_hold(tmp_path: Path) -> None:
    (tmp_path / "matrix.yaml").write_text(GOOD_MATRIX)
    assert "precious" not in repr(Settings(matrix.load(tmp_path / "matrix.yaml"), key_pem="precious"))
