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
    product: str = "Docker"
    """``Podman`` where that speaks Docker's language."""
    is_rootless: bool = False
    mirrors: tuple[str, ...] = ()
    """The mirrors of Docker Hub that it pulls from."""

    @classmethod
    def read(cls, info: Mapping[str, Any], version: Mapping[str, Any]) -> Self:
        """From the answers to ``docker info`` and ``docker version``.

        Raises what fits no such answer, such as KeyError.
        """
        driver = {pair[0]: pair[1] for pair in info.get("DriverStatus") or [] if len(pair) > 1}
        return cls(
            version=str(info["ServerVersion"]),
            snapshotter=driver.get("driver-type", "").startswith("io.containerd.snapshotter"),
            root_dir=Path(info["DockerRootDir"]),
            memory_bytes=int(info["MemTotal"]),
            product=_product(version),
            is_rootless=any("rootless" in str(option) for option in info.get("SecurityOptions") or []),
            mirrors=tuple(map(str, (info.get("RegistryConfig") or {}).get("Mirrors") or [])),
        )


def _product(version: Mapping[str, Any]) -> str:
    names = [str(component.get("Name", "")) for component in version.get("Components") or []]
    return "Podman" if any("podman" in name.lower() for name in names) else "Docker"
