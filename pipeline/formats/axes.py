"""How people write a CUDA, a Python, a platform and a GPU's architecture, and what they mean by it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.model.platforms import AMD64, ARM64

if TYPE_CHECKING:
    from collections.abc import Iterator

Spellings = tuple[tuple[str, str], ...]
"""Patterns, in whatever case, each with what it stands for."""

CUDA: Spellings = ((r"(?:cu|cuda)?[ -]?([0-9]{2})\.?([0-9])(?:\.[0-9]+)?", r"cu\1\2"), (r"cpu", "cpu"))
PYTHON: Spellings = ((r"(?:py|python|cp)?(3)\.?([0-9]{1,2})(?:\.[0-9]+)?", r"\1.\2"),)
PLATFORM: Spellings = (
    (r"(?:linux/)?(?:x86[_-]64|amd64|x64)", AMD64),
    (r"(?:linux/)?(?:aarch64|arm64).*", ARM64),
)
ARCH: Spellings = (
    (r"(?:sm|compute)?[_ -]?([0-9]{1,2})\.([0-9])(?:\+ptx)?", r"sm_\1\2"),
    (r"(?:sm|compute)?[_ -]?([0-9]{2,3})[af]?", r"sm_\1"),
)


def meanings(text: str, spellings: Spellings) -> Iterator[str]:
    """What the text may mean, by each of these spellings that it is one of."""
    for pattern, meaning in spellings:
        if match := re.fullmatch(pattern, text.strip(), re.IGNORECASE):
            yield match.expand(meaning)
