"""The revision of a checkout of git: what a build of this folder was a build of."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from pipeline.adapters import environ
from pipeline.model import Revision

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 30.0
"""For git to compare a checkout with its commit."""

_QUIET = ("-c", "core.fsmonitor=false", "--no-optional-locks")
"""It runs no program that the checkout's own configuration names, and writes nothing there."""

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def revision(folder: Path) -> Revision | None:
    """The commit that is checked out where this folder lies, and whether files differ from it.

    None where git is not here or does not take the folder for a checkout, which it does not do either where
    the folder belongs to another user (``safe.directory`` in git-config(1)): a revision that nobody vouches
    for is worse than none.
    """
    commit = (_said(folder, "rev-parse", "--verify", "HEAD") or "").strip()
    changes = _said(folder, "status", "--porcelain") if _COMMIT.fullmatch(commit) else None
    return None if changes is None else Revision(commit, is_dirty=bool(changes.strip()))


def _said(folder: Path, *words: str) -> str | None:
    """What git says; None where it refuses, or takes too long."""
    try:
        done = subprocess.run(
            ["git", *_QUIET, "-C", str(folder), *words],
            env=environ.of(environ.HOME),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
