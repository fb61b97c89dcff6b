"""Probe: the code that compilers have left in this user's caches, each file by its path and size.

Inductor, Triton, FlashInfer and vLLM keep what they compile in ``~/.cache``, ``~/.triton`` and where their
variables say.
"""

from __future__ import annotations

import getpass
import json
import os
import sys
import tempfile
from pathlib import Path

CODE = (".so", ".cubin", ".ptx", ".o", ".gch")
"""Libraries, kernels, objects, and C++ headers that were compiled once for all kernels of torch.compile."""
VARIABLES = ("TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "VLLM_CACHE_ROOT")


def user() -> str:
    """The user in the name of Inductor's own folder (torch/_inductor/runtime/cache_dir_utils.py)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid_{os.getuid()}"


def folders() -> set[Path]:
    """The folders that hold such code."""
    home = Path.home()
    named = (os.environ.get(name) for name in VARIABLES)
    known = (home / ".cache", home / ".triton", Path(tempfile.gettempdir()) / f"torchinductor_{user()}")
    return {folder.resolve() for folder in (*map(Path, filter(None, named)), *known)}


def main() -> None:
    """Look, and print what was found."""
    files = {file for folder in folders() for file in folder.rglob("*") if file.suffix in CODE}
    found = {str(file): file.stat().st_size for file in files}
    sys.stdout.write(f"\nprobe-result: {json.dumps(found)}\n")


main()
