"""How long it takes to read every ELF object of a folder, beside a loop of cuobjdump and ldd over the same.

    nox -s bench -- elf FOLDER [CUOBJDUMP]

Prints one Markdown row per way: seconds, and the peak memory in MB, so far, of this process or of the largest
program that was called. Without a cuobjdump, given or on PATH, only ours and ldd are measured. What the
kernel remembers of the files favours those who come later, so ours comes first, and again with all forgotten.
"""

from __future__ import annotations

import mmap
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.formats.elf import reader

if TYPE_CHECKING:
    from collections.abc import Sequence


def main() -> int:
    """Measure every way."""
    folder = Path(sys.argv[1])
    cuobjdump = sys.argv[2] if len(sys.argv) > 2 else shutil.which("cuobjdump")  # noqa: PLR2004
    paths = _objects(folder)
    size = sum(path.stat().st_size for path in paths)
    print(f"{len(paths)} objects, {size / 1e9:.2f} GB, {os.cpu_count()} processors\n")
    print("| way | seconds | peak MB |\n|---|---:|---:|")
    ours = _measure("ours", paths)
    _forget(paths)
    _measure("ours, files not in memory", paths)
    theirs = _measure("ldd", paths, ("ldd",))
    if cuobjdump:
        theirs += _measure("cuobjdump --list-elf", paths, (cuobjdump, "--list-elf"))
        theirs += _measure("cuobjdump --list-ptx", paths, (cuobjdump, "--list-ptx"))
    print(f"\nours is {theirs / ours:.0f} times as fast as the others together")
    return 0


def _objects(folder: Path) -> list[Path]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink())
    return [path for path in files if _is_elf(path)]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def _measure(name: str, paths: Sequence[Path], command: Sequence[str] = ()) -> float:
    start = time.monotonic()
    kept = (
        [subprocess.run([*command, path], capture_output=True, check=False) for path in paths]
        if command
        else []
    )
    seen = [] if command else [_read(path) for path in paths]
    seconds = time.monotonic() - start
    who = resource.RUSAGE_CHILDREN if command else resource.RUSAGE_SELF
    peak = resource.getrusage(who).ru_maxrss // 1000
    print(f"| {name} | {seconds:.1f} | {peak} |", flush=True)
    assert len(kept) + len(seen) == len(paths)  # noqa: S101 - all of it is kept until it is measured
    return seconds


def _read(path: Path) -> object:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        return reader.read(str(path), memoryview(mapping))


def _forget(paths: Sequence[Path]) -> None:
    """Ask the kernel to drop what it keeps of these files."""
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    sys.exit(main())
