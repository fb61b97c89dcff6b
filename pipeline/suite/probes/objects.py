"""Probe: whether every extension of the environment loads, whatever package it is of, beside torch and vLLM.

Arguments: the packages to import before, ``torch`` alone or ``torch vllm``. An extension is what this Python
imports: of others the interpreter's tag, or the function ``PyInit_`` that Python would call, is not theirs.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import mmap
import os
import re
import sys
import traceback
from contextlib import suppress
from importlib import metadata
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

TAG = re.compile(r"\.(?:cpython|pypy|graalpy|cp[0-9]|abi[0-9])[^.]*\.so$")
SHARED = re.compile(r"\.so(?:\.[0-9]+)*$")


def importable(file: Path) -> bool:
    """Whether this Python would import it."""
    if tag := TAG.search(file.name):
        return tag[0] in EXTENSION_SUFFIXES
    function = f"PyInit_{file.name.partition('.')[0]}\0".encode()
    with (
        suppress(OSError, ValueError),  # ValueError: an empty file
        file.open("rb") as opened,
        mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ) as body,
    ):
        return body.find(function) >= 0
    return False


def loading(file: Path) -> str:
    """Load it with every symbol resolved at once; the error, or nothing.

    What ends the process is named on stderr before.
    """
    sys.stderr.write(f"loading {file}\n")
    sys.stderr.flush()
    try:
        ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_LOCAL)
    except OSError as error:
        return str(error)
    return ""


def show_symbols(folder: str) -> None:
    """Have all that is loaded later see the symbols of the libraries that were loaded from such a folder.

    An extension may take PyTorch's symbols from the process that has imported it, without naming a library:
    cuda.core's bridge to its tensors does.
    """
    lines = Path("/proc/self/maps").read_text().splitlines()
    for file in {line.split(None, 5)[-1].strip() for line in lines if folder in line}:
        if SHARED.search(file):
            ctypes.CDLL(file, mode=os.RTLD_NOLOAD | os.RTLD_NOW | os.RTLD_GLOBAL)


def lacking() -> list[str]:
    """The shared objects that packages have brought, by their own lists, and that are gone."""
    listed = (
        Path(str(package.locate_file(file)))
        for package in metadata.distributions()
        for file in package.files or ()
        if SHARED.search(file.name)
    )
    return sorted(str(file) for file in listed if not file.exists())


def importing(package: str) -> str:
    """Import a package; the last line of its error, or nothing."""
    try:
        importlib.import_module(package)
    except BaseException:  # noqa: BLE001 - the probe reports any failure
        return traceback.format_exc().strip().splitlines()[-1]
    return ""


def main(*packages: str) -> None:
    """Print what does not load and what is gone, and exit at once, skipping atexit handlers."""
    failed = {package: error for package in packages if (error := importing(package))}
    show_symbols("/torch/lib/")
    roots = {Path(path).resolve() for path in sys.path if path.endswith(("site-packages", "dist-packages"))}
    files = sorted(file for root in roots if root.is_dir() for file in root.rglob("*.so") if importable(file))
    failed |= {str(file): error for file in files if (error := loading(file))}
    results = {"count": len(files), "failed": failed, "lacking": lacking()}
    sys.stdout.write(f"\nprobe-result: {json.dumps(results)}\n")
    sys.stdout.flush()
    os._exit(0)


main(*sys.argv[1:])
