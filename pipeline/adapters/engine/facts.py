"""What the engine says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Facts:
    """What decides how we work with an engine."""

    version: str
    snapshotter: bool
    root_dir: Path
    memory_bytes: int

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> Self:
        """From the answer to ``docker info``. Raises what fits no such answer, such as KeyError."""
        driver = {pair[0]: pair[1] for pair in info.get("DriverStatus") or [] if len(pair) > 1}
        return cls(
            version=str(info["ServerVersion"]),
            snapshotter=driver.get("driver-type", "").startswith("io.containerd.snapshotter"),
            root_dir=Path(info["DockerRootDir"]),
            memory_bytes=int(info["MemTotal"]),
        )
