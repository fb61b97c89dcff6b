"""A stranger's text in our messages: no order to a terminal, none to a CI service, and one line."""

from __future__ import annotations

import json
import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.model import shown, shown_json, shown_lines
from pipeline.model.shown import MAX_SHOWN_LENGTH


@given(st.text() | st.binary() | st.integers() | st.lists(st.text()))
@example("\x1b]0;title\x07\x1b[2J")
@example("\u202eexe.png\u2066")
@example("a\nb\rc\x85d\u2028e\u2029f\x0bg\x0ch")
@example("\ud800 alone")
@example("\u200b::error::x")
@example(" ::stop-commands::x")
@example("###[error]")
@example("\t##vso[task.complete]")
def test_whatever_a_stranger_wrote_is_one_printable_line_and_no_command(text: object) -> None:
    """Control characters, direction marks, line breaks of every kind, lone surrogates, workflow commands."""
    line = shown(text)
    assert line.isprintable()
    assert len(line.splitlines()) <= 1
    assert len(line) <= MAX_SHOWN_LENGTH + 1
    assert not line.lstrip().startswith("::")
    assert "##[" not in line
    assert "##vso[" not in line
    assert not {unicodedata.category(one) for one in line} & {"Cc", "Cf", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("manifest unknown", "manifest unknown"),
        ("größer als 5 µs, at [::1]:5000", "größer als 5 µs, at [::1]:5000"),
        ("c10::Error", "c10::Error"),
        ("::error::no", "\\x3a:error::no"),
        ("see ##[error]no", "see \\x23#[error]no"),
        ("a\x1b[31mb\n", "a\\x1b[31mb\\n"),
    ],
)
def test_what_is_harmless_stays_readable(text: str, expected: str) -> None:
    """Words in any language and addresses stay as they are; what is escaped can still be read."""
    assert shown(text) == expected


def test_a_long_text_is_cut() -> None:
    """The end is marked, so that nobody takes it for all."""
    assert shown("x" * 1000) == "x" * MAX_SHOWN_LENGTH + "…"
    assert shown("\x00" * MAX_SHOWN_LENGTH) == ("\\x00" * MAX_SHOWN_LENGTH)[:MAX_SHOWN_LENGTH] + "…"


@given(st.text())
def test_a_message_keeps_its_own_lines_and_no_others(text: str) -> None:
    """What we broke into lines stays so; no line is a command."""
    printed = shown_lines(f"error: {text}\nhint: {text}")
    assert printed.count("\n") == 1 + 2 * text.count("\n")
    for line in printed.split("\n"):
        assert len(line.splitlines()) <= 1
        assert not re.match(r"\s*::", line)
        assert "##[" not in line


def test_json_means_the_same_and_orders_nothing() -> None:
    """A runner takes ``##[error]`` for an order wherever it stands in a line of its log."""
    value = {"said": "x ##[error]y ##vso[task.complete]", "a#b": 1}
    text = shown_json(json.dumps(value))
    assert (json.loads(text), "#" in text) == (value, False)
