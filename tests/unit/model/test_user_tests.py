"""The names of a user's tests, which never collide with those of the suite's checks."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.model import CHECKS, Check, Outcome, is_users
from pipeline.model.user_tests import name_of
from tests.builders import check, record

TESTS = f"sha256:{'1' * 64}"


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("test_a.py::test_b", "user:test_a::test_b"),
        ("more/test_a.py::TestC::test_b[x-1]", "user:more/test_a::TestC::test_b[x-1]"),
        ("test_a.py::test_b[a b|c\u00e4`]", "user:test_a::test_b[a_b_c__]"),
        ("capitals.jsonl", "user:capitals.jsonl"),
        ("test_a.py::test_b[x.py]", "user:test_a::test_b[x.py]"),
    ],
)
def test_a_test_is_named_by_its_place_in_letters_that_no_table_or_terminal_interprets(
    place: str, name: str
) -> None:
    assert name_of(place) == name
    assert check(name).name == name


def test_a_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(ValueError, match="205 letters, at most 200"):
        name_of("test_a.py::" + "b" * 197)


def test_no_check_of_ours_is_taken_for_a_users() -> None:
    assert not any(map(is_users, CHECKS))


@pytest.mark.parametrize("name", ["user:", "user:a b", "user:a\nb", "User:a", "x:a", "user::a"])
def test_other_names_with_a_colon_are_none(name: str) -> None:
    with pytest.raises(ValidationError):
        Check(name=name, outcome=Outcome.PASSED, seconds=0)


def test_a_record_without_tests_is_written_as_those_of_before() -> None:
    """Its bytes are signed, and its proof key stands."""
    assert "tests" not in record().model_dump()
    assert record(tests=TESTS).model_dump()["tests"] == TESTS
