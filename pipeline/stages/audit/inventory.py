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

    ``broken_files`` are the files of RECORD that are missing or have another size; ``size`` is that of all
    present files in bytes. ``requires`` are its requirements as written in METADATA. Name and version are
    those of the folder if METADATA has none.
    """

    name: str
    version: str
    installer: str
    path: str
    broken_files: tuple[str, ...] = ()
    size: int = 0
    requires: tuple[str, ...] = ()


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
    linker_cache: tuple[Cached, ...] | None = None
    """The entries of ``/etc/ld.so.cache``, in its order; None if there is no cache."""
    compilers: Mapping[str, CudaCompiler] = field(default_factory=dict)
    """What NVIDIA's compilers (nvcc, ptxas) say of themselves, by path."""
    interpreters: Mapping[str, str] = field(default_factory=dict)
    """The program that each script starts with (``#!``), by the script's path."""
    unreadable: tuple[tuple[str, str], ...] = ()
    """Files that could not be parsed, such as malformed ELF files: path and reason."""
