"""The checks as the page ``docs/proof.md``, made from their own docstrings, and as the README's table.

python -m pipeline.suite.table_of_checks > docs/proof.md
python -m pipeline.suite.table_of_checks --by-subject, to be put into README.md

The first paragraph of a check's docstring says when it passes. One that begins with ``A pass does not``
says what must not be concluded from that.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.model import Cell
from pipeline.suite import rehearsed_of, tests_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_RESERVATION = "A pass does not"
_KINDS = tuple(Cell("2.13.0", cuda, "3.11", vllm) for vllm in ("0.32.0", None) for cuda in ("cu130", "cpu"))
"""One cell of each kind that has checks of its own."""

_HEAD = """# What a pass proves, and what it does not

Every check runs against the image by its digest, the same that gets the tags. This table says which cells
have it, and what was seen where it passed; it is made from the suite. [suite.md](suite.md) says how a trial
goes, with which model and in which numbers.

| check | cells | passes when |
|---|---|---|
"""

_LIMITS = """
## What a pass does not prove

A record speaks for what was run, and for nothing else. It names the following, so that whoever deploys can
compare:

- **Another GPU, or another driver.** Kernels are chosen by architecture, and the driver compiles some of
  them. The record names GPU, driver and class of hardware, and a proof of one class counts for no other.
- **Another number type.** It is `dtype` among the facts of `serve` or `correct`, and float32 in `exact`.
- **Another model.** The tiny model has one architecture, two layers and heads of 64. Larger sizes, other
  heads and mixtures of experts take other kernels. `verify: model:` of the matrix names your own.
- **Another mode.** Attention, compilation and CUDA graphs are those among the facts of `serve`. Several
  GPUs, several hosts, speculative decoding and arguments that no server was given were not tried.
- **Time and load.** A trial takes minutes. What leaks in days, or breaks under a thousand users, is not seen.
- **Quality and safety.** Answers are compared with those of the same weights elsewhere, not with the truth.
- **What did not run.** A check that was not run, for want of hardware or because the image lacks a part, has
  not passed. The record has the reason.
"""

_OF_ONE = """
Of single checks:

"""

_REHEARSAL = """
## Rehearsal

What needs a GPU is [rehearsed](suite.md#rehearsal) before one is taken. That proves nothing of kernels,
memory or answers, and speaks for no tag.

| check | cells | passes when |
|---|---|---|
"""

_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "environment: what is installed, loaded, on a GPU": ("environment",),
    "server as it is shipped, with cold caches": (*("server", "batch", "openai", "speed", "alive", "load"),),
    "server on warm caches, offline, read-only, as any user": ("hardened",),
    "server in float32, with little cache, a queue, a key": ("bounded", "exposure", "tools"),
    "vLLM's modes and compilers": ("modes",),
    "PyTorch without vLLM": ("pytorch",),
}
"""What checks are asked of, by the files that have them."""


@dataclass(frozen=True)
class Described:
    """A check as its docstring tells it: ``passes`` when, and what a pass does not prove, if it says so."""

    name: str
    cells: str
    passes: str
    reservation: str

    @property
    def row(self) -> str:
        """It as a row of the table."""
        return f"| `{self.name}` | {self.cells} | {self.passes} |\n"


def text() -> str:
    """The page as the file holds it."""
    checks, rehearsed = described(tests_of), described(lambda cell: rehearsed_of(cell.vllm), _KINDS[::2])
    return "".join([_HEAD, *_rows(checks), _LIMITS, *_reservations(checks), _REHEARSAL, *_rows(rehearsed)])


def by_subject() -> str:
    """What is asked of an image, in a few rows: a check stands with what it is asked of."""
    head = "| asked of the | checks |\n|---|---|\n"
    asked = [test.partition("::") for cell in _KINDS for test in tests_of(cell)]
    rows = {
        subject: dict.fromkeys(
            f"`{function.partition('_')[2]}`"
            for file, _, function in asked
            if Path(file).stem.removeprefix("check_") in files
        )
        for subject, files in _SUBJECTS.items()
    }
    return head + "".join(f"| {subject} | {' '.join(checks)} |\n" for subject, checks in rows.items())


def described(
    tests: Callable[[Cell], Sequence[str]], kinds: Sequence[Cell] = _KINDS
) -> tuple[Described, ...]:
    """The checks that cells of these kinds have, as pytest names them, in the order in which they run."""
    having: dict[str, list[Cell]] = {}
    for cell in kinds:
        for test in tests(cell):
            having.setdefault(test, []).append(cell)
    return tuple(_described(test, cells, kinds) for test, cells in having.items())


def _described(test: str, having: Sequence[Cell], kinds: Sequence[Cell]) -> Described:
    file, _, function = test.partition("::")
    first, *others = _paragraphs(Path(file), function)
    reservations = (paragraph for paragraph in others if paragraph.startswith(_RESERVATION))
    name = function.partition("_")[2]
    return Described(name, _which(having, kinds), first, next(reservations, ""))


def _paragraphs(file: Path, function: str) -> list[str]:
    """Those of a function's docstring, as Markdown. Raises LookupError where there is none."""
    tree = ast.parse(file.read_text("utf-8"))
    docstrings = {
        node.name: ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef)
    }
    docstring = docstrings.get(function)
    if not docstring:
        raise LookupError(f"{file.name}: {function} has no docstring, and the table of checks needs one")
    return [_markdown(paragraph) for paragraph in docstring.split("\n\n")]


def _markdown(paragraph: str) -> str:
    return " ".join(paragraph.split()).replace("``", "`").replace("|", "\\|")


def _which(having: Sequence[Cell], kinds: Sequence[Cell]) -> str:
    """The cells that have a check, by what they have in common and not all kinds do."""
    words: list[str] = []
    if len({cell.vllm for cell in having}) < len({cell.vllm for cell in kinds}):
        words.append("with vLLM" if having[0].vllm else "without vLLM")
    if len({cell.needs_gpu for cell in having}) < len({cell.needs_gpu for cell in kinds}):
        words.append("on a GPU" if having[0].needs_gpu else "on a CPU")
    return ", ".join(words) or "all"


def _rows(checks: Sequence[Described]) -> Iterator[str]:
    return (check.row for check in checks)


def _reservations(checks: Sequence[Described]) -> Iterator[str]:
    """What single checks say of themselves, under a line of its own."""
    told = [check for check in checks if check.reservation]
    if told:
        yield _OF_ONE
    for check in told:
        yield f"- `{check.name}`: {check.reservation[0].lower()}{check.reservation[1:]}\n"


if __name__ == "__main__":
    sys.stdout.write(by_subject() if sys.argv[1:] == ["--by-subject"] else text())
