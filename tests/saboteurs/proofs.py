"""Saboteurs of a proof: what a changed copy of the project, or another matrix, would call one.

The image is a good one. What must be refused is the claim that it was proven.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.saboteurs.saboteur import Caught

ROOT = Path(__file__).parents[2]
_WRITES = 'results.write(check.model_dump_json() + "\\n")'

LESS = "less.yaml"
"""A matrix beside the shipped one that leaves out every check but the first."""


@dataclass(frozen=True)
class Forgery:
    """One way to claim a proof that was not made.

    ``changes`` is done to a copy of the project before that proves a good image. ``caught_by`` is the command
    that must refuse it, and ``words`` a pattern of what it says.
    """

    name: str
    says: str
    caught_by: str
    words: str
    changes: Callable[[Path], None] = lambda _: None

    def is_it(self, caught: Caught) -> bool:
        """Whether it was refused by whom it should be, with the right words."""
        return caught.fits(self.caught_by, self.words)


def _without_a_file(copy: Path) -> None:
    (copy / "pipeline/suite/checks/check_batch.py").unlink()


def _without_results(copy: Path) -> None:
    path = copy / "pipeline/suite/conftest.py"
    text = path.read_text("utf-8")
    assert text.count(_WRITES) == 1
    path.write_text(text.replace(_WRITES, 'results.write("")'), "utf-8")


FORGERIES = (
    Forgery("a-file-removed", "a file of the suite is gone", "verify", r"the suite broke", _without_a_file),
    Forgery("empty-results", "the suite has written no result", "verify", r"did not run", _without_results),
    Forgery("checks-skipped", "required checks were left out", "publish", r"correct"),
)


def copy_of_the_project(folder: Path, checks: Sequence[str]) -> Path:
    """A copy of all that a proof needs, and of the matrix one that leaves out all of these but the first."""
    for name in ("pipeline", "images", "locks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    rule = f'leave_out: [{{checks: [{", ".join(checks[1:])}], cells: "*", reason: a saboteur}}]'
    (folder / LESS).write_text(f"{(ROOT / 'matrix.yaml').read_text('utf-8')}{rule}\n")
    return folder


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``python -m pipeline WORDS`` of the project in this folder."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "pipeline", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
