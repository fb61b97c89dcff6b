"""The files that a user's tests are made of, and one digest for all of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.model.errors import UsageError
from pipeline.suite.model import digest_of_hashes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_BYTES = 64 << 20
"""Of all files together: they are read for every plan."""


def digest_of(tests: Path | None, prompts: Iterable[Path]) -> str | None:
    """``sha256:…`` over names and bytes of the tests and prompts; None where there are none.

    What Python and editors leave counts for nothing: ``__pycache__`` and hidden files. Raises UsageError
    where a file cannot be read, a folder is a link, or all are too large.
    """
    named = {f"tests/{path.relative_to(tests).as_posix()}": path for path in _below(tests)} if tests else {}
    named |= {f"prompts/{path.name}": path for path in prompts}
    if not named:
        return None
    try:
        if (total := sum(path.stat().st_size for path in named.values())) > MAX_BYTES:
            raise UsageError(
                f"tests and prompts of yours have {total} bytes, at most {MAX_BYTES} are allowed",
                hint="keep large files elsewhere, and have the tests read them from there",
            )
        return digest_of_hashes({name: files.sha256_of(path) for name, path in named.items()})
    except OSError as error:
        what = f"{error.filename}: {error.strerror}"
        raise UsageError(what, hint="have it readable, or remove it") from error


def _below(folder: Path) -> Iterator[Path]:
    """Every file below a folder that is one of the tests', links to files followed."""
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_left_behind(name)]
        for link in (Path(root, name) for name in folders if Path(root, name).is_symlink()):
            hint = "have the files themselves there: what a link leads to changes unseen"
            raise UsageError(f"{link}: a folder of tests is a link", hint=hint)
        yield from (Path(root, name) for name in names if not _is_left_behind(name))


def _is_left_behind(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"
