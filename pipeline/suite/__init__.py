"""The checks that every image must pass, and the maker of the tiny model that they run on.

The checks are pytest's: ``python -m pytest FILE::NAME… --trial trial.json --results results.jsonl``, with the
functions that the kind of cell has.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.model import checks_of, rehearsed_checks_of

if TYPE_CHECKING:
    from pipeline.model import Cell


OF_ENVIRONMENT = frozenset({"versions", "cuda", "imports"})
"""The checks of ``check_environment.py``, which need nothing that was started."""


def tests_of(cell: Cell) -> tuple[str, ...]:
    """The checks of such a cell, as pytest names them, in the order in which they run."""
    of_answers = "check_server.py" if cell.vllm else "check_pytorch.py"
    files = {
        name: "check_environment.py" if name in OF_ENVIRONMENT else of_answers for name in checks_of(cell)
    }
    return tuple(f"{Path(__file__).with_name(file)}::check_{name}" for name, file in files.items())


def rehearsed_of(vllm: str | None) -> tuple[str, ...]:
    """The checks of a rehearsal of such a cell, as pytest names them, in the order in which they run."""
    file = Path(__file__).with_name("check_rehearsal.py")
    return tuple(f"{file}::rehearse_{name}" for name in rehearsed_checks_of(vllm))
