"""A stranger's text in a message of ours: one line of printable characters, and an order to nobody.

A terminal obeys control characters, and a log of GitHub Actions obeys lines: ``::command::`` where a line
begins so, ``##[command]`` wherever it stands (actions/runner, ActionCommand.cs).
"""

from __future__ import annotations

import re

LONGEST = 200
"""The most characters of a stranger's text that a message shows."""

_ORDER = re.compile(r"(?:(?<=\s)|^):(?=:)|#(?=#\w*\[)")
"""Where a text would be taken for a workflow command: of GitHub Actions, Azure Pipelines or TeamCity."""


def shown(text: object, longest: int = LONGEST) -> str:
    """Any value as a part of a message: printable, on one line, cut off where it is too long."""
    whole = text.decode("utf-8", "replace") if isinstance(text, bytes | bytearray) else str(text)
    line = harmless(whole[:longest])
    return line if len(whole) <= longest and len(line) <= longest else f"{line[:longest]}…"


def shown_lines(text: str) -> str:
    """A whole message of ours, line by line: the newlines are ours, and stay."""
    return "\n".join(harmless(line) for line in text.split("\n"))


def shown_json(text: str) -> str:
    """A JSON document that means the same, and gives no order to a log: only its strings hold ``#``."""
    return text.replace("#", "\\u0023")


def harmless(line: str) -> str:
    """The same with every character escaped that does not print, direction marks and line breaks included."""
    printable = "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in line)
    return _ORDER.sub(lambda found: f"\\x{ord(found[0]):02x}", printable)
