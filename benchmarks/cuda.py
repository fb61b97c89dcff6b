"""How long a CUDA cell takes, how large it is, and what a second one adds that shares its CUDA and PyTorch.

    nox -s bench -- cuda

It builds three cells, one after the other, into a registry and folders of its own, and removes all of it, the
engine's images and its build cache of these builds. Wheels come from the user's cache, so a first run
downloads 5 GB. The engine needs 30 GB, and the registry 5 GB where temporary files are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.cuda_build import CELL as FIRST  # noqa: E402 - the tests' own parts, which are no package
from tests.system.conftest import registry_server  # noqa: E402
from tests.system.engine_leftovers import cleaned  # noqa: E402

PYTORCH = "torch2.11.0-cu130-py3.11"
OLDER = "vllm0.25.1-torch2.11.0-cu130-py3.11"
STAGES = ("fetch", "base", "build", "certify", "rehearse")


def main() -> int:
    """Print a row for each cell."""
    home = Path(tempfile.mkdtemp(prefix="bench-cuda-"))
    try:
        (home / "registry").mkdir()
        with registry_server(home / "registry") as server, cleaned(server.host):
            _write_matrix(home)
            print(f"| cell | {' s | '.join(STAGES)} s | added to the registry | compressed | installed |")
            print(f"|---|{'---:|' * (len(STAGES) + 3)}")
            for cell in (FIRST, PYTORCH, OLDER):
                _measure(home, cell, f"{server.host}/bench/cuda")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(f"load at the end: {os.getloadavg()[1]:.1f} over 5 minutes, {os.cpu_count()} cores")
    return 0


def _write_matrix(home: Path) -> None:
    """The shipped matrix with two cells more; what it omits of later releases is not asked of them."""
    text = (ROOT / "matrix.yaml").read_text(encoding="utf-8")
    line = '  - {vllm: "0.26.0", torch: "2.11.0", cuda: cu130, python: "3.11"}\n'
    more = (line.replace('"0.26.0"', vllm) for vllm in ("none", '"0.25.1"'))
    text = text.replace(line, line + "".join(more))
    (omitted,) = re.findall(r'nvidia-cutlass-dsl-libs-cu12\]\n    cells: "(.*)"', text)
    text = text.replace(f'cu12]\n    cells: "{omitted}"', 'cu12]\n    cells: "vllm0.{26,32,33}.*-cu130-*"')
    (home / "matrix.yaml").write_text(text, encoding="utf-8")
    shutil.copytree(ROOT / "locks", home / "locks")


def _measure(home: Path, cell: str, repository: str) -> None:
    _run(home, "lock", cell, repository)
    before = _bytes_of(home / "registry")
    started = time.monotonic()
    (status,) = json.loads(_run(home, "build", cell, repository, "--json"))["cells"]
    took = time.monotonic() - started
    added = _bytes_of(home / "registry") - before
    seconds: dict[str, float] = dict(_pairs(status["seconds"]))
    stages = " | ".join(f"{seconds[stage]:.0f}" if stage in seconds else "-" for stage in STAGES)
    sizes = json.loads(_run(home, "certify", status["image"]["ref"], repository, "--json"))["sizes"]
    columns = (f"{size / 1e9:.2f} GB" for size in (added, sizes["compressed"], sizes["installed"]))
    print(f"| {cell} ({took:.0f} s) | {stages} | {' | '.join(columns)} |", flush=True)


def _pairs(seconds: Any) -> list[tuple[str, float]]:
    return list(seconds.items()) if isinstance(seconds, dict) else [tuple(pair) for pair in seconds]


def _run(home: Path, command: str, argument: str, repository: str, *more: str) -> str:
    """What a command prints; whatever it says meanwhile goes to this program's stderr."""
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
    words = [sys.executable, "-m", "pipeline", command, argument, "--repository", repository, *more]
    if command == "certify":
        words = [word for word in words if word not in ("--repository", repository)]
    done = subprocess.run(
        words, cwd=home, env={**os.environ, **folders}, stdout=subprocess.PIPE, text=True, check=True
    )
    return done.stdout


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("data") if path.is_file())


if __name__ == "__main__":
    sys.exit(main())
