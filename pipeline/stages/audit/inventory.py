"""What a certificate is judged from: every node of the image, and of the files that matter what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.image_files.nodes import Config, Layer, Node
    from pipeline.formats.elf.objects import Cached, SharedObject


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
