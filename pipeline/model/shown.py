"""Untrusted text in a message: one line of printable characters that no terminal or CI log interprets.

A terminal interprets control characters, and GitHub Actions interprets lines of a log: ``::command::`` at the
start of a line, ``##[command]`` anywhere (actions/runner, ActionCommand.cs).
"""

from __future__ import annotations

import re

MAX_SHOWN_LENGTH = 200
"""How many characters of an untrusted text a message shows."""

_COMMAND = re.compile(r"(?:(?<=\s)|^):(?=:)|#(?=#\w*\[)")
"""The start of a workflow command: of GitHub Actions, Azure Pipelines or TeamCity."""


def shown(text: object, limit: int = MAX_SHOWN_LENGTH) -> str:
    """Any value as part of a message: printable, on one line, shortened if it is too long."""
    whole = text.decode("utf-8", "replace") if isinstance(text, bytes | bytearray) else str(text)
    line = harmless(whole[:limit])
    return line if len(whole) <= limit and len(line) <= limit else f"{line[:limit]}…"


def shown_lines(text: str) -> str:
    """A whole message, line by line: its newlines are kept."""
    return "\n".join(harmless(line) for line in text.split("\n"))


def shown_json(text: str) -> str:
    """The same JSON document without a workflow command: ``#`` can only be in its strings."""
    return text.replace("#", "\\u0023")


def harmless(line: str) -> str:
    """The line with every character escaped that does not print, such as direction marks and line breaks."""
    printable = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in line
    )
    return _COMMAND.sub(lambda match: f"\\x{ord(match[0]):02x}", printable)
