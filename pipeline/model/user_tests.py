"""The names of a user's own tests, among those of the suite's checks.

``user:test_answers::test_it_greets[de]`` is a case of a test in ``test_answers.py``, and
``user:capitals.jsonl`` a file of prompts. No check of ours has a colon in its name, so they never collide.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_PREFIX = "user:"
_BODY = r"[A-Za-z0-9_.,=+/-][A-Za-z0-9_.,:=+/\[\]-]{0,199}"
USER_TEST = rf"{_PREFIX}{_BODY}"
"""The pattern of such a name."""

_OTHERS = re.compile(r"[^A-Za-z0-9_.,:=+/\[\]-]")


def name_of(place: str) -> str:
    """The name of a test by its place, ``test_a.py::test_b[c]``: what no name may have becomes ``_``.

    Raises ValueError where it is too long for one.
    """
    file, colons, rest = place.partition("::")
    body = _OTHERS.sub("_", f"{file.removesuffix('.py')}{colons}{rest}")
    if not re.fullmatch(_BODY, body):
        raise ValueError(f"the name of the test is too long: {len(body)} letters, at most 200 are allowed")
    return f"{_PREFIX}{body}"


def is_users(check: str) -> bool:
    """Whether a check is a test of the user's."""
    return check.startswith(_PREFIX)


def leaving_out(check: str, left_out: Iterable[str]) -> str | None:
    """Which of these names leaves the check out, if one does.

    It is the check's own; of a user's test that of its file, class or function does, too.
    """
    return next((name for name in left_out if _covers(name, check)), None)


def _covers(name: str, check: str) -> bool:
    return check == name or (is_users(name) and check.startswith((f"{name}::", f"{name}[")))
