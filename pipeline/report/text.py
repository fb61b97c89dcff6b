"""Text as reports show it: from a server, a log or a registry, made harmless; cut, counted, escaped."""

from __future__ import annotations

import re

MAX_BRIEF = 80
"""Characters of a text in a cell of a table, where it stands in full elsewhere."""

_UNPRINTABLE = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]"  # a terminal's own commands, colours among them
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # and those that set its title
    r"|[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"  # what XML cannot hold
)


def printable(text: str) -> str:
    """The text without anything that steers a terminal or breaks XML; its lines stay lines."""
    return _UNPRINTABLE.sub("", text.replace("\r\n", "\n"))


def line(text: str) -> str:
    """The same on one line, each run of blanks as one."""
    return " ".join(printable(text).split())


def brief(text: str) -> str:
    """The same on one line, cut off where a table has no room for more."""
    whole = line(text)
    return whole if len(whole) <= MAX_BRIEF else f"{whole[: MAX_BRIEF - 1]}…"


def counted(count: int, noun: str) -> str:
    """``1 note``, ``2 notes``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, whoever wrote it, in one cell of a table."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", line(text))
