"""The container engine: the only place that talks to Docker.

Every container that we start carries two labels: the run that it belongs to, and the process that
owns it. So nothing of ours can be left behind for good: ``Engine.reap`` removes what a run made, or
what a process made that is no longer alive.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import docker
import requests
from docker.errors import APIError, DockerException, NotFound
from docker.types import DeviceRequest, LogConfig, Mount

from pipeline.formats.numbers import whole
from pipeline.model import PROJECT, RUN_LABEL, ImageRef, shown
from pipeline.model.errors import EngineError, TagproofError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from docker.models.containers import Container as _DockerContainer

OWNER_LABEL = f"{PROJECT}.owner"
"""``<pid>:<start time of the process>:<host name>`` of the process that started a container."""

GpuAccess = Literal["runtime", "cdi"]

_POLL = 0.1
_PIECE = 1 << 20
"""Bytes of a saved image in memory at a time."""
_SHARED_MEMORY = "1g"
_LOG = LogConfig(type="json-file", config={"max-size": "16m", "max-file": "1"})


@dataclass(frozen=True)
class Facts:
    """What the engine says of itself. ``gpu_access`` is None where no container can have a GPU."""

    version: str
    snapshotter: bool
    root_dir: Path
    gpu_access: GpuAccess | None
    cpus: int
    memory_bytes: int


@dataclass(frozen=True)
class Launch:
    """How to run an image: its own entrypoint unless another is given; folders are mounted read-only.

    ``mounts`` maps a folder of this machine to its place in the container. ``port`` is the container's,
    published on a free port of 127.0.0.1. ``run`` names the run that the container belongs to.
    """

    image: ImageRef
    run: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[Path, str] = field(default_factory=dict)
    network: Literal["none", "bridge"] = "none"
    user: str | None = None
    port: int | None = None
    gpus: bool = False


@dataclass(frozen=True)
class Finished:
    """What a container that ran to its end left. ``exit_code`` is None where the deadline ended it."""

    exit_code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Config:
    """What an image says of itself."""

    entrypoint: tuple[str, ...]
    env: Mapping[str, str]
    labels: Mapping[str, str]


@dataclass(frozen=True)
class _State:
    """How the first process of a container is. The code is 0 while it runs."""

    is_running: bool
    exit_code: int
    ran_out_of_memory: bool


class Container:
    """A container that was started, and is removed with ``remove``."""

    def __init__(self, container: _DockerContainer) -> None:
        self._container = container

    @property
    def name(self) -> str:
        """Its name in the engine."""
        return str(self._container.name)

    @property
    def is_running(self) -> bool:
        """Whether its first process still runs."""
        return self._state().is_running

    def exit_code(self) -> int | None:
        """The exit code of its first process; None while that runs."""
        state = self._state()
        return None if state.is_running else state.exit_code

    def ended(self) -> str | None:
        """None while it runs, else how it ended, in words."""
        state = self._state()
        if state.is_running:
            return None
        return f"exited with code {state.exit_code}{', out of memory' if state.ran_out_of_memory else ''}"

    def logs(self, tail: int | Literal["all"] = 200) -> str:
        """The last lines of what it wrote, both streams together."""
        with _told("read the log of a container"):
            return bytes(self._container.logs(tail=tail)).decode(errors="replace")

    def host_port(self, port: int) -> int:
        """The port of 127.0.0.1 behind which this port of the container is found."""
        with _told("inspect a container"):
            self._container.reload()
            bindings = self._container.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp")
            if not bindings:
                raise EngineError(f"the engine published no port {port} of {self.name}", hint=_WELL)
            return int(bindings[0]["HostPort"])

    def stop(self, seconds: float) -> int:
        """Ask it to end (SIGTERM), kill it after these seconds; return its exit code, 137 if killed."""
        with _told("stop a container"):
            self._container.stop(timeout=int(seconds))
        return self._state().exit_code

    def wait(self, deadline: float) -> int | None:
        """Wait for its end; return its exit code, or None when ``time.monotonic()`` passes ``deadline``."""
        while (code := self.exit_code()) is None and time.monotonic() < deadline:
            time.sleep(_POLL)
        return code

    def remove(self) -> None:
        """Kill and remove it, with its volumes; fine where it is gone already."""
        with _told("remove a container"):
            _remove(self._container)

    def streams(self) -> tuple[str, str]:
        """All of its standard output and standard error."""
        with _told("read the log of a container"):
            out = self._container.logs(stdout=True, stderr=False)
            err = self._container.logs(stdout=False, stderr=True)
        return bytes(out).decode(errors="replace"), bytes(err).decode(errors="replace")

    def _state(self) -> _State:
        with _told("inspect a container"):
            self._container.reload()
            state = self._container.attrs["State"]
            return _State(bool(state["Running"]), int(state["ExitCode"]), bool(state.get("OOMKilled")))


class Engine:
    """A connection to the engine; close it, or use it in a ``with``."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client

    @classmethod
    def connect(cls, timeout: float = 60) -> Self:
        """The engine that the environment names (DOCKER_HOST), or this machine's.

        ``timeout``: seconds for any one answer. Raises EngineError where none answers.
        """
        with _told("reach the container engine", hint=_START):
            client = docker.from_env(timeout=int(timeout))
            try:
                client.ping()
            except BaseException:
                client.close()
                raise
        return cls(client)

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def facts(self) -> Facts:
        """What the engine says of itself. Raises EngineError."""
        with _told("ask the engine about itself"):
            info: dict[str, Any] = self._client.info()
            kinds = {pair[0]: pair[1] for pair in info.get("DriverStatus") or [] if len(pair) > 1}
            return Facts(
                version=str(info["ServerVersion"]),
                snapshotter=kinds.get("driver-type", "").startswith("io.containerd.snapshotter"),
                root_dir=Path(info["DockerRootDir"]),
                gpu_access=_gpu_access(info),
                cpus=int(info["NCPU"]),
                memory_bytes=int(info["MemTotal"]),
            )

    def pull(self, ref: ImageRef) -> None:
        """Have this very image here. Raises EngineError where the registry or the engine fails."""
        with (
            _told(f"pull {ref}", hint="check the registry and the free disk, then run this again"),
            contextlib.closing(self._client.api.pull(f"{ref}", stream=True, decode=True)) as events,
        ):
            for event in events:
                if "error" in event:
                    raise DockerException(event["error"])

    def save(self, name: str) -> Generator[bytes]:
        """An image of the engine's store, by name or id, as what ``docker save`` writes, in pieces.

        Whoever does not take them all closes it. Raises EngineError.
        """
        with _told(f"save {name}", hint="check the name with `docker images`, or pull the image first"):
            yield from self._client.images.get(name).save(chunk_size=_PIECE)

    def release(self, ref: ImageRef) -> None:
        """Give back the room that this image takes here: remove every name that its repository gave it.

        Names that others gave it, and what containers use, stay. Raises EngineError.
        """
        with _told(f"remove {ref}"):
            try:
                image = self._client.images.get(str(ref))
            except NotFound:
                return
            names = [*image.tags, *image.attrs.get("RepoDigests", [])]
            for name in names:
                if name.startswith((f"{ref.repository}:", f"{ref.repository}@")):
                    with contextlib.suppress(NotFound):
                        self._client.images.remove(name, force=True)

    def config(self, ref: ImageRef) -> Config:
        """What the pulled image says of itself. Raises EngineError."""
        with _told(f"inspect {ref}", hint="pull it first"):
            config = self._client.images.get(str(ref)).attrs["Config"]
            env = dict(entry.partition("=")[::2] for entry in config.get("Env") or [])
            return Config(tuple(config.get("Entrypoint") or ()), env, config.get("Labels") or {})

    def run(self, launch: Launch, *, seconds: float) -> Finished:
        """Run a container to its end or for this many seconds, whichever comes first; then remove it."""
        deadline = time.monotonic() + seconds
        container = self.start(launch)
        try:
            code = container.wait(deadline)
            return Finished(code, *container.streams())
        finally:
            container.remove()

    def start(self, launch: Launch) -> Container:
        """Start a container. Raises EngineError, and leaves none behind, where it cannot be started."""
        with _told(f"start {launch.image}"):
            container = self._client.containers.create(**self._arguments(launch))
            try:
                container.start()
            except BaseException:
                _remove(container)
                raise
        return Container(container)

    def reap(self, run: str | None = None) -> tuple[str, ...]:
        """Remove the containers of this run; without one, those whose owner on this host is dead.

        Returns their names. Raises EngineError.
        """
        label = RUN_LABEL if run is None else f"{RUN_LABEL}={run}"
        with _told("list the containers of earlier runs"):
            ours = self._client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
            doomed = [one for one in ours if run is not None or _is_orphan(one.labels.get(OWNER_LABEL, ""))]
            for container in doomed:
                _remove(container)
        return tuple(str(container.name) for container in doomed)

    def of_run(self, run: str) -> tuple[str, ...]:
        """The names of the containers of this run, ended ones too. Raises EngineError."""
        with _told("list containers"):
            filters: dict[str, str | list[str] | bool] = {"label": f"{RUN_LABEL}={run}"}
            ours = self._client.containers.list(all=True, filters=filters, ignore_removed=True)
        return tuple(str(container.name) for container in ours)

    def _arguments(self, launch: Launch) -> dict[str, Any]:
        return {
            "image": str(launch.image),
            "name": f"{PROJECT}-{secrets.token_hex(6)}",
            "command": list(launch.command),
            "entrypoint": None if launch.entrypoint is None else list(launch.entrypoint),
            "environment": dict(launch.env),
            "labels": {RUN_LABEL: launch.run, OWNER_LABEL: owner()},
            "mounts": [
                Mount(target=inside, source=str(folder), type="bind", read_only=True)
                for folder, inside in launch.mounts.items()
            ],
            "network_mode": launch.network,
            "ports": {} if launch.port is None else {f"{launch.port}/tcp": ("127.0.0.1", None)},
            "user": launch.user,
            "device_requests": self._gpus() if launch.gpus else None,
            "security_opt": ["no-new-privileges"],
            "shm_size": _SHARED_MEMORY,
            "log_config": _LOG,
        }

    def _gpus(self) -> list[DeviceRequest]:
        match self.facts().gpu_access:
            case "runtime":
                return [DeviceRequest(count=-1, capabilities=[["gpu"]])]
            case "cdi":
                return [DeviceRequest(driver="cdi", device_ids=["nvidia.com/gpu=all"])]
            case None:
                raise EngineError(
                    "the engine gives no container a GPU: it has no nvidia runtime and no CDI device",
                    hint="install nvidia-container-toolkit, then `nvidia-ctk runtime configure` "
                    "or `nvidia-ctk cdi generate`",
                )


# -- owners -----------------------------------------------------------------------------------------


def owner() -> str:
    """Name this process as ``OWNER_LABEL`` does."""
    return f"{os.getpid()}:{_started(os.getpid())}:{socket.gethostname()}"


def _is_orphan(label: str) -> bool:
    """Whether the process that this label names ran on this host and is dead. Unreadable: not ours to say."""
    number, _, rest = label.partition(":")
    started, _, host = rest.partition(":")
    pid = whole(number)
    return pid is not None and host == socket.gethostname() and _started(pid) != started


def _started(pid: int) -> str:
    """When a process started, as its kernel counts; ``alive`` where it does not say; empty for a dead one."""
    if not Path("/proc/self/stat").exists():
        return "alive" if _answers(pid) else ""
    with contextlib.suppress(OSError):
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if after_name[0] == "Z" else after_name[19]
    return ""


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (OverflowError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


# -- the engine's words -----------------------------------------------------------------------------

_START = "start it (`systemctl start docker`, or Docker Desktop), or name one with DOCKER_HOST"
_LONGEST = 2000
_WELL = "`docker info` and the engine's own log tell whether it is well"


@contextlib.contextmanager
def _told(doing: str, *, hint: str = _WELL) -> Iterator[None]:
    """Turn whatever the engine's client raises into an EngineError that says what was being done.

    What the engine answers is read in here too: where that is not as its API says, client and readers of it
    stumble in many ways.
    """
    try:
        yield
    except (DockerException, requests.exceptions.RequestException, OSError) as error:
        explanation = getattr(error, "explanation", None) or error
        raise EngineError(f"could not {doing}: {shown(explanation, _LONGEST)}", hint=hint) from error
    except TagproofError:
        raise
    except Exception as error:
        why = f"{type(error).__name__}: {shown(error)}"
        raise EngineError(f"could not {doing}: its answer is not understood: {why}", hint=hint) from error


def _remove(container: _DockerContainer) -> None:
    """Remove it; one that is gone, or that the engine is removing already, is as good as removed."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != requests.codes.conflict:
            raise


def _gpu_access(info: Mapping[str, Any]) -> GpuAccess | None:
    """How a container of this engine gets a GPU: by the nvidia runtime, or by a CDI device."""
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
    with contextlib.suppress(OSError):
        return file.read_text(errors="replace")
    return ""
