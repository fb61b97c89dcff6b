"""The commands and their options: what help says, what is meant by a slip, and where an option acts."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import matrix
from pipeline.cli import main as command_line
from pipeline.cli import output
from pipeline.cli.commands import COMMANDS
from pipeline.cli.options import Options
from pipeline.cli.parser import PURPOSE, parse, parsers
from pipeline.model.errors import GOOD, USAGE, UsageError

ROOT = Path(__file__).parents[3]
IMAGE = f"127.0.0.1:5000/tagproof/vllm@sha256:{'0' * 64}"
"""Stands for what a user has in the variable of this name."""

EXAMPLES = [(name, words) for name, command in COMMANDS.items() for words, _ in command.examples]


def typed(words: str) -> list[str]:
    """The words of an example as the program gets them from a shell."""
    return [word.replace("$IMAGE", IMAGE) for word in shlex.split(words.partition(" >")[0])]


def printed(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What this command line prints and then ends well."""
    with pytest.raises(SystemExit) as ended:
        command_line.main(words)
    assert ended.value.code == GOOD
    return capsys.readouterr().out


# -- help -------------------------------------------------------------------------------------------


def test_help_says_first_what_the_tool_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    purpose, usage = printed(["--help"], capsys).split("\n\n")[:2]
    assert usage == "usage: python -m pipeline COMMAND [options]"
    assert purpose == PURPOSE


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_says_first_what_it_does(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    first_line = printed([name, "--help"], capsys).partition("\n")[0]
    assert first_line == f"{name}: {COMMANDS[name].summary}"


def test_help_lists_every_command_in_the_order_of_the_path(capsys: pytest.CaptureFixture[str]) -> None:
    page = printed(["--help"], capsys)
    places = [page.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_describes_it_and_shows_its_examples(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page = printed([name, "--help"], capsys)
    command = COMMANDS[name]
    assert command.description in " ".join(page.split())
    assert all(f"  python -m pipeline {words}\n      {effect}" in page for words, effect in command.examples)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_three_examples(name: str) -> None:
    assert len({words for words, _ in COMMANDS[name].examples}) >= 3


@pytest.mark.parametrize(("name", "words"), EXAMPLES, ids=[words for _, words in EXAMPLES])
def test_an_example_is_understood_as_it_is_written(name: str, words: str) -> None:
    """Of the command whose help shows it."""
    command, _ = parse(typed(words), Options())
    assert command is COMMANDS[name]


@pytest.mark.parametrize(("name", "words"), EXAMPLES, ids=[words for _, words in EXAMPLES])
def test_the_cells_of_an_example_are_those_of_the_shipped_matrix(name: str, words: str) -> None:
    """Whoever copies it into a fresh clone gets no refusal."""
    _, given = parse(typed(words), Options())
    shipped = matrix.load(ROOT / "matrix.yaml", given.repository)
    assert matrix.select(shipped, [word for word in given.select if "@" not in word]), name


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    version = printed(["--version"], capsys).removeprefix("tagproof ").strip()
    assert f'version = "{version}"' in text


# -- the program's name -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started", "name"),
    [("/usr/bin/tagproof", "tagproof"), ("/x/pipeline/__main__.py", "python -m pipeline")],
)
def test_the_program_calls_itself_as_it_was_started(
    started: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In usage, examples and hints alike."""
    monkeypatch.setattr(sys, "argv", [started])
    assert f"\nusage: {name} COMMAND" in printed(["--help"], capsys)
    assert f"  {name} plan\n" in printed(["plan", "--help"], capsys)
    output.narrate("hint: python -m pipeline lock")
    assert capsys.readouterr().err == f"hint: {name} lock\n"


# -- slips --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "what", "hint"),
    [
        ("verfy cu130", "there is no command 'verfy'", "did you mean verify?"),
        ("--json plann", "there is no command 'plann'", "did you mean plan?"),
        ("xyzzy", "there is no command 'xyzzy'", "the commands: plan explain"),
        ("verify --freh", "verify has no option --freh", "did you mean --fresh?"),
        ("plan --repo-sitory=x", "plan has no option --repo-sitory", "did you mean --repository?"),
        (
            "gate x --find-links y",
            "gate has no option --find-links",
            "it is an option of lock, build, verify",
        ),
        ("refresh --repository x", "refresh has no option --repository", "it is an option of plan"),
        ("gate x y", "gate takes no 'y'", "gate --help"),
        ("gate", "the following arguments are required: IMAGE", "gate --help"),
        ("plan --matrix", "argument --matrix: expected one argument", "plan --help"),
        ("", "the following arguments are required: COMMAND", "python -m pipeline --help"),
    ],
)
def test_a_slip_is_named_with_what_was_probably_meant(words: str, what: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(words.split(), Options())
    assert raised.value.what == what
    assert hint in raised.value.hint


def test_a_slip_is_an_error_of_usage_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["verfy"]) == USAGE
    assert capsys.readouterr() == ("", "error: there is no command 'verfy'\nhint: did you mean verify?\n")


# -- options only where they act ------------------------------------------------------------------------

FOR_ALL_STAGES = {("lock", "--repository"), ("publish", "--find-links")}
"""Taken, and shown nowhere: ``nox -s lock build publish -- …`` hands the same words to each of them."""

ACTS = {
    "--json": set(COMMANDS) - {"sbom"},
    "--matrix": set(COMMANDS) - {"diagnose", "import"},
    "--repository": set(COMMANDS) - {"lock", "explain", "which", "certify", "gpu-day", "refresh", "diagnose"},
    "--find-links": {"lock", "build", "verify"},
    "--fresh": {"build", "verify", "refresh"},
    "--require-all": {"verify", "publish"},
    "--platform": {"explain", "doctor", "which", "certify", "sbom", "scan"},
    "--arch": {"certify"},
}


@pytest.mark.parametrize("option", ACTS)
def test_an_option_is_shown_only_where_it_acts(option: str) -> None:
    pages = {name: parser.format_help().partition("examples:")[0] for name, parser in parsers()[1].items()}
    assert {name for name, page in pages.items() if f"\n  {option}" in page} == ACTS[option]


def test_the_stages_of_one_call_of_nox_take_the_same_words() -> None:
    for name in ("lock", "build", "verify", "publish"):
        words = [name, "--repository", "a.org/b", "--find-links", "wheels", "--json"]
        assert parse(words, Options())[1].find_links == ["wheels"]
    hidden = {
        (name, option)
        for name, parser in parsers()[1].items()
        for option in parser.option_names
        if option not in parser.format_help()
    }
    assert hidden == FOR_ALL_STAGES


# -- start-up -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("heavy", ["pipeline.runner", "pipeline.matrix", "httpx", "cryptography"])
def test_what_help_needs_not_is_not_loaded(heavy: str) -> None:
    """A command imports what it works with when it runs."""
    script = f"import sys, pipeline.__main__, pipeline.cli.parser; sys.exit({heavy!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
