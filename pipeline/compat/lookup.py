"""Look-ups that the stages need: a CUDA's driver, and the build that the default index serves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.compat.facts import shipped

if TYPE_CHECKING:
    from pipeline.model import Cell

_VARIANT = re.compile(r"cu([0-9]{2})([0-9])")


def driver_floor(cuda: str) -> str | None:
    """The oldest Linux driver that can run this CUDA (``cu130`` or ``13.0``); None for ``cpu`` or unknown.

    It is the floor of minor-version compatibility, which covers machine code for the GPU at hand
    and not PTX: PTX needs the driver that came with its very toolkit.
    """
    match = _VARIANT.fullmatch(cuda)
    floor = shipped().floor(f"{match[1]}.{match[2]}" if match else cuda)
    return floor.driver if floor else None


def default_cuda(cell: Cell) -> str | None:
    """The build (``cu130``, ``cpu``) of this PyTorch that the default index serves for the cell's machine.

    None if unknown. Only that one is there under the plain version; another is
    ``<version>+<cuda>`` on PyTorch's own index.
    """
    torch = shipped().artefact("torch", cell.torch, cell.machine)
    return torch.variant if torch else None
