"""The checks that every image must pass, and the maker of the tiny model that they run on.

The checks are pytest's: ``python -m pytest FILE… --trial trial.json --results results.jsonl``, with the
files that the kind of cell has.
"""

from __future__ import annotations

from pathlib import Path


def files_of(vllm: str | None) -> tuple[Path, ...]:
    """The files with the checks of a cell with this vLLM, or with none, in the order in which they run."""
    names = ("check_environment.py", "check_server.py" if vllm else "check_pytorch.py")
    return tuple(Path(__file__).with_name(name) for name in names)
