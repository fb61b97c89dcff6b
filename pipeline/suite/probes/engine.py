"""Probe: sends the signal of a number to vLLM's engine, and names the processes that got it.

It runs beside the server. On a machine with others only those are meant that were started in the same folder.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

NAME = b"VLLM::EngineCore"
"""What the process of an engine calls itself, with more at its end (vllm/v1/engine/core.py)."""


def is_engine(process: Path) -> bool:
    """Whether a process is an engine of the server beside us."""
    try:
        is_named = (process / "cmdline").read_bytes().startswith(NAME)
        return is_named and (process / "cwd").readlink() == Path.cwd()
    except OSError:  # it has ended, or is another user's
        return False


engines = [
    int(process.name) for process in Path("/proc").iterdir() if process.name.isdigit() and is_engine(process)
]
for engine in engines:
    os.kill(engine, int(sys.argv[1]))
sys.stdout.write(f"\nprobe-result: {json.dumps(engines)}\n")
