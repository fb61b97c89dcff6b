"""The machine that we run on, as a record tells of it."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import gpu
from pipeline.model import Host

if TYPE_CHECKING:
    from collections.abc import Mapping


def here(engine_version: str = "") -> Host:
    """Describe this machine.

    Its hardware class, such as ``cpu-x86_64`` or ``sm_90-x86_64``, enters the proof key.
    """
    gpus = gpu.gpus()
    kind = min(gpus, key=lambda device: device.capability).architecture if gpus else "cpu"
    return Host(
        hardware=f"{kind}-{platform.machine().lower()}",
        system=system(),
        cpu=_cpu(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        engine=engine_version,
        gpus=tuple(
            f"{device.name} ({device.architecture}, {device.memory_bytes >> 20} MiB)" for device in gpus
        ),
        driver=gpu.driver(),
    )


def executes(machine: str) -> bool:
    """Whether programs for this processor run here: by themselves, or emulated by the kernel's leave."""
    return machine == os.uname().machine or Path(f"/proc/sys/fs/binfmt_misc/qemu-{machine}").exists()


def disk_free(path: Path) -> int:
    """Bytes free for us where ``path`` is, or where its nearest folder that exists is."""
    return shutil.disk_usage(_existing(path)).free


def room(places: Mapping[str, Path]) -> Mapping[tuple[str, ...], int]:
    """Bytes free on each disk, by the names of the places that lie on it.

    A place that is not there yet lies where its nearest folder that exists is.
    """
    disks: dict[int, list[str]] = {}
    for name, place in places.items():
        disks.setdefault(_existing(place).stat().st_dev, []).append(name)
    return {tuple(names): disk_free(places[names[0]]) for names in disks.values()}


def _existing(path: Path) -> Path:
    return next(folder for folder in [path.absolute(), *path.absolute().parents] if folder.exists())


def system() -> str:
    """The distribution and the kernel."""
    try:
        name = platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        name = platform.system()
    return f"{name}, {platform.system()} {platform.release()}"


def _cpu() -> str:
    """The processor's model and the number of cores that we may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{_model()} ({cores} cores)"


def instructions() -> frozenset[str]:
    """What the processor can do, by the kernel's names: ``avx2``, ``avx512f``; none where it says nothing."""
    return frozenset(" ".join(_said_of_cpu("flags")[:1]).split())


def _model() -> str:
    models = _said_of_cpu("model name")
    return models[0] if models else platform.processor() or platform.machine()


def _said_of_cpu(name: str) -> list[str]:
    """The values of this name in /proc/cpuinfo, one for each core; proc(5)."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return [line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == name]
