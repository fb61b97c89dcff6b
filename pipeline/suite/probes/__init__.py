"""Code that runs inside the environment under test: source files that its Python gets as text.

They import nothing of ours and work on any Python that PyTorch supports. Each prints one line of JSON
after ``MARK``; imports may print anything around it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MARK = "probe-result: "


def source(name: str) -> str:
    """The source of a probe: the name of its file, such as ``facts``."""
    return Path(__file__).with_name(f"{name}.py").read_text()


def result(stdout: str) -> Any:
    """What a probe printed; None if it printed nothing, or no JSON."""
    lines = [line for line in stdout.splitlines() if line.startswith(MARK)]
    try:
        return json.loads(lines[-1].removeprefix(MARK)) if lines else None
    except (ValueError, RecursionError):
        return None
