"""What a command consists of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from pipeline.cli.options import Options


@dataclass(frozen=True)
class Command:
    """A command: what it says of itself, its options, and its work, which returns the exit code.

    ``summary`` is its line in the list of commands. An example is what to type after the program's name,
    as a shell takes it, and what that does.
    """

    name: str
    summary: str
    description: str
    examples: tuple[tuple[str, str], ...]
    add_options: Callable[[ArgumentParser], None]
    run: Callable[[Options], int]
