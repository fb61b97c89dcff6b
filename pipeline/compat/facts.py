"""What is known, as rows: artefacts that a program read, and an overlay that people keep.

``facts.json`` is written by ``nox -s refresh`` only: one row for each artefact that was read, with the
file's hash. ``overlay.json`` is kept by hand: drivers, GPU names, builds on PyTorch's own index, known-bad
pairs, each with its source. A fact that was read from an artefact always wins over the overlay.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

FACTS = Path(__file__).with_name("facts.json")


@dataclass(frozen=True)
class Artefact:
    """One wheel of the default index, as it was read. None means "not known", an empty tuple "known to be none".

    ``machine`` is ``x86_64`` or ``aarch64``; ``size`` in bytes; ``released`` a day. ``pythons`` are those
    that can install this release here (all wheels of the release for this machine, within
    Requires-Python), ``pythons_built`` those that its own build names. ``cuda`` is the version that it was compiled
    for, ``13.0``, or ``12`` where only the major is known; None for a build without CUDA. ``archs`` are
    ``sm_90`` for machine code and ``compute_90`` for PTX. ``glibc`` is what the file name's tag asks for,
    ``glibc_seen`` the newest symbol version seen inside. ``needs`` are shared libraries that it links and does not
    bring. ``pins`` are requirements as METADATA has them, markers included. ``read_from`` says for each
    fact which member it was read from.
    """

    package: str
    version: str
    machine: str
    file: str
    sha256: str
    size: int
    released: str
    yanked: bool
    pythons: tuple[str, ...]
    pythons_built: tuple[str, ...] | None
    cuda: str | None
    archs: tuple[str, ...] | None
    glibc: str
    glibc_seen: str | None
    needs: tuple[str, ...] | None
    pins: tuple[str, ...]
    read_from: tuple[tuple[str, str], ...]
