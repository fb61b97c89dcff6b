"""The checks that every image must pass, and the maker of the tiny model that they run on.

The checks are pytest's: ``python -m pytest FILE::NAME… --trial trial.json --results results.jsonl``, with the
functions that the kind of cell has.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.model import checks_of, rehearsed_checks_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.model import Cell


_CHECKS = Path(__file__).with_name("checks")

_STEP = Path(__file__).parent / "user_tests" / "step.py"

USER_TESTS = "run_user_tests"
"""What runs a user's own tests: no check, but they leave lines as the checks do."""

_ENDS_PRODUCTION = "drain"
"""The check that ends the server of production: a user's tests come before it, and after all others of it."""

OF_ENVIRONMENT = ("versions", "cuda", "imports")
"""The checks of ``check_environment.py``, which need nothing that was started."""

_FILES: Mapping[str, tuple[str, ...]] = {
    "check_environment.py": OF_ENVIRONMENT,
    "check_openai.py": ("openai",),
    "check_speed.py": ("speed",),
    "check_alive.py": ("alive",),
    "check_batch.py": ("batch",),
    "check_load.py": ("memory", "drain"),
    "check_hardened.py": ("cache", "offline", "any_user", "read_only", "shutdown"),
    "check_bounded.py": ("exact", "preemption", "overload"),
    "check_exposure.py": ("exposure",),
    "check_tools.py": ("tools",),
    "check_modes.py": ("compilers", "quantized", "lora", "embed", "multimodal", "long_context"),
}
"""The checks of each file, but for those of what answers: vLLM's server of production, or PyTorch alone."""


def tests_of(cell: Cell) -> tuple[str, ...]:
    """The checks of such a cell, as pytest names them, in the order in which they run."""
    return tuple(_test_of(name, cell) for name in checks_of(cell))


def steps_of(cell: Cell) -> tuple[str, ...]:
    """The same, with the step among them that runs a user's own tests."""
    return tuple(_test_of(name, cell) for name in with_users(checks_of(cell), (USER_TESTS,)))


def with_users(checks: Sequence[str], users: Sequence[str]) -> tuple[str, ...]:
    """The names of checks, with those of a user's tests where these run: at the end if nothing is served."""
    at = checks.index(_ENDS_PRODUCTION) if _ENDS_PRODUCTION in checks else len(checks)
    return (*checks[:at], *users, *checks[at:])


def _test_of(name: str, cell: Cell) -> str:
    return f"{_STEP}::{name}" if name == USER_TESTS else f"{_CHECKS / _file_of(name, cell)}::check_{name}"


def _file_of(name: str, cell: Cell) -> str:
    of_all = _FILES if cell.vllm else {"check_environment.py": OF_ENVIRONMENT}
    of_answers = "check_server.py" if cell.vllm else "check_pytorch.py"
    return next((file for file, names in of_all.items() if name in names), of_answers)


def rehearsed_of(vllm: str | None) -> tuple[str, ...]:
    """The checks of a rehearsal of such a cell, as pytest names them, in the order in which they run."""
    return tuple(f"{_CHECKS / 'check_rehearsal.py'}::rehearse_{name}" for name in rehearsed_checks_of(vllm))
