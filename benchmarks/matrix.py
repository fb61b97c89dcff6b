"""How long a matrix takes: imports, the shipped one, the largest ones, and the shortest way to a refusal.

    nox -s bench -- matrix

Prints one Markdown row per step: milliseconds of CPU, and of wall clock, each the median. Each run is a
process of its own that loads its matrix once, as a command does, and judges every cell of it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline import compat

ROOT = Path(__file__).resolve().parents[1]
REPEATS = 9

_MEASURED = """
import sys, time
def clocks(): return time.process_time(), time.perf_counter()
start = clocks()
from pathlib import Path
from pipeline import matrix
from pipeline.model.errors import UsageError
imported = clocks()
try:
    found = matrix.load(Path(sys.argv[1]))
    counts = len(found.specs), len(found.pruned)
except UsageError:
    counts = 0, 0
done = clocks()
print(*(b - a for a, b in zip((*start, *imported), (*imported, *done))), *counts)
"""

_HEAD = """schema: 1
publish: {repository: 127.0.0.1:5000/bench}
base: {image: "127.0.0.1:5000/base@sha256:%s", glibc: "2.36"}
gpu: {archs: [sm_80, sm_90]}
python: ["3.10", "3.11", "3.12", "3.13", "3.14"]
""" % ("0" * 64)


def main() -> int:
    """Measure every step."""
    print("| step | cells | left out | CPU ms, median | wall ms, median | runs |")
    print("|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for number, (name, text) in enumerate(_matrices().items()):
            path = Path(folder) / f"{number}.yaml"
            path.write_text(text, encoding="utf-8")
            runs = [_run(path) for _ in range(REPEATS)]
            if number == 0:
                _tell("`import pipeline.matrix`", [run[:2] for run in runs], ("", ""))
            _tell(name, [run[2:4] for run in runs], (f"{runs[0][4]:.0f}", f"{runs[0][5]:.0f}"))
    return 0


def _matrices() -> dict[str, str]:
    """What is measured, by its name in the table."""
    facts = compat.shipped()
    torch = [row.version for row in facts.releases("torch", "x86_64")][-20:]
    vllm = [row.version for row in facts.releases("vllm", "x86_64")][-25:]
    cuda = ["cpu", "cu126", "cu128", "cu130"]
    return {
        "the shipped matrix": (ROOT / "matrix.yaml").read_text("utf-8"),
        "10,000 combinations of releases": _product(torch=torch, cuda=cuda, vllm=vllm),
        "10,000 combinations that nobody knows": _product(
            torch=[f"9.{n}.0" for n in range(20)], cuda=cuda, vllm=[f"9.{n}.0" for n in range(25)]
        ),
        "800 combinations with `vllm: auto`": _product(torch=torch, cuda=cuda, vllm=["auto", "none"]),
        "a refusal: aliases that would explode": "a0: &a0 [x, x]\n"
        + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 60)),
        "a refusal: 5,000 levels": "a: " + "{a: " * 5000,
        "a refusal: as many values as fit": "a: [" + "a," * 130_000 + "]",
    }


def _product(**axes: list[str]) -> str:
    return _HEAD + "".join(f"{axis}: {values}\n".replace("'", '"') for axis, values in axes.items())


def _run(path: Path) -> list[float]:
    """CPU and wall seconds of the imports, then of loading; cells that are left, and left out."""
    command = [sys.executable, "-c", _MEASURED, str(path)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [float(word) for word in done.stdout.split()]


def _tell(name: str, runs: list[list[float]], counts: tuple[str, str]) -> None:
    cpu, wall = (statistics.median(run[clock] for run in runs) * 1000 for clock in (0, 1))
    print(f"| {name} | {counts[0]} | {counts[1]} | {cpu:.0f} | {wall:.0f} | {len(runs)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
