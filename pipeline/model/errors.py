"""Every way to stop, with its exit code.

    TagproofError
    ├── UsageError (2)       what the user gave: the matrix, a selection, an option, a key as text
    └── MachineError (3)     the machine, the network or a tool failed: we could not find out
        ├── EngineError      the container engine or BuildKit
        ├── RegistryError    the registry, or what it answered
        ├── ImageError       an image whose files cannot be read: malformed, hostile, or another one
        ├── ResolveError     uv found no set of packages, or could not ask the index
        ├── FactsError       the index, or a file that lies there, could not be read
        │   └── DamagedError a file there cannot be unpacked
        ├── WheelError       a wheel that cannot be had, or is not the locked one
        ├── DiskError        not enough room; said before the work starts
        └── SigningError     the file of a key is absent, unreadable or of another kind

A failed check and a refused tag are *values*, never one of these: an exception means that we
could not find out. Exit code 1 belongs to those values, 130 to an interruption.
"""

from __future__ import annotations

from typing import ClassVar

GOOD, REFUSED, USAGE, MACHINE, INTERRUPTED = 0, 1, 2, 3, 130
"""The exit codes of ``python -m pipeline``."""


class TagproofError(Exception):
    """The work cannot go on. ``what`` says what, where and the value; ``hint`` the remedy."""

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
    """The machine, the network or a tool failed, so nothing was found out."""


class EngineError(MachineError):
    """The container engine or BuildKit does not answer, or failed."""


class RegistryError(MachineError):
    """The registry does not answer, refuses, or answers what is not true."""


class ImageError(MachineError):
    """The files of an image cannot be read: it is malformed, asks too much, or is not what was asked for."""


class ResolveError(MachineError):
    """uv found no set of packages for a cell, or could not ask the index."""


class FactsError(MachineError):
    """The index of packages does not answer, or a file that it lists cannot be read."""


class DamagedError(FactsError):
    """A file on the index cannot be unpacked."""


class WheelError(MachineError):
    """A wheel is nowhere to be had, or is not the one that was locked."""


class DiskError(MachineError):
    """There is not enough room for the work, known before it starts."""


class SigningError(MachineError):
    """The file of a key is absent, unreadable, no ECDSA P-256 key, or holds a key that counts for nothing."""
