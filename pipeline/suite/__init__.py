"""The checks that every image must pass, and the maker of the tiny model that they run on.

The checks are pytest's: ``python -m pytest FILE… --trial trial.json --results results.jsonl``, with the
files that the kind of cell has. Of a rehearsal they are single functions of one file.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.model import rehearsed_checks_of


def files_of(vllm: str | None) -> tuple[Path, ...]:
    """The files with the checks of a cell with this vLLM, or with none, in the order in which they run."""
    names = ("check_environment.py", "check_server.py" if vllm else "check_pytorch.py")
    return tuple(Path(__file__).with_name(name) for name in names)


def rehearsed_of(vllm: str | None) -> tuple[str, ...]:
    """The checks of a rehearsal of such a cell, as pytest names them, in the order in which they run."""
    file = Path(__file__).with_name("check_rehearsal.py")
    return tuple(f"{file}::rehearse_{name}" for name in rehearsed_checks_of(vllm))
