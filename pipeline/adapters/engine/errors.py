"""What Docker's client raises, as an EngineError."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException

from pipeline.model import shown
from pipeline.model.errors import EngineError, ProgramError, TagproofError

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_PROGRAM = re.compile(
    r'exec: "[^"]*": (?:executable file not found|stat |no such file|permission denied|is a directory)'
)
"""What runc and crun say of a program that an image has not, or that cannot be run."""

HINT = "`docker info` and the engine's own log tell whether it is well"

MAX_TEXT = 2000
"""Characters of the engine's own explanation in a message."""


@contextmanager
def map_errors(doing: str, *, hint: str = HINT) -> Iterator[None]:
    """Turn whatever Docker's client raises into an EngineError that says what was being done.

    A ProgramError is one whose cause is in the image that was to be started.

    The block also reads what the engine answers: where an answer is not as the engine's API says, client and
    reader fail in many ways.
    """
    try:
        yield
    except (DockerException, requests.exceptions.RequestException, OSError) as error:
        explanation = getattr(error, "explanation", None) or _system_error(error) or error
        kind = ProgramError if _NO_PROGRAM.search(str(explanation)) else EngineError
        raise kind(f"could not {doing}: {shown(explanation, MAX_TEXT)}", hint=hint) from error
    except TagproofError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {shown(error)}"
        raise EngineError(f"could not {doing}: its answer is not understood: {why}", hint=hint) from error


def _system_error(error: BaseException | None) -> str:
    """What the system said at the root of it ("No such file or directory"), or nothing."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__cause__ or error.__context__
    return ""
