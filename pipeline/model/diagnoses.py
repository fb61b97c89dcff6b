"""What a log says of the failure behind it: causes, each with its remedy and the line that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from pipeline.model.certificates import UntrustedText  # noqa: TC001 - pydantic reads it
from pipeline.model.frozen import Frozen


class Blame(StrEnum):
    """Whose fault a failure is: what was built, the machine, the model's files, or what was asked for."""

    IMAGE = "image"
    HOST = "host"
    MODEL = "model"
    USAGE = "usage"


class Diagnosis(Frozen):
    """One cause, in plain words, with its remedy.

    ``id`` names the signature that was recognised and never changes. ``text`` is the line of the log that
    shows it, without its carriers, and ``line`` its number, from 1. ``contradicts`` says which message of
    the log is wrong about itself, ``decides`` what would tell this cause from others with the same words;
    empty where there is nothing to say. ``sources`` are addresses.
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,40}$")]
    blame: Annotated[Blame, Field(strict=False)]
    cause: UntrustedText
    remedy: UntrustedText
    line: Annotated[int, Field(ge=1)]
    text: UntrustedText
    contradicts: UntrustedText = ""
    decides: UntrustedText = ""
    sources: Annotated[tuple[UntrustedText, ...], Field(max_length=16)] = ()


@dataclass(frozen=True)
class LogLine:
    """A line of a log, without its carriers; ``line`` is its number, from 1."""

    line: int
    text: str


@dataclass(frozen=True)
class LogReading:
    """What was found in one log of so many ``lines``.

    ``diagnoses`` has the most specific first. ``consequences`` are the ids of what was recognised too, and
    follows from these. Where nothing was recognised ``unexplained`` has the lines that most likely matter,
    and ``wrappers`` those that only say that something else has failed. ``came_up`` is the last line that
    says that a server came up; 0 where none does.
    """

    lines: int
    diagnoses: tuple[Diagnosis, ...] = ()
    consequences: tuple[str, ...] = ()
    unexplained: tuple[LogLine, ...] = ()
    wrappers: tuple[LogLine, ...] = ()
    came_up: int = 0
