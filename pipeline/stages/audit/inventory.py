"""The input of the rules: every node of the image, and the content of the files that they read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.image_files.nodes import Layer, Node
    from pipeline.formats.cuda_compilers import CudaCompiler
    from pipeline.formats.elf.objects import Cached, SharedObject
    from pipeline.formats.image_config import ImageConfig


@dataclass(frozen=True)
class Distribution:
    """One installed Python package, from its ``.dist-info``: normalised name, version, installer, folder.

    ``missing`` are the files of its RECORD that are not there, ``changed`` those with another size or hash;
    ``size`` is that of all present files in bytes. ``requires`` are its requirements as written in METADATA.
    Name and version are those of the folder if METADATA has none.
    """

    name: str
    version: str
    installer: str
    path: str
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    size: int = 0
    requires: tuple[str, ...] = ()

    @property
    def broken_files(self) -> tuple[str, ...]:
        """The files that are not as its RECORD says."""
        return (*self.missing, *self.changed)

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Claim:
    """A distribution that lists a file in its RECORD, by its ``.dist-info``.

    ``holds``: the file is its own, of the size and the hash in the RECORD, as far as both are known.
    """

    owner: str
    holds: bool


@dataclass(frozen=True, slots=True)
class StartFile:
    """A file that Python reads when it starts: its first line of code, empty if it has none.

    ``form`` is by what a hook is known: ``start_files.form_of`` the bytes.
    """

    code: str
    form: str


@dataclass(frozen=True)
class Inventory:
    """An image, for the rules. ``texts`` are small files by path, such as ld.so.conf and os-release."""

    name: str
    digest: str
    config: ImageConfig
    layers: tuple[Layer, ...]
    nodes: Mapping[str, Node]
    objects: Mapping[str, SharedObject]
    distributions: tuple[Distribution, ...]
    texts: Mapping[str, str]
    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    """For each file that is in a RECORD, and is there, those that claim it."""
    path_files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """For each ``.pth`` file of a folder of packages, the folders that it adds to Python's path."""
    start_files: Mapping[str, StartFile] = field(default_factory=dict)
    """The ``.pth`` files of folders of packages, and the modules, that Python runs when it starts."""
    linker_cache: tuple[Cached, ...] | None = None
    """The entries of ``/etc/ld.so.cache``, in its order; None if there is no cache."""
    compilers: Mapping[str, CudaCompiler] = field(default_factory=dict)
    """What NVIDIA's compilers (nvcc, ptxas) say of themselves, by path."""
    interpreters: Mapping[str, str] = field(default_factory=dict)
    """The program that each script starts with (``#!``), by the script's path."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """Files that could not be parsed, such as malformed ELF files: path and reason."""
