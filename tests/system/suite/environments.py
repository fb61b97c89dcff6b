"""Real environments, each with exactly the packages of a shipped lock."""

from __future__ import annotations

import subprocess
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from pipeline import matrix
from pipeline.adapters import paths, wheel_cache
from pipeline.stages import fetch, lock

if TYPE_CHECKING:
    from pipeline.model import Lock, Spec

ROOT = Path(__file__).resolve().parents[3]


def shipped(cell: str) -> Spec:
    """A CPU cell of the shipped matrix, for the Python that runs us."""
    spec = next(spec for spec in matrix.load(ROOT / "matrix.yaml").specs if spec.cell.id == cell)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return replace(spec, cell=replace(spec.cell, python=running))


def install(spec: Spec, folder: Path) -> tuple[Path, Lock]:
    """A virtual environment with exactly the packages of the cell's lock, and their bytecode.

    Without that each process compiles what it imports where nobody may keep it (PYTHONDONTWRITEBYTECODE): a
    start of vLLM then takes twice as long.
    """
    folders = lock.folders_of(())
    pins = lock.read(spec, ROOT / "locks") or lock.make(spec, builds={"torch": "cpu"}, folders=folders)
    cache = paths.wheels()
    fetch.fetch(
        spec, pins.pins, cache, folders, lambda _: nullcontext(SimpleNamespace(advance=lambda _: None))
    )
    files = [str(wheel_cache.path_of(pin, cache)) for pin in pins.pins]
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", folder], check=True)
    words = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-deps",
        "--compile-bytecode",
    ]
    subprocess.run([*words, "--no-index", "--python", python, *files], check=True)
    return python, pins
