"""What the engine says of itself."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

GpuAccess = Literal["runtime", "cdi"]
"""How a container gets a GPU: by the nvidia runtime, or by a CDI device."""


@dataclass(frozen=True)
class Facts:
    """What decides how we work with an engine. ``gpu_access`` is None where no container can have a GPU."""

    version: str
    snapshotter: bool
    root_dir: Path
    gpu_access: GpuAccess | None
    memory_bytes: int

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """From the answer to ``docker info``. Raises what fits no such answer, such as KeyError."""
        driver = {pair[0]: pair[1] for pair in info.get("DriverStatus") or [] if len(pair) > 1}
        return cls(
            version=str(info["ServerVersion"]),
            snapshotter=driver.get("driver-type", "").startswith("io.containerd.snapshotter"),
            root_dir=Path(info["DockerRootDir"]),
            gpu_access=_gpu_access(info),
            memory_bytes=int(info["MemTotal"]),
        )


def _gpu_access(info: Mapping[str, Any]) -> GpuAccess | None:
    if "nvidia" in (info.get("Runtimes") or {}):
        return "runtime"
    devices = info.get("DiscoveredDevices") or []
    if any(str(device.get("ID", "")).startswith("nvidia.com/gpu") for device in devices):
        return "cdi"
    # Engines before 28.2 do not list devices; the specifications lie in folders of this machine.
    folders = [Path(folder) for folder in info.get("CDISpecDirs") or []]
    files = [file for folder in folders if folder.is_dir() for file in folder.iterdir()]
    named = any("nvidia.com/gpu" in _text(file) for file in files if file.suffix in {".json", ".yaml"})
    return "cdi" if named else None


def _text(file: Path) -> str:
    with suppress(OSError):
        return file.read_text(errors="replace")
    return ""
