"""The canonical form of a value, and its key: the same on every machine."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def canonical(value: Any) -> bytes:
    """Canonical bytes of a JSON value: sorted keys, no blanks, UTF-8."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def key_of(value: Any) -> str:
    """A key derived from inputs: the SHA-256, in hex, of their canonical JSON."""
    return hashlib.sha256(canonical(value)).hexdigest()
