"""The failures that are recognised as the page ``docs/signatures.md``, made from the tables of ``compat``.

python -m pipeline.report.signature_table > docs/signatures.md
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from pipeline.compat.diagnosis.signatures import SIGNATURES

if TYPE_CHECKING:
    from pipeline.compat.diagnosis.signatures.signature import Signature

_HEAD = """# Failures that `diagnose` recognises

At fault is the `image`, the `host`, the `model`'s files, or how it was started or asked (`usage`). An id
never changes its meaning. [diagnose.md](diagnose.md) says how a log is read.

| id | at fault | cause | source |
|---|---|---|---|
"""


def text() -> str:
    """The page as the file holds it."""
    return _HEAD + "".join(map(_row, SIGNATURES))


def _row(signature: Signature) -> str:
    sources = " ".join(f"[{number}]({source})" for number, source in enumerate(signature.sources, start=1))
    return f"| `{signature.id}` | {signature.blame} | {_plain(signature.cause)} | {sources} |\n"


def _plain(template: str) -> str:
    """A cause without its values: clauses that depend on one are left out, others have a mark for it."""
    return re.sub(r"\{\w+\}", "…", re.sub(r"\[[^][]*\]", "", template)).replace("|", "\\|")


if __name__ == "__main__":
    sys.stdout.write(text())
