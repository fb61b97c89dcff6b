"""Probe: shared objects of one text in C, made by this environment's own compiler.

Arguments: the text, then the soname of each object. Prints them in base64, or why there are none.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

COMPILERS = ("cc", "gcc", "clang")
OPTIONS = ("-shared", "-fPIC", "-nostdlib", "-w", "-x", "c", "-")


def made(compiler: str, text: str, soname: str, folder: Path) -> str:
    """One shared object, in base64. Raises subprocess.CalledProcessError if the compiler fails."""
    file = folder / soname
    command = [compiler, f"-Wl,-soname,{soname}", "-o", str(file), *OPTIONS]
    subprocess.run(command, input=text, text=True, check=True, capture_output=True)
    return base64.b64encode(file.read_bytes()).decode()


def answer(text: str, *sonames: str) -> Any:
    """All of them by soname, or the error."""
    compiler = next(filter(None, map(shutil.which, COMPILERS)), None)
    if compiler is None:
        return {"error": f"there is no C compiler on PATH ({', '.join(COMPILERS)})"}
    try:
        with tempfile.TemporaryDirectory() as folder:
            return {"made": {soname: made(compiler, text, soname, Path(folder)) for soname in sonames}}
    except subprocess.CalledProcessError as error:
        return {"error": f"{compiler} fails: {error.stderr.strip()[-200:]}"}
    except OSError as error:
        return {"error": f"{compiler}: {error}"}


sys.stdout.write(f"\nprobe-result: {json.dumps(answer(*sys.argv[1:]))}\n")
