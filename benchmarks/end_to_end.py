"""How long the path takes: the first CPU cell cold, the second after it, and again with nothing to do.

    nox -s bench -- end_to_end

It works in a registry, a cache and folders of its own, which are removed at the end, and builds
without BuildKit's cache. Prints one Markdown row per step: seconds, and the peak memory in MB, so far,
of the largest process on this side of the engine (the pipeline, buildx, the suite, mmdebstrap).
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipeline.adapters import local_registry

ROOT = Path(__file__).resolve().parents[1]
FIRST = "vllm0.32.0-torch2.13.0-cpu-py3.11"
SECOND = "vllm0.31.0-torch2.13.0-cpu-py3.11"
REPEATS = 5


def main() -> int:
    """Measure every step; returns the first exit code that is not 0."""
    home = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        return _measure(home)
    finally:
        for data in (home / "data" / "tagproof" / "registry").glob("*"):
            local_registry.stop(data)
        shutil.rmtree(home, ignore_errors=True)


def _measure(home: Path) -> int:
    for name in ("matrix.yaml", "locks"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, home / name)
    repository = f"127.0.0.1:{_free_port()}/bench/vllm"
    steps = [
        ("first cell, cold: verify", ["verify", FIRST, "--fresh"], 1),
        ("first cell: publish", ["publish", FIRST], 1),
        ("second cell: verify", ["verify", SECOND], 1),
        ("second cell: publish", ["publish", SECOND], 1),
        ("nothing to do: verify, both cells", ["verify", FIRST, SECOND], REPEATS),
        ("nothing to do: publish, both cells", ["publish", FIRST, SECOND], REPEATS),
        ("plan, all cells", ["plan"], REPEATS),
    ]
    print("| step | seconds, median | runs | peak MB |\n|---|---:|---:|---:|")
    for name, words, runs in steps:
        seconds = []
        for _ in range(runs):
            taken, code = _run(home, [*words, "--repository", repository])
            if code:
                return code
            seconds.append(taken)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1000
        print(f"| {name} | {statistics.median(seconds):.1f} | {runs} | {peak} |", flush=True)
    return 0


def _run(home: Path, words: list[str]) -> tuple[float, int]:
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")}
    start = time.monotonic()
    command = [sys.executable, "-m", "pipeline", *words]
    done = subprocess.run(command, cwd=home, env={**os.environ, **folders}, stdout=sys.stderr, check=False)
    return time.monotonic() - start, done.returncode


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
