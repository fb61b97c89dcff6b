"""One connection to the engine: its containers, and the images in its store."""

from __future__ import annotations

import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any, Self

import docker
from docker.errors import DockerException, NotFound
from docker.types import LogConfig, Mount

from pipeline.adapters.engine import reaching
from pipeline.adapters.engine.containers import Container, Finished, remove
from pipeline.adapters.engine.errors import HINT, map_errors
from pipeline.adapters.engine.facts import Facts
from pipeline.adapters.engine.gpu_access import GpuAccess, gpu_access
from pipeline.adapters.engine.ownership import OWNER_LABEL, is_orphan, owner
from pipeline.formats.image_config import RunConfig
from pipeline.model import PROJECT, RUN_LABEL, shown

if TYPE_CHECKING:
    from collections.abc import Generator

    from pipeline.adapters.engine.containers import Launch
    from pipeline.formats.image_config import ImageConfig
    from pipeline.model import ImageRef

_START = "start it (`systemctl start docker`, or Docker Desktop), or name one with DOCKER_HOST"
_GPUS = (
    "try by hand whether a container gets a GPU: `docker run --rm --gpus all IMAGE nvidia-smi`, or with CDI "
    "`--device nvidia.com/gpu=all`"
)
_CHUNK = 1 << 20
"""Bytes of a saved image in memory at a time."""
_SHARED_MEMORY = "1g"
_LOG = LogConfig(type="json-file", config={"max-size": "16m", "max-file": "1"})


class Engine:
    """A connection to the engine; close it, or use it in a ``with``."""

    def __init__(self, client: docker.DockerClient) -> None:
        self._client = client

    @classmethod
    def connect(cls, timeout: float = 60) -> Self:
        """The engine that the environment names (DOCKER_HOST), or this machine's.

        ``timeout``: seconds for any one answer. Raises EngineError where none answers.
        """
        with map_errors(f"reach the container engine at {shown(reaching.address())}", hint=_START):
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
        with map_errors("ask the engine about itself"):
            return Facts.read(self._client.info(), self._client.version())

    def gpu_access(self) -> GpuAccess:
        """How it gives a container the GPUs. Raises EngineError, with the remedy, where it cannot."""
        with map_errors("ask the engine about GPUs"):
            return gpu_access(self._client.info())

    def pull(self, ref: ImageRef) -> None:
        """Have this very image here. Raises EngineError where the registry or the engine fails."""
        with (
            map_errors(f"pull {ref}", hint="check the registry and the free disk, then run this again"),
            contextlib.closing(self._client.api.pull(f"{ref}", stream=True, decode=True)) as events,
        ):
            for event in events:
                if "error" in event:
                    raise DockerException(event["error"])

    def save(self, name: str) -> Generator[bytes]:
        """An image of the engine's store, by name or id, as what ``docker save`` writes, in chunks.

        Close it where you do not take them all. Raises EngineError.
        """
        with map_errors(f"save {name}", hint="check the name with `docker images`, or pull the image first"):
            yield from self._client.images.get(name).save(chunk_size=_CHUNK)

    def release(self, ref: ImageRef) -> None:
        """Give back the room that this image takes here: remove every name that its repository gave it.

        Names that others gave it, and what containers use, stay. Raises EngineError.
        """
        with map_errors(f"remove {ref}"):
            try:
                image = self._client.images.get(str(ref))
            except NotFound:
                return
            names = [*image.tags, *image.attrs.get("RepoDigests", [])]
            for name in names:
                if name.startswith((f"{ref.repository}:", f"{ref.repository}@")):
                    with contextlib.suppress(NotFound):
                        self._client.images.remove(name, force=True)

    def identity_of(self, name: str) -> str:
        """The id of an image of the engine's store (``sha256:…``). Raises EngineError."""
        with map_errors(f"find {name}", hint="check the name with `docker images`, or pull the image first"):
            return str(self._client.images.get(name).id)

    def config(self, ref: ImageRef | str) -> ImageConfig:
        """What an image of the engine's store, pulled or by id, says of how it is run. Raises EngineError."""
        with map_errors(f"inspect {ref}", hint="pull it first"):
            found = self._client.images.get(str(ref)).attrs
            platform = f"{found['Os']}/{found['Architecture']}"
            layers = tuple(found.get("RootFS", {}).get("Layers") or ())
            return RunConfig.model_validate(found["Config"]).image_config(platform=platform, diff_ids=layers)

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
        with map_errors(f"start {launch.image}", hint=_GPUS if launch.gpus else HINT):
            container = self._client.containers.create(**self._arguments(launch))
            try:
                container.start()
            except BaseException:
                remove(container)
                raise
        return Container(container)

    def make_volume(self, run: str) -> str:
        """Make an empty volume that belongs to this run, and goes with it; return its name."""
        with map_errors("make a volume"):
            made = self._client.volumes.create(
                f"{PROJECT}-{secrets.token_hex(6)}", labels={RUN_LABEL: run, OWNER_LABEL: owner()}
            )
            return str(made.name)

    def reap(self, run: str | None = None) -> tuple[str, ...]:
        """Remove the containers and volumes of this run; without one, those whose owner on this host is dead.

        Returns the names of the containers. Raises EngineError.
        """
        label = RUN_LABEL if run is None else f"{RUN_LABEL}={run}"
        with map_errors("list the containers of earlier runs"):
            ours = self._client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
            doomed = [
                container
                for container in ours
                if run is not None or is_orphan(container.labels.get(OWNER_LABEL, ""))
            ]
            for container in doomed:
                remove(container)
            for volume in self._client.volumes.list(filters={"label": label}):
                if run is not None or is_orphan((volume.attrs["Labels"] or {}).get(OWNER_LABEL, "")):
                    with contextlib.suppress(NotFound):
                        volume.remove(force=True)
        return tuple(str(container.name) for container in doomed)

    def of_run(self, run: str) -> tuple[str, ...]:
        """The names of the containers of this run, ended ones too. Raises EngineError."""
        with map_errors("list containers"):
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
            ]
            + [Mount(target=inside, source=name, type="volume") for name, inside in launch.volumes.items()],
            "tmpfs": dict.fromkeys(launch.scratch, "exec,mode=1777"),
            "read_only": launch.read_only,
            "network_mode": f"container:{launch.beside}" if launch.beside else launch.network,
            "dns": [launch.dns] if launch.dns else None,
            "ports": {} if launch.port is None else {f"{launch.port}/tcp": ("127.0.0.1", None)},
            "user": launch.user,
            "device_requests": [self.gpu_access().request()] if launch.gpus else None,
            "security_opt": ["no-new-privileges"],
            "shm_size": _SHARED_MEMORY,
            "healthcheck": {"test": ["NONE"]},  # an image's own asks its server for tokens, which we count
            "log_config": _LOG,
        }
