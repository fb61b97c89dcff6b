"""How an engine gives a container the GPUs: by NVIDIA's runtime, or by CDI; or what is missing."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from docker.types import DeviceRequest

from pipeline.adapters import files
from pipeline.formats import cdi
from pipeline.model.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KIND = "nvidia.com/gpu"
"""The kind of NVIDIA's devices."""

MAX_SPECIFICATION_BYTES = 1 << 20
"""That of a machine with 8 GPUs has 50 kB."""

USUAL_FOLDERS = ("/etc/cdi", "/var/run/cdi")
"""Where specifications lie unless the engine is told otherwise."""

_TOOLS = ("nvidia-ctk", "nvidia-container-runtime")
_INSTALL = "install nvidia-container-toolkit"
_CONFIGURE = "`nvidia-ctk runtime configure --runtime=docker`, then `systemctl restart docker`"


@dataclass(frozen=True)
class GpuAccess:
    """The way to the GPUs, and for CDI the devices to ask for (``nvidia.com/gpu=all``)."""

    way: Literal["runtime", "cdi"]
    devices: tuple[str, ...] = ()

    def request(self) -> DeviceRequest:
        """All GPUs, as the engine is asked for them."""
        if self.way == "runtime":
            return DeviceRequest(count=-1, capabilities=[["gpu"]])
        return DeviceRequest(driver="cdi", device_ids=list(self.devices))


def gpu_access(info: Mapping[str, Any]) -> GpuAccess:
    """The way by the answer to ``docker info``, and the specifications on this machine.

    Raises EngineError where no container can have a GPU, with what is missing: toolkit, its runtime in the
    engine, CDI in the engine, a specification, or one that can be used.
    """
    if "nvidia" in (info.get("Runtimes") or {}):
        return GpuAccess("runtime")
    folders = [Path(folder) for folder in info.get("CDISpecDirs") or []]
    specified = _specified(folders)  # read first: an engine lists devices whose files are gone, too
    if names := _listed(info) or specified:
        return _by_cdi(names)
    raise _no_access(folders)


def _listed(info: Mapping[str, Any]) -> list[str]:
    """The names of the GPUs that the engine lists itself; those before 28.2 list none."""
    devices = [str(device.get("ID", "")) for device in info.get("DiscoveredDevices") or []]
    return [device.partition("=")[2] for device in devices if device.startswith(f"{KIND}=")]


def _by_cdi(names: Iterable[str]) -> GpuAccess:
    """All devices at once where the specification has that; else each."""
    chosen = ["all"] if "all" in names else sorted(set(names))
    return GpuAccess("cdi", tuple(f"{KIND}={name}" for name in chosen))


def _no_access(folders: list[Path]) -> EngineError:
    has_toolkit = any(map(shutil.which, _TOOLS))
    if folders:
        what = f"and CDI has no {KIND} in {' or '.join(map(str, folders))}"
        generate = f"`nvidia-ctk cdi generate --output={folders[0]}/nvidia.yaml`"
        hint = generate if has_toolkit else f"{_INSTALL}, then {generate}"
    elif _specified([Path(folder) for folder in USUAL_FOLDERS]):
        what = f"and CDI is off in it, though a specification of {KIND} is here"
        hint = '`"features": {"cdi": true}` in /etc/docker/daemon.json, then `systemctl restart docker`'
    elif has_toolkit:
        what, hint = "though NVIDIA's toolkit is here", _CONFIGURE
    else:
        what, hint = "nor any CDI device", f"{_INSTALL}, then {_CONFIGURE}"
    return EngineError(f"the engine gives no container a GPU: it has no nvidia runtime, {what}", hint=hint)


# -- specifications -----------------------------------------------------------------------------------


def _specified(folders: Iterable[Path]) -> list[str]:
    """The names of the GPUs that specifications in these folders give; a later folder counts for more.

    Raises EngineError where there are none because a specification cannot be used, or one is at odds with
    the machine or with another one.
    """
    names: dict[str, Path] = {}
    broken: list[EngineError] = []
    for folder in folders:
        here: dict[str, Path] = {}
        for file in _files(folder):
            try:
                devices = _devices(file)
            except EngineError as error:
                broken.append(error)
                continue
            if twice := [name for name in devices if name in here]:
                raise _unusable(file, f"{KIND}={twice[0]} is in {here[twice[0]]} too, so it is neither's")
            here |= dict.fromkeys(devices, file)
        names |= here
    if broken and not names:
        raise broken[0]
    return list(names)


def _files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in cdi.SUFFIXES) if folder.is_dir() else []


def _devices(file: Path) -> tuple[str, ...]:
    """The names of the GPUs that one specification gives. Raises EngineError where it cannot be used."""
    try:
        specification = cdi.read(files.read(file, MAX_SPECIFICATION_BYTES).decode())
    except OSError as error:
        raise _unusable(file, f"it {error.strerror}") from error
    except ValueError as error:
        raise _unusable(file, str(error)) from error
    if specification.kind != KIND:
        return ()
    if absent := [path for path in specification.paths if not Path(path).exists()]:
        more = f" and {len(absent) - 1} more" if absent[1:] else ""
        raise _unusable(file, f"the machine has no {absent[0]}{more}; was the driver updated since?")
    return specification.devices


def _unusable(file: Path, why: str) -> EngineError:
    return EngineError(
        f"the CDI specification {file} cannot be used: {why}",
        hint=f"make it again: `nvidia-ctk cdi generate --output={file}`; then see `nvidia-ctk cdi list`",
    )
