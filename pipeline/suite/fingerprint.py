"""What was answered, as a fact of the record: by records alone cells are compared with each other."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TOKENS = 24
"""Of each answer, so many are compared: what every kind of cell answers of the tiny model."""
_DIGITS = 16


def fingerprint(answers: Iterable[Sequence[int]]) -> str:
    """For each answer the first hexadecimal digits of the SHA-256 of its first tokens."""
    return " ".join(_digest(answer[:TOKENS])[:_DIGITS] for answer in answers)


def _digest(tokens: Sequence[int]) -> str:
    return hashlib.sha256(" ".join(map(str, tokens)).encode()).hexdigest()
