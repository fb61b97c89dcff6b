"""What can be done of each cell of the matrix here, by what was seen of the host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adapters import host
from pipeline.model.examinations import Prospect, Standing
from pipeline.runner.doctor import storage
from pipeline.runner.services import why_not_with

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.compat.gpus_here import HostSight
    from pipeline.model import Cell, Lock, Spec
    from pipeline.model.examinations import Aspect


@dataclass(frozen=True)
class Seen:
    """What decides of the host: its aspects, its GPUs where they could be asked, and its places."""

    aspects: Sequence[Aspect]
    gpus: HostSight | None
    places: Mapping[str, Path]

    def trouble(self, *names: str) -> str:
        """The first of these aspects that does not do its work, in a few words."""
        bad = (Standing.ABSENT, Standing.UNKNOWN, Standing.BROKEN)
        found = (one.name for one in self.aspects if one.name in names and one.standing in bad)
        return next((_NEEDS[name] for name in found), "")


_NEEDS = {
    "engine": "needs an engine",
    "buildkit": "needs BuildKit",
    "registry": "needs a registry",
    "gpu access": "needs an engine that gives GPUs",
    "fabric": "needs the fabric manager",
}


def prospect(spec: Spec, lock: Lock | None, seen: Seen) -> Prospect:
    """What can be done of one cell; a lock that is missing is made on the way."""
    cell = spec.cell
    run = seen.trouble("engine", "registry")
    build = (
        run
        or seen.trouble("buildkit")
        or _foreign(spec)
        or (storage.too_large(lock, seen.places) if lock else "")
    )
    archs, driver = (seen.gpus.architectures, seen.gpus.driver) if seen.gpus else ((), "")
    prove = run or why_not_with(cell, archs, driver)
    is_foreign = cell.machine != os.uname().machine
    if not cell.needs_gpu:
        return Prospect(cell, build, None, prove, _hint(cell) if is_foreign else "")
    prove = prove or seen.trouble("gpu access", "fabric")
    rehearse = run or (f"needs {cell.platform}" if is_foreign else "")
    return Prospect(cell, build, rehearse, prove, _hint(cell) if prove and not run else "")


def _hint(cell: Cell) -> str:
    """Where a cell can be proven that cannot be here."""
    gpu = " with an NVIDIA GPU that its code reaches" if cell.needs_gpu else ""
    return f"to prove the others: `python -m pipeline verify` on a machine for {cell.platform}{gpu}"


def _foreign(spec: Spec) -> str:
    """Whether nothing here runs programs for the cell's processor, as a build does."""
    return "" if host.executes(spec.cell.machine) else f"needs {spec.cell.platform}, or its emulation"
