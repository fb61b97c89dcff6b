"""Probe: why PyTorch has no CUDA here: what it says, what the driver says, and what lies around them.

It tells facts and judges nothing. The driver is asked through the library that PyTorch has loaded.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import re
import sys
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

CONDAS = ("pytorch-*", "libtorch-*", "cudatoolkit-*", "cuda-cudart-*", "cuda-runtime-*")
"""Conda's packages of PyTorch and of CUDA's runtime, by their files in conda-meta."""

NODES = ("nvidia*", "dxg", "nvmap")
"""A GPU's files in /dev: of a driver for Linux, in WSL, and of a Jetson."""


def torch_facts() -> Any:
    """The build that is imported, and what it says when it is to use CUDA; nothing where it can."""
    try:
        torch = importlib.import_module("torch")
    except BaseException as error:  # noqa: BLE001 - the probe reports any failure
        return {"torch": None, "cuda": None, "said": first_line(error)}
    try:
        torch.cuda.init()
        said = ""
    except BaseException as error:  # noqa: BLE001
        said = first_line(error)
    return {"torch": torch.__version__, "cuda": torch.version.cuda, "said": said}


def first_line(error: BaseException) -> str:
    """What an error says, without the stack that PyTorch adds in further lines."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def driver_facts() -> Any:
    """The driver's library that this process has loaded, and what it answers."""
    facts: Any = {"library": "", "failure": "", "version": None, "init": None, "devices": None}
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return facts | {"failure": str(error)}
    number = ctypes.c_int()
    facts["library"] = loaded()
    try:
        if driver.cuDriverGetVersion(ctypes.byref(number)) == 0:
            facts["version"] = number.value
        facts["init"] = driver.cuInit(0)
        if facts["init"] == 0 and driver.cuDeviceGetCount(ctypes.byref(number)) == 0:
            facts["devices"] = number.value
    except AttributeError as error:  # a library of this name that is no driver
        facts["failure"] = str(error)
    return facts


def loaded() -> str:
    """The file of libcuda.so that this process has mapped."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    files = [line.split(None, 5)[-1] for line in lines if "/" in line]
    return next((file for file in files if re.match(r"libcuda\.so\b", Path(file).name)), "")


def origin(library: str) -> Any:
    """Whether the library is part of this environment: on the file system of ``/``, or in its prefix.

    What an engine brings from the host is mounted, so it lies on another file system.
    """
    on_root = in_prefix = False
    if library:
        on_root = Path(library).stat().st_dev == Path("/").stat().st_dev
        in_prefix = Path(library).is_relative_to(sys.prefix)
    return {"is_on_root": on_root, "is_in_prefix": in_prefix}


def host_facts() -> Any:
    """The GPUs' files in /dev, the version of the kernel's module, and what hides a GPU."""
    nodes = sorted({node.name for pattern in NODES for node in Path("/dev").glob(pattern)})
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        text = ""
    module = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return {
        "nodes": nodes[:64],
        "module": module[1] if module else "",
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "capabilities": os.environ.get("NVIDIA_DRIVER_CAPABILITIES", ""),
    }


def installations() -> Any:
    """Every torch that Python finds, with who installed it, and conda's packages of it."""
    torches = [
        f"torch {one.version} in {one.locate_file('')} by {(one.read_text('INSTALLER') or 'nobody').strip()}"
        for one in distributions(name="torch")
    ]
    conda = Path(sys.prefix) / "conda-meta"
    files = sorted({file.stem for pattern in CONDAS for file in conda.glob(f"{pattern}.json")})
    return {"torches": sorted(set(torches))[:16], "conda": files[:16]}


def main() -> None:
    """Print all of it, and exit at once, skipping atexit handlers."""
    facts = torch_facts() | driver_facts() | host_facts() | installations()
    facts |= origin(facts["library"])
    sys.stdout.write(f"\nprobe-result: {json.dumps(facts)}\n")
    sys.stdout.flush()
    os._exit(0)


main()
