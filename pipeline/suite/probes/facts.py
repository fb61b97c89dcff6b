"""Probe: what torch and vLLM say of themselves, whether their extensions load, whether the device works."""

import ctypes
import importlib.machinery
import json
import os
import pathlib
import sys
import traceback


def attempt(action):
    """What the action returns, or the last line of its error."""
    try:
        return action()
    except BaseException:
        return {"error": traceback.format_exc().strip().splitlines()[-1]}


def torch_facts():
    import torch

    found = {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "is_available": torch.cuda.is_available(),
        "archs": [],
        "capability": None,
        "product_equal": None,
    }
    if found["is_available"]:
        found["archs"] = torch.cuda.get_arch_list()
        found["capability"] = list(torch.cuda.get_device_capability(0))
        # Small whole numbers: their product is exact in any order of summation, so equal means equal.
        left = torch.arange(256 * 256).reshape(256, 256).remainder(17).sub(8).float()
        right = torch.arange(256 * 256).reshape(256, 256).remainder(13).sub(6).float()
        found["product_equal"] = bool(torch.equal(left @ right, (left.cuda() @ right.cuda()).cpu()))
    return found


def vllm_facts():
    import vllm
    from vllm.platforms import current_platform

    current_platform.import_kernels()
    return {"version": vllm.__version__, "platform": type(current_platform).__name__}


def mapped():
    """The files that this process has mapped: what was really loaded."""
    return {line.split(None, 5)[-1].strip() for line in open("/proc/self/maps") if "/" in line}


def extensions(package):
    """Load every compiled extension of a package; path to error for those that do not load.

    vLLM's CPU build ships its kernels once for each instruction set and loads one of them; two in one
    process would register the same operators twice. So of the files that differ in ``_AVX…`` only, the
    one that vLLM chose must be loaded.
    """
    import importlib.util

    root = pathlib.Path(importlib.util.find_spec(package).origin).parent
    ours = tuple(importlib.machinery.EXTENSION_SUFFIXES)
    files = [file for file in root.rglob("*.so") if file.name.endswith(ours)]
    variants = {file for file in files if "_AVX" in file.name}
    variants |= {file for file in files if any(v.name.partition("_AVX")[0] == stem(file) for v in variants)}
    failed = {}
    for file in sorted(set(files) - variants):
        try:
            ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_LOCAL)
        except OSError as error:
            failed[str(file.relative_to(root.parent))] = str(error)
    loaded = variants & {pathlib.Path(path) for path in mapped()}
    if variants and not loaded:
        chosen = sorted(variants)[0]
        why = attempt(lambda: str(ctypes.CDLL(str(chosen), mode=os.RTLD_NOW)))
        failed[str(chosen.relative_to(root.parent))] = f"vLLM loaded none of its kernels: {why}"
    return {"count": len(files), "loaded": sorted(file.name for file in loaded), "failed": failed}


def stem(file):
    return file.name.partition(".")[0]


def main():
    found = {"torch": attempt(torch_facts), "vllm": attempt(vllm_facts)}
    found["extensions"] = {name: attempt(lambda name=name: extensions(name)) for name in ("torch", "vllm")}
    found["executable"] = sys.executable
    print("probe-result: " + json.dumps(found), flush=True)
    os._exit(0)


main()
