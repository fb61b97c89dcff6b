"""Write the digest of what the code does beside each version in versions.json: ``python -m tests.conduct``.

Whoever changes what a check proves, or what a family of rules finds, first raises its version there.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from pipeline.model import versions
from tests.conduct.digests import Conduct


def main() -> None:
    """Record every digest; what is new gets version 1, and what is gone goes. Say which moved."""
    before = json.loads(versions.FILE.read_text("utf-8")) if versions.FILE.exists() else {}
    conduct = Conduct(versions.FILE.parents[1])
    now = {
        kind: {name: _row(before.get(kind, {}).get(name), digest) for name, digest in sorted(found.items())}
        for kind, found in (
            ("checks", conduct.checks()),
            ("rehearsal", conduct.rehearsal()),
            ("rules", conduct.rules()),
        )
    }
    versions.FILE.write_text(json.dumps(now, indent=2) + "\n", "utf-8")
    for kind, rows in now.items():
        for name, row in rows.items():
            if before.get(kind, {}).get(name) != row:
                sys.stdout.write(f"{kind}: {name}: version {row['version']}, {row['digest'][:12]}\n")


def _row(before: dict[str, Any] | None, digest: str) -> dict[str, Any]:
    return {"version": before["version"] if before else versions.FIRST, "digest": digest}


if __name__ == "__main__":
    main()
