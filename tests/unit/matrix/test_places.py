"""What a matrix names that lies beside it: a user's tests, and prompts with the answers of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.model.errors import UsageError
from tests.unit.matrix.samples import GOOD, load

if TYPE_CHECKING:
    from pathlib import Path

LEFT_OUT = GOOD + "leave_out: [{checks: [%s], reason: not there}]\n"


def put(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as refused:
        load(tmp_path, text)
    return f"{refused.value.what}\n{refused.value.hint}"


def test_tests_are_found_beside_the_matrix(tmp_path: Path) -> None:
    put(tmp_path, "tests/images/more/test_a.py")
    assert load(tmp_path, GOOD).tests == tmp_path / "tests" / "images"


def test_a_folder_of_that_name_without_tests_is_none_of_ours(tmp_path: Path) -> None:
    """Whoever keeps pictures there meant nothing by it."""
    put(tmp_path, "tests/images/a.png", "tests/test_b.py")
    assert load(tmp_path, GOOD).tests is None


def test_another_folder_may_be_named(tmp_path: Path) -> None:
    put(tmp_path, "tests/images/test_a.py", "proofs/test_b.py")
    assert load(tmp_path, GOOD + "verify: {tests: proofs}\n").tests == tmp_path / "proofs"


@pytest.mark.parametrize(
    ("named", "what"),
    [("elsewhere", "there is no folder 'elsewhere'"), ("empty", "'empty' has no file test_….py")],
)
def test_a_folder_that_is_named_has_to_have_tests(tmp_path: Path, named: str, what: str) -> None:
    put(tmp_path, "empty/notes.txt")
    said = refusal(tmp_path, GOOD + f"verify: {{tests: {named}}}\n")
    assert f"matrix.yaml:9:17: verify.tests: {what}" in said
    assert "paths start at this file" in said


@pytest.mark.parametrize(
    ("named", "found"), [("asked", ["a.jsonl", "b.jsonl"]), ("asked/b.jsonl", ["b.jsonl"])]
)
def test_prompts_are_a_file_or_a_folder_of_such_files(tmp_path: Path, named: str, found: list[str]) -> None:
    put(tmp_path, "asked/b.jsonl", "asked/a.jsonl", "asked/README.md")
    prompts = load(tmp_path, GOOD + f"verify: {{model: a/b, prompts: {named}}}\n").prompts
    assert prompts == tuple(tmp_path / "asked" / name for name in found)


@pytest.mark.parametrize(
    ("verify", "what"),
    [
        ("model: a/b, prompts: absent.jsonl", "verify.prompts: there is no file 'absent.jsonl'"),
        ("model: a/b, prompts: asked", "verify.prompts: 'asked' has no file ….jsonl"),
        ("prompts: a.jsonl", "verify.prompts: there is no verify.model whose answers they are"),
    ],
    ids=["no file", "none in the folder", "no model"],
)
def test_prompts_without_a_file_or_a_model_are_refused(tmp_path: Path, verify: str, what: str) -> None:
    put(tmp_path, "asked/README.md", "a.jsonl")
    assert what in refusal(tmp_path, GOOD + f"verify: {{{verify}}}\n")


def test_a_test_may_be_left_out_by_its_name(tmp_path: Path) -> None:
    put(tmp_path, "tests/images/test_a.py")
    (first, *_) = load(tmp_path, LEFT_OUT % "'user:test_a::test_b[x]'").specs
    assert first.left_out == (("user:test_a::test_b[x]", "not there"),)


@pytest.mark.parametrize(
    ("name", "what", "hint"),
    [
        ("serv", "leave_out.checks: 'serv' is no check", "did you mean serve?"),
        ("'user: x'", "leave_out.checks: 'user: x' is no check", "user:test_answers::test_it_greets"),
        ("user:test_b", "'user:test_b' is no test of yours: there is no test_b.py", "they lie in"),
    ],
)
def test_a_name_that_no_check_or_test_has_is_refused(tmp_path: Path, name: str, what: str, hint: str) -> None:
    put(tmp_path, "tests/images/test_a.py")
    said = refusal(tmp_path, LEFT_OUT % name)
    assert what in said
    assert hint in said
