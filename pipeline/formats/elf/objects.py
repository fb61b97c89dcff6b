"""What is read of shared objects, and of the dynamic loader's list of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DeviceCode:
    """Code for a GPU in one object: kind, architecture (``sm_90a``, ``compute_90``), number of pieces."""

    kind: Literal["cubin", "ptx"]
    arch: str
    count: int


@dataclass(frozen=True)
class SharedObject:
    """One ELF object for Linux, as the dynamic loader would read it.

    ``needs`` are sonames in order; ``rpath`` and ``runpath`` are lists of folders as written ($ORIGIN kept).
    ``undefined`` are the symbols that somebody else must define (weak ones left out), ``defined`` those
    that it exports, both without versions. ``version_needs`` maps a soname to the versions
    asked of it (``GLIBC_2.34``), ``version_defines`` are those that it offers. ``device_code`` is None where
    there is no ``.nv_fatbin`` section, empty where there is one with nothing in it. ``compiled_by`` is the
    toolkit named in it, if any ("13.0"). ``executable_stack`` says that it asks for a stack whose bytes may
    be executed.
    """

    path: str
    machine: str
    soname: str
    interpreter: str
    needs: tuple[str, ...]
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    undefined: frozenset[str]
    defined: frozenset[str]
    version_needs: tuple[tuple[str, tuple[str, ...]], ...]
    version_defines: tuple[str, ...]
    device_code: tuple[DeviceCode, ...] | None
    compiled_by: str = ""
    executable_stack: bool = False


@dataclass(frozen=True)
class Cached:
    """A line of ``/etc/ld.so.cache``: a soname, where it is, and the processor level that it is for, if any.

    ``level`` is the name of a ``glibc-hwcaps`` subdirectory such as ``x86-64-v3``.
    """

    soname: str
    path: str
    level: str = ""
