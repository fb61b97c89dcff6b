"""Probe: the versions of torch and vLLM, whether their extensions load, whether the device works.

Arguments: the packages, ``torch`` alone or ``torch vllm``.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import re
import sys
import traceback
from functools import partial
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TAG = re.compile(r"\.(?:cpython|pypy|graalpy|cp[0-9]|abi[0-9])[^.]*\.so$")
"""The tag in an extension's name for the Pythons that import it; a name without one is for all."""

OPTIONS = ("--max-num-queued-reqs",)
"""Arguments of a server that only some releases know."""


def attempt(action: Callable[[], Any]) -> Any:
    """What the action returns, or the last line of its error."""
    try:
        return action()
    except BaseException:  # noqa: BLE001 - the probe reports any failure
        return {"error": traceback.format_exc().strip().splitlines()[-1]}


def torch_facts() -> Any:
    """Versions of torch and, if CUDA is available, what the device can do."""
    torch: Any = importlib.import_module("torch")
    facts = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "is_available": torch.cuda.is_available(),
    }
    return facts | (device_facts(torch) if facts["is_available"] else {})


def device_facts(torch: Any) -> Any:
    """The build's architectures, the device's capability, and whether a product on it is correct."""
    numbers = torch.arange(256 * 256).reshape(256, 256)
    # Small whole numbers: their product is exact in any order of summation, so equal means equal.
    left, right = numbers.remainder(17).sub(8).float(), numbers.remainder(13).sub(6).float()
    return {
        "archs": torch.cuda.get_arch_list(),
        "capability": torch.cuda.get_device_capability(0),
        "uuid": str(getattr(torch.cuda.get_device_properties(0), "uuid", "")),  # since torch 2.4
        "product_equal": torch.equal(left @ right, (left.cuda() @ right.cuda()).cpu()),
    }


def vllm_facts() -> Any:
    """The version of vLLM, once it has loaded the kernels that it chooses for this machine."""
    vllm: Any = importlib.import_module("vllm")
    platform: Any = importlib.import_module("vllm.platforms").current_platform
    platform.import_kernels()
    arguments = Path(vllm.__file__).parent / "engine" / "arg_utils.py"
    known = [option for option in OPTIONS if f'"{option}"' in arguments.read_text()]
    return {"version": vllm.__version__, "platform": type(platform).__name__, "options": known}


def extensions(package: str) -> Any:
    """Load every compiled extension of a package; path to error for those that do not load.

    A package may bring the same extension once for each Python, and this one imports its own only.
    vLLM's CPU build ships its kernels once for each instruction set and loads one of them; two in one
    process would register the same operators twice. So of the files that differ in ``_AVX…`` only, the
    one that vLLM chose must have been loaded.
    """
    spec = importlib.util.find_spec(package)
    root = Path(spec.origin if spec and spec.origin else os.devnull).resolve().parent
    libraries = set(root.rglob("*.so"))
    others = {file for file in libraries if is_for_others(file)}
    files = libraries - others
    families = {family(file) for file in files if "_AVX" in file.name}
    variants = {file for file in files if family(file) in families}
    failed = {
        str(file.relative_to(root.parent)): error
        for file in sorted(files - variants)
        if (error := loading(file))
    }
    loaded = variants & mapped()
    if variants and not loaded:
        failed["vLLM's own choice of kernels"] = f"none was loaded: {loading(min(variants)) or 'no error'}"
    return {
        "count": len(files),
        "others": sorted(file.name for file in others),
        "loaded": sorted(file.name for file in loaded),
        "failed": failed,
    }


def is_for_others(file: Path) -> bool:
    """Whether its tag is another Python's, build's or platform's, so that this one never imports it."""
    tag = TAG.search(file.name)
    return tag is not None and tag[0] not in EXTENSION_SUFFIXES


def family(file: Path) -> tuple[Path, str]:
    """The folder and the name of an extension, without what names the instruction set."""
    return file.parent, file.name.partition(".")[0].partition("_AVX")[0]


def loading(file: Path) -> str:
    """Load a shared object with every symbol resolved at once; the error, or nothing.

    A truncated one ends the process, so its name is written to stderr before.
    """
    sys.stderr.write(f"loading {file}\n")
    sys.stderr.flush()
    try:
        ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_LOCAL)
    except OSError as error:
        return str(error)
    return ""


def has_gpu() -> bool:
    """Whether there is an NVIDIA GPU: as a device, in WSL, or of a Jetson."""
    devices = Path("/dev")
    return any(devices.glob("nvidia*")) or any((devices / name).exists() for name in ("dxg", "nvmap"))


def mapped() -> set[Path]:
    """The files that this process has mapped, and so has really loaded."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return {Path(line.split(None, 5)[-1].strip()) for line in lines if "/" in line}


def main() -> None:
    """Print all of it, and exit at once, skipping atexit handlers."""
    facts, names = {"torch": torch_facts, "vllm": vllm_facts}, sys.argv[1:]
    results = {name: attempt(facts[name]) for name in names}
    results["extensions"] = {name: attempt(partial(extensions, name)) for name in names}
    results["has_gpu"] = has_gpu()
    sys.stdout.write(f"\nprobe-result: {json.dumps(results)}\n")
    sys.stdout.flush()
    os._exit(0)


main()
