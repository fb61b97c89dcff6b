"""Lists of packages as other tools write them: what is in them, and which parts of them nobody could read.

Told apart by their content, so that one may come through a pipe: ``pip freeze`` and requirements files, ``pip
list`` in columns or JSON, ``uv.lock``, ``pylock.toml`` (PEP 751), ``poetry.lock``, ``pyproject.toml``,
``Pipfile.lock``, ``conda list``, ``environment.yml``, and what ``collect_env`` of PyTorch and vLLM print.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.formats.environments import conda_lists, locks, pip_lists
from pipeline.formats.environments.listing import Listed, Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Listed", "Listing", "read"]

MAX_LENGTH = 16 << 20
"""Characters of a list. A lock of a thousand packages with all of their hashes has two million."""

MAX_PACKAGES = 20_000


def read(text: str, here: Mapping[str, str]) -> Listing:
    """The list in this text, for a Python with these markers.

    Raises ValueError where it is no list that we know, or one that is longer than any honest one.
    """
    if len(text) > MAX_LENGTH:
        raise ValueError(f"it has {len(text)} characters, more than any list of packages has")
    for looks_like, reader in _KINDS:
        if looks_like(text):
            listing = reader(text, dict(here))
            break
    else:
        listing = pip_lists.of_requirements(text, dict(here))
    if len(listing.packages) > MAX_PACKAGES:
        raise ValueError(f"it names {len(listing.packages)} packages, more than any environment has")
    if not listing.packages:
        raise ValueError("it names no package in any form that is known here")
    return listing


def _guarded(reader: Callable[[str, dict[str, str]], Listing]) -> Callable[[str, dict[str, str]], Listing]:
    """Whatever a malformed document makes a reader raise is a ValueError."""

    def guarded(text: str, here: dict[str, str]) -> Listing:
        try:
            return reader(text, here)
        except (AttributeError, LookupError, RecursionError, TypeError) as error:
            raise ValueError(
                f"it looks like a list of packages and is none: {type(error).__name__}"
            ) from error

    return guarded


def _has(pattern: str) -> Callable[[str], bool]:
    compiled = re.compile(pattern, re.MULTILINE)
    return lambda text: compiled.search(text[:MAX_LENGTH]) is not None


_KINDS = (
    (_has(r"^\[(?:pip3?|conda)\] "), _guarded(pip_lists.of_collect_env)),
    (_has(r"\A\s*(?:\{|\[\s*(?:\{|\]))"), _guarded(locks.of_json)),
    (_has(r"^\[\[packages?\]\]|^\[project\]"), _guarded(locks.of_toml)),
    (
        _has(
            r"^@EXPLICIT|^# (?:packages in environment|Name +Version|This file may be used)|^List of packages"
        ),
        conda_lists.of_list,
    ),
    (_has(r"^Package +Version"), pip_lists.of_columns),
    (_has(r"^dependencies:\s*$"), conda_lists.of_yaml),
)
"""What tells a list apart, and how it is read. Whatever is none of these is a requirements file."""
