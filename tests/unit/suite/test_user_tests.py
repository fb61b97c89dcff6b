"""A user's tests before anything runs: their digest, their names, and what is refused; and their prompts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import Expectations, PythonTarget, Trial
from pipeline.model.errors import UsageError
from pipeline.stages import verify
from pipeline.suite.expect import Mismatch
from pipeline.suite.user_tests import prompts, sources
from tests.builders import CPU_CELL, PYTORCH_CELL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = "def test_it(): pass\n"
ASKED = '{"prompt": "Paris is", "max_tokens": 4, "matches": "France"}\n'


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A folder of tests."""
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "test_a.py").write_text(GOOD)
    return folder


@pytest.fixture
def asked(tmp_path: Path) -> Path:
    """A file of prompts."""
    file = tmp_path / "asked.jsonl"
    file.write_text(ASKED)
    return file


# -- the digest --------------------------------------------------------------------------------------


def test_where_there_are_no_tests_there_is_no_digest() -> None:
    assert sources.digest_of(None, ()) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda folder: (folder / "test_a.py").write_text("def test_other(): pass\n"),
        lambda folder: (folder / "test_a.py").rename(folder / "test_b.py"),
        lambda folder: (folder / "helper.txt").touch(),
        lambda folder: (folder.parent / "asked.jsonl").write_text("{}"),
    ],
    ids=["content", "name", "another file", "prompts"],
)
def test_any_change_of_a_file_is_another_digest(
    tests: Path, asked: Path, change: Callable[[Path], object]
) -> None:
    before = sources.digest_of(tests, (asked,))
    change(tests)
    assert sources.digest_of(tests, (asked,)) != before


def test_what_python_and_editors_leave_is_no_change(tests: Path) -> None:
    before = sources.digest_of(tests, ())
    (tests / "__pycache__").mkdir()
    (tests / "__pycache__" / "a.pyc").touch()
    (tests / ".test_a.py.swp").touch()
    assert sources.digest_of(tests, ()) == before


def test_the_digest_is_the_same_wherever_the_folder_lies(tests: Path, tmp_path: Path) -> None:
    before = sources.digest_of(tests, ())
    assert sources.digest_of(tests.rename(tmp_path / "elsewhere"), ()) == before


def test_a_folder_that_is_a_link_is_refused(tests: Path, tmp_path: Path) -> None:
    """What it leads to is no part of the digest."""
    (tmp_path / "more").mkdir()
    (tests / "more").symlink_to(tmp_path / "more")
    with pytest.raises(UsageError, match="a folder of tests is a link"):
        sources.digest_of(tests, ())


def test_files_that_nobody_would_hash_for_every_plan_are_refused(
    tests: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MAX_BYTES", 10)
    with pytest.raises(UsageError, match="have 20 bytes, at most 10"):
        sources.digest_of(tests, ())


# -- what is collected -------------------------------------------------------------------------------


def collected(tmp_path: Path, **changes: Any) -> tuple[str, ...]:
    """The names of the tests that a trial has."""
    cell = changes.get("cell", CPU_CELL)
    trial = Trial(
        cell=cell,
        run="unit",
        target=PythonTarget(python="python"),
        expected=Expectations(cell=cell),
        model="none",
        **{name: value for name, value in changes.items() if name != "cell"},
    )
    (tmp_path / "trial.json").write_text(trial.model_dump_json())
    return verify._users_tests(trial, tmp_path)


def test_every_case_has_a_name_and_prompts_come_first(tests: Path, asked: Path, tmp_path: Path) -> None:
    """What is called ``check_`` is a test of ours only, and a folder above is not looked at."""
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not ours')")
    (tests / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef mine(): return 1\n")
    (tests / "test_a.py").write_text(
        "import pytest\nfrom helper import WORDS\n"
        "@pytest.mark.parametrize('word', WORDS)\ndef test_it(mine, word): pass\n"
        "class TestAll:\n    def test_one(self, server): pass\n"
        "def check_it(): pass\n"
    )
    (tests / "helper.py").write_text("WORDS = ['a', 'b c']\n")
    names = ("user:test_a::test_it[a]", "user:test_a::test_it[b_c]", "user:test_a::TestAll::test_one")
    assert collected(tmp_path, tests=str(tests), prompts=(str(asked),)) == ("user:asked.jsonl", *names)
    assert sorted(path.name for path in tests.iterdir()) == ["conftest.py", "helper.py", "test_a.py"]


def test_a_cell_without_vllm_has_the_tests_that_ask_no_server(tests: Path, tmp_path: Path) -> None:
    (tests / "test_a.py").write_text(
        "import pytest\n@pytest.fixture\ndef said(client): pass\n"
        "def test_asks(server): pass\ndef test_asks_too(said): pass\ndef test_looks(image): pass\n"
    )
    assert collected(tmp_path, tests=str(tests), cell=PYTORCH_CELL) == ("user:test_a::test_looks",)


ONE_NAME = (
    "import pytest\n"
    "@pytest.mark.parametrize('x', [1, 2], ids=['a b', 'a|b'])\n"
    "def test_it(x): pass\n"
)  # fmt: skip


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("def helps(): pass\n", "there is no test in it"),
        ("import nothing_of_that_name\n", "test_a.py: ModuleNotFoundError: No module named 'nothing_of"),
        ("def test_it(:\n", "SyntaxError"),
        (ONE_NAME, "have one name: user:test_a::test_it[a_b]"),
        (f"def test_{'b' * 200}(): pass\n", "at most 200"),
        ("import os; os._exit(0)\n", "ended with exit code 0"),
    ],
    ids=["no test", "import", "syntax", "one name", "too long", "ends"],
)
def test_tests_that_cannot_be_run_are_refused_in_words(
    tests: Path, tmp_path: Path, text: str, what: str
) -> None:
    (tests / "test_a.py").write_text(text)
    with pytest.raises(UsageError) as refused:
        collected(tmp_path, tests=str(tests))
    assert what in refused.value.what
    assert refused.value.hint


def test_what_is_left_out_has_to_be_there(tests: Path, tmp_path: Path) -> None:
    """A name with a slip would leave the test in, and its failure would surprise."""
    assert collected(tmp_path, tests=str(tests), left_out={"user:test_a::test_it": "slow"})
    with pytest.raises(UsageError, match="names user:test_a::test_i, which"):
        collected(tmp_path, tests=str(tests), left_out={"user:test_a::test_i": "slow"})


def test_tests_that_take_too_long_to_collect_are_refused(
    tests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "_COLLECT_SECONDS", 3.0)
    (tests / "test_a.py").write_text("import time; time.sleep(60)\n")
    with pytest.raises(UsageError, match="within 3 s"):
        collected(tmp_path, tests=str(tests))


# -- prompts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "Invalid JSON"),
        ('{"max_tokens": 1, "text": "a"}', "either `prompt` or `messages` is asked"),
        ('{"prompt": "a", "max_tokens": 1}', "one of `text`, `one_of`, `matches` and `tokens` is expected"),
        ('{"prompt": "a", "max_tokens": 1, "text": "a", "tokens": [1]}', "one of `text`, "),
        ('{"prompt": "a", "text": "a"}', "max_tokens: Field required"),
        ('{"prompt": "a", "max_tokens": 1, "matches": "("}', "`matches` is no regular expression"),
        ('{"prompt": "a", "max_tokens": 1, "texts": "a"}', "texts: Extra inputs"),
        ('{"prompt": "a", "max_tokens": 1, "one_of": []}', "one_of: "),
    ],
)
def test_a_line_that_is_no_prompt_is_refused_with_its_place(tmp_path: Path, line: str, what: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(f"{ASKED}\n{line}\n")
    with pytest.raises(UsageError) as refused:
        prompts.read(file)
    assert refused.value.what.startswith(f"{file}:3: ")
    assert what in refused.value.what
    assert "max_tokens" in refused.value.hint


def test_a_file_without_a_prompt_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n")
    with pytest.raises(UsageError, match="there is no prompt in it"):
        prompts.read(tmp_path / "a.jsonl")


class Choice:
    """An answer as the official client returns it."""

    finish_reason = "length"

    def __init__(self, text: str, tokens: list[int]) -> None:
        self.text, self.token_ids = text, tokens
        self.choices = [self]


@pytest.mark.parametrize(
    ("expected", "is_it"),
    [
        ({"text": " Paris."}, True),
        ({"text": "Paris."}, False),
        ({"one_of": ["Paris", " Paris."]}, True),
        ({"one_of": ["Paris", "Lyon"]}, False),
        ({"matches": "^ P.*[.]$"}, True),
        ({"matches": "Lyon"}, False),
        ({"tokens": [7, 8]}, True),
        ({"tokens": [7]}, False),
        ({"text": ""}, False),
    ],
)
def test_an_answer_is_held_against_what_is_expected(expected: dict[str, Any], is_it: bool) -> None:
    line = json.dumps({"prompt": "a", "max_tokens": 2} | expected)
    prompt = prompts.Prompt.model_validate_json(line)
    seen = prompt.unlike(Choice(" Paris.", [7, 8]))
    assert seen == ("" if is_it else "tokens [7, 8]" if "tokens" in expected else "' Paris.'")


def test_every_line_that_was_answered_otherwise_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text(
        ASKED + ASKED.replace("France", "Paris") + ASKED.replace('"matches": "France"', '"text": "x"')
    )

    class Server:
        def ask(self, _what: str, _question: object) -> Choice:
            return Choice(" Paris.", [])

    with pytest.raises(Mismatch) as failed:
        prompts.expect_answers(Server(), prompts.read(file))  # type: ignore[arg-type]
    assert failed.value.expected == "line 1: a text that matches 'France'; line 3: 'x'"
    assert failed.value.actual == "line 1: ' Paris.'; line 3: ' Paris.'"
