"""Every error that ends the work, with its exit code.

    TagproofError
    ├── UsageError (2)       the user's input: the matrix, a selection, an option, a key as text
    └── MachineError (3)     the machine, the network or a tool failed: we could not find out
        ├── EngineError      the container engine or BuildKit
        │   └── ProgramError an image has no such program, or one that cannot be run
        ├── RegistryError    the registry, or what it answered
        ├── ImageError       an image whose files cannot be read: malformed, too large, or not the right one
        ├── ResolveError     uv found no set of packages, or could not ask the index
        ├── FactsError       the index, or a file on it, could not be read
        │   └── DamagedError a file on it cannot be unpacked
        ├── WheelError       a wheel that cannot be fetched, or is not the locked one
        ├── DiskError        not enough space, before the work starts or while BuildKit is at it
        └── SigningError     the file of a key is absent, unreadable or of another kind

A failed check and a refused tag are *values*, never errors: an error means that we could not find
out. Exit code 1 is for those values, 130 for an interruption.
"""

from __future__ import annotations

from typing import ClassVar

GOOD, REFUSED, USAGE, MACHINE, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit codes of ``python -m pipeline``."""


class TagproofError(Exception):
    """The work cannot go on. ``what`` names the problem, the place and the value; ``hint`` the remedy."""

    exit_code: ClassVar[int] = MACHINE

    def __init__(self, what: str, *, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.what}\nhint: {self.hint}"


class UsageError(TagproofError):
    """The matrix, a selection, an option or a key that was handed over as text is wrong."""

    exit_code = USAGE


class MachineError(TagproofError):
    """The machine, the network or a tool failed, so there is no result."""


class EngineError(MachineError):
    """The container engine or BuildKit does not answer, or failed."""


class ProgramError(EngineError):
    """A program that an image is to start is not in it, or cannot be run: no fault of the engine's."""


class RegistryError(MachineError):
    """The registry does not answer, refuses, or gives a wrong answer."""


class ImageError(MachineError):
    """The files of an image cannot be read: it is malformed, too large, or not the right one."""


class ResolveError(MachineError):
    """uv found no set of packages for a cell, or could not ask the index."""


class FactsError(MachineError):
    """The index of packages does not answer, or a file that it lists cannot be read."""


class DamagedError(FactsError):
    """A file on the index cannot be unpacked."""


class WheelError(MachineError):
    """A wheel cannot be fetched, or is not the locked one."""


class DiskError(MachineError):
    """There is not enough disk space: raised before the work starts, or where the engine's disk fills."""


class SigningError(MachineError):
    """The file of a key is absent, unreadable, no ECDSA P-256 key, or holds a key that counts for nothing."""
