"""The table of saboteurs as the page ``docs/saboteurs.md``.

python -m tests.saboteurs.page > docs/saboteurs.md
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from tests.saboteurs.files import FILES
from tests.saboteurs.proofs import FORGERIES
from tests.saboteurs.servers import SERVERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.saboteurs.proofs import Forgery
    from tests.saboteurs.saboteur import Saboteur

_HEAD = """# Saboteurs

Images that are broken on purpose, each in one way, by a layer on top of a good one. Every one has to be
refused, by the check that is there for it and in words that name what is wrong; a healthy image has to pass,
every time.

    nox -s saboteurs
    nox -s saboteurs -- leaks-blocks drops-streams
    nox -s saboteurs -- healthy --times 10

It prints a row for each as it ends: who caught it, after how many seconds, in which words. Exit code 1 if one
was caught by nobody or by another check, or if the healthy image was refused. It needs what `verify` needs.
"""
_COLUMNS = "\n| saboteur | what is broken | refused by |\n|---|---|---|\n"
_FILES = """
## By its files

A [certificate](certificate.md) finds these, and none of them is run.
"""
_SERVERS = """
## By its server

Their files are in order. The [suite](proof.md) runs them and finds out.
"""
_PROOFS = """
## By its proof

The image is a good one, and what is refused is the claim that it was proven: by `verify`, which signs
nothing, or by `publish`, which gives no tag.
"""


def page() -> str:
    """The whole page."""
    parts = ((_FILES, FILES), (_SERVERS, SERVERS), (_PROOFS, FORGERIES))
    return _HEAD + "".join(f"{text}{_COLUMNS}{''.join(_rows(rows))}" for text, rows in parts)


def _rows(rows: Iterable[Saboteur | Forgery]) -> Iterable[str]:
    return (f"| `{one.name}` | {one.says} | `{one.caught_by}` |\n" for one in rows)


if __name__ == "__main__":
    sys.stdout.write(page())
