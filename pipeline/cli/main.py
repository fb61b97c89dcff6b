"""One call of the program: words in, exit code out."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from pipeline.adapters import environ
from pipeline.cli import parser, signals
from pipeline.cli.options import Options
from pipeline.cli.output import narrate
from pipeline.model.errors import INTERRUPTED, MACHINE, TagproofError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the words are those of the command line unless given."""
    signals.interrupt_on_signals()
    key_pem = environ.take(environ.KEY)  # before anything starts that it does not concern
    try:
        return _run(sys.argv[1:] if words is None else words, key_pem)
    except BrokenPipeError:
        return _leave_unheard()


def _run(words: Sequence[str], key_pem: str | None) -> int:
    """The command's exit code, or that of what kept it from its work."""
    try:
        command, options = parser.parse(words, Options(key_pem=key_pem))
        code = command.run(options)
        sys.stdout.flush()  # that nobody reads it is found out here, not when all is over
    except TagproofError as error:
        narrate(f"error: {error}")
        return error.exit_code
    except OSError as error:
        if error.errno not in _ERRORS_OF_THE_MACHINE:
            raise
        narrate(f"error: {error}\nhint: free some room, or make that place writable")
        return MACHINE
    except KeyboardInterrupt:
        narrate("interrupted: everything that was started here has ended")
        return INTERRUPTED
    return code


def _leave_unheard() -> int:
    """Whoever read our output is gone (`… | head`): no verdict arrived, and nobody is left to tell."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    return MACHINE


_ERRORS_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system answers where a disk is full, or a place is not ours to write to."""
