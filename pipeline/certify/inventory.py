"""What a certificate is judged from: every node of the image, and of the files that matter what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.filesystem.nodes import Config, Layer, Node


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
    toolkit named in it, if any ("13.0").
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


@dataclass(frozen=True)
class Distribution:
    """One installed Python package, from its ``.dist-info``: normalised name, version, installer, folder.

    ``broken_files`` are those of RECORD whose size or presence differs from what is there; ``size`` are the
    bytes of those that are there. ``requires`` are its requirements as METADATA writes them. Name and version
    are those of the folder where METADATA has none.
    """

    name: str
    version: str
    installer: str
    path: str
    broken_files: tuple[str, ...] = ()
    size: int = 0
    requires: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cached:
    """A line of ``/etc/ld.so.cache``: a soname, where it is, and the processor level that it is for, if any.

    ``level`` is the name of a ``glibc-hwcaps`` subdirectory such as ``x86-64-v3``.
    """

    soname: str
    path: str
    level: str = ""


@dataclass(frozen=True)
class Inventory:
    """All of it, for the rules. ``texts`` are small files by path, such as ld.so.conf and os-release."""

    name: str
    digest: str
    config: Config
    layers: tuple[Layer, ...]
    nodes: Mapping[str, Node]
    objects: Mapping[str, SharedObject]
    distributions: tuple[Distribution, ...]
    texts: Mapping[str, str]
    linker_cache: tuple[Cached, ...] | None = None
    """What ``/etc/ld.so.cache`` lists, in its order; None where there is no cache."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """Files that matter and that could not be understood: path and why (a malformed ELF, say)."""
