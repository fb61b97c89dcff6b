"""Look-ups in facts.json: the driver that a CUDA needs, and the CUDA of PyTorch's default wheels."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

FACTS = Path(__file__).with_name("facts.json")

_VARIANT = re.compile(r"cu([0-9]{2})[0-9]")
_VERSION = re.compile(r"([0-9]{2})(\.[0-9]+)*")


def driver_floor(cuda: str) -> str | None:
    """The oldest Linux driver that can run this CUDA (``cu130`` or ``13.0``); None for ``cpu`` or unknown.

    It is the floor of minor-version compatibility, which covers machine code for the GPU at hand
    and not PTX: PTX needs the driver that came with its very toolkit.
    """
    match = _VARIANT.fullmatch(cuda) or _VERSION.fullmatch(cuda)
    return _floors().get(match[1]) if match else None


def default_cuda(torch_version: str) -> str | None:
    """The CUDA (``cu130``) of the x86-64 wheel that the default index serves for this torch; None if unknown.

    Only that variant is there under the plain version; another is ``<version>+<cuda>`` on
    PyTorch's own index.
    """
    return _defaults().get(torch_version)


@cache
def _floors() -> dict[str, str]:
    return {row["cuda_major"]: row["driver"] for row in _rows("driver_floors")}


@cache
def _defaults() -> dict[str, str]:
    return {row["torch"]: row["cuda"] for row in _rows("default_wheels")}


def _rows(facts: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = json.loads(FACTS.read_text("utf-8"))[facts]
    return rows
