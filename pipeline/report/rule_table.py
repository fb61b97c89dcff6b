"""The rules of a certificate as the page ``docs/certificate-rules.md``, made from the table in ``model``.

python -m pipeline.report.rule_table > docs/certificate-rules.md
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pipeline.model import RULE_FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = """# The rules of a certificate

An error is what keeps an image from running, and refuses it; a warning or a note does not.
[certificate.md](certificate.md) says how a certificate is made and read.

| rule | asks | an error where | a warning or a note where |
|---|---|---|---|
"""


def text() -> str:
    """The page as the file holds it."""
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for name, family in RULE_FAMILIES.items():
        yield f"| `{name}` | {family.asks} | {family.error or '-'} | {family.warning or '-'} |\n"


if __name__ == "__main__":
    sys.stdout.write(text())
