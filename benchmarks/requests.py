"""How often the registry is asked: one verify of an unbuilt cell, and commands with nothing left to do.

    nox -s bench -- requests [CELL…]

It starts a registry of its own, whose access log is counted (BuildKit's pushes are left out), and folders of
its own, all of which go at the end; wheels come from this user's cache. Prints one Markdown row per command:
requests, and the medians of wall-clock and of CPU seconds.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
CELLS = (
    "torch2.13.0-cpu-py3.11",
    "vllm0.32.0-torch2.13.0-cpu-py3.11",
    "vllm0.31.0-torch2.13.0-cpu-py3.11",
)
REPEATS = 7
PROGRAMS = ("docker-registry", "registry")
"""What distributions call Distribution's server."""


def main(cells: tuple[str, ...]) -> int:
    """Measure every command; returns the first exit code that is not 0."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        with _registry(home) as (host, log):
            return _measure(home, log, f"{host}/bench/vllm", cells or CELLS)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _measure(home: Path, log: Path, repository: str, cells: tuple[str, ...]) -> int:
    for name in ("matrix.yaml", "locks"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, home / name)
    steps = [
        ("verify, one unbuilt cell", ["verify", cells[0]], 1),
        ("verify, the others", ["verify", *cells], 1),
        ("publish, all", ["publish", *cells], 1),
        (f"verify, {len(cells)} published cells", ["verify", *cells], REPEATS),
        (f"publish, {len(cells)} published cells", ["publish", *cells], REPEATS),
        ("plan, all cells of the matrix", ["plan"], REPEATS),
    ]
    print("| command | requests | seconds | CPU seconds | runs |\n|---|---:|---:|---:|---:|")
    for name, words, runs in steps:
        found = [_run(home, log, [*words, "--repository", repository]) for _ in range(runs)]
        if any(code for *_, code in found):
            return next(code for *_, code in found if code)
        asked, seconds, cpu = (statistics.median(row[column] for row in found) for column in range(3))
        print(f"| {name} | {asked:.0f} | {seconds:.2f} | {cpu:.2f} | {runs} |", flush=True)
    return 0


def _run(home: Path, log: Path, words: list[str]) -> tuple[int, float, float, int]:
    """Requests, wall-clock seconds, CPU seconds and exit code of one command."""
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
    before, cpu, start = _requests(log), _cpu_seconds(), time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words],
        cwd=home,
        env={**os.environ, **folders, "PYTHONPATH": str(ROOT)},
        stdout=sys.stderr,
        check=False,
    )
    seconds = time.monotonic() - start
    return _requests(log) - before, seconds, _cpu_seconds() - cpu, done.returncode


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _requests(log: Path) -> int:
    """Requests of ours so far: the access log has a line for each, with the program that asked."""
    lines = log.read_text("utf-8", "replace").splitlines()
    completed = [line for line in lines if '"response completed' in line]  # also with an error
    return sum("buildkit" not in line and "containerd" not in line for line in completed)


@contextmanager
def _registry(home: Path) -> Iterator[tuple[str, Path]]:
    """A registry whose access log is written; ends with the block."""
    program = next(filter(None, map(shutil.which, PROGRAMS)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    configuration, log = home / "registry.json", home / "registry.log"
    storage = {"filesystem": {"rootdirectory": str(home / "registry")}, "delete": {"enabled": True}}
    logging = {"level": "info", "formatter": "json", "accesslog": {"disabled": True}}
    configuration.write_text(
        json.dumps({"version": 0.1, "log": logging, "storage": storage, "http": {"addr": host}})
    )
    with log.open("wb") as out:
        process = subprocess.Popen([program, "serve", str(configuration)], stdout=out, stderr=out)
    try:
        time.sleep(1)
        yield host, log
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    sys.exit(main(tuple(sys.argv[1:])))
