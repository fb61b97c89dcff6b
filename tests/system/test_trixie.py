"""The other suite that the language names: a cell on it is locked, built and started.

Its PyTorch is a wheel of ours, made here, because no index is sure to have one for every Python. A real
package with compiled code stands beside it, chosen from the index for that Python and that glibc.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from pipeline.nouns import Repository
from pipeline.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Server

CELL = "torch2.13.0-cpu-py3.13"
MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.13"]
base: {suite: trixie, refresh: "2026-11-20"}
packages: [{pins: [markupsafe==3.0.2]}]
publish: {repository: "%s"}
"""
ASKS = (
    "import platform, sys, torch, markupsafe._speedups;"
    "print(torch.__version__, sys.version_info[:2], *platform.libc_ver())"
)


@pytest.fixture
def checkout(own_server: Server, tmp_path: Path) -> Iterator[Path]:
    """A folder with the matrix and the wheel; what the engine got from this registry goes with the test."""
    (tmp_path / "matrix.yaml").write_text(MATRIX % f"{own_server.host}/trixie/torch")
    (tmp_path / "wheels").mkdir()
    _write_torch(tmp_path / "wheels")
    yield tmp_path
    listed = ["docker", "images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"]
    lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
    ours = {line.split()[1] for line in lines if line.startswith(own_server.host)}
    subprocess.run(["docker", "image", "rm", "--force", *ours], capture_output=True, check=False)


def _write_torch(folder: Path) -> None:
    """A wheel that says it is PyTorch for this Python, and holds nothing else."""
    tag, info = "cp313-cp313-manylinux_2_28_x86_64", "torch-2.13.0+cpu.dist-info"
    files = {
        "torch/__init__.py": '__version__ = "2.13.0+cpu"\n',
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
    }
    with zipfile.ZipFile(folder / f"torch-2.13.0+cpu-{tag}.whl", "w") as wheel:
        for name, text in files.items():
            wheel.writestr(name, text)
        wheel.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))


def _types(checkout: Path, *words: str) -> None:
    """``python -m pipeline WORDS`` there, with a home of its own."""
    command = [sys.executable, "-m", "pipeline", *words, "--find-links", "wheels"]
    folders = {f"XDG_{name}_HOME": str(checkout / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
    done = subprocess.run(
        command, cwd=checkout, env={**os.environ, **folders}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_a_cell_on_trixie_is_locked_built_and_started(checkout: Path, own_server: Server) -> None:
    """Uv knows no platform as new as its glibc 2.41, and still the lock holds what runs there."""
    _types(checkout, "lock")
    assert "markupsafe-3.0.2-cp313-" in (checkout / "locks" / f"{CELL}.txt").read_text().lower()
    _types(checkout, "build")
    staging = Repository(own_server.host, "trixie/torch-staging")
    tag = next(tag for tag in Registry(staging).tags() if len(tag) == len("0" * 64))
    command = ["docker", "run", "--rm", "--network=none", f"{staging}:{tag}", "-c", ASKS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "2.13.0+cpu (3, 13) glibc 2.41\n"
