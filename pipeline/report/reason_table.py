"""The codes of reasons as the page ``docs/reasons.md``, made from the enum in ``model``.

python -m pipeline.report.reason_table > docs/reasons.md
"""

from __future__ import annotations

import sys

from pipeline.model import ReasonCode

_HEAD = """# The codes of reasons

Why a cell is not published, a tag not moved or an image not deployed is a list of reasons. Each has a `code`
for programs, a `text` that names the values, and a `hint` with the remedy; `--json` prints all three. A code
never changes its meaning.

| code | given when |
|---|---|
"""


def text() -> str:
    """The page as the file holds it."""
    return _HEAD + "".join(f"| `{code}` | {code.meaning} |\n" for code in ReasonCode)


if __name__ == "__main__":
    sys.stdout.write(text())
