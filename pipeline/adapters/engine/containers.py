"""How a container is launched, and what can be asked of it while it runs and when it has ended."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import requests
from docker.errors import APIError, NotFound

from pipeline.adapters.engine.errors import HINT, map_errors
from pipeline.adapters.engine.output import outputs_of
from pipeline.model.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from docker.models.containers import Container as DockerContainer

    from pipeline.model import ImageRef

_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Launch:
    """How to run an image: its own entrypoint unless another is given; folders are mounted read-only.

    ``image`` is named by digest, or by its id in the engine's store.
    ``mounts`` maps a folder of this machine to its place in the container. ``port`` is the container's,
    published on a free port of 127.0.0.1. ``run`` names the run that the container belongs to. ``beside``
    names a container whose network it is in, whatever ``network`` says; ``dns`` is the server that it asks
    for names. ``volumes`` maps a volume of the run to its place, where it can be written to; ``scratch`` are
    folders in memory that anyone may write to, for a root that is ``read_only``.
    """

    image: ImageRef | str
    run: str
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[Path, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)
    scratch: tuple[str, ...] = ()
    read_only: bool = False
    network: Literal["none", "bridge"] = "none"
    beside: str | None = None
    dns: str | None = None
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
class _State:
    """How the first process of a container is. The code is 0 while it runs."""

    is_running: bool
    exit_code: int
    ran_out_of_memory: bool


class Container:
    """A container that was started, and is removed with ``remove``. Every method raises EngineError."""

    def __init__(self, container: DockerContainer) -> None:
        self._container = container

    @property
    def name(self) -> str:
        """Its name in the engine."""
        return str(self._container.name)

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
        with map_errors("read the log of a container"):
            return bytes(self._container.logs(tail=tail)).decode(errors="replace")

    def pids(self) -> frozenset[int]:
        """The numbers of its processes on the engine's machine; none where it has ended."""
        with map_errors("list the processes of a container"):
            if self.exit_code() is not None:
                return frozenset()
            listed = self._container.top()
            column = listed["Titles"].index("PID")
            return frozenset(int(row[column]) for row in listed["Processes"])

    def pids_here(self) -> frozenset[int]:
        """Those of its processes that have these numbers on this machine: their control group names it."""
        return frozenset(pid for pid in self.pids() if is_of(pid, str(self._container.id)))

    def resident_bytes(self) -> int:
        """The memory that the kernel counts for it, without the pages of files that it may drop."""
        with map_errors("measure the memory of a container"):
            stats: Any = self._container.stats(stream=False, one_shot=True)
            memory = stats["memory_stats"]
            return int(memory.get("usage", 0)) - int(memory.get("stats", {}).get("inactive_file", 0))

    def host_port(self, port: int) -> int:
        """The port of 127.0.0.1 behind which this port of the container is found."""
        with map_errors("inspect a container"):
            self._container.reload()
            bindings = self._container.attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp")
            if not bindings:
                raise EngineError(f"the engine published no port {port} of {self.name}", hint=HINT)
            return int(bindings[0]["HostPort"])

    def stop(self, seconds: float) -> int:
        """Ask it to end (SIGTERM), kill it after these seconds; return its exit code, 137 if killed."""
        with map_errors("stop a container"):
            self._container.stop(timeout=int(seconds))
        return self._state().exit_code

    def wait(self, deadline: float) -> int | None:
        """Wait for its end; return its exit code, or None when ``time.monotonic()`` passes ``deadline``."""
        while (code := self.exit_code()) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        return code

    def remove(self) -> None:
        """Kill and remove it, with its volumes; fine where it is gone already."""
        with map_errors("remove a container"):
            remove(self._container)

    def execute(self, argv: Sequence[str], *, seconds: float) -> Finished:
        """Run a program beside what runs in it, for at most these seconds.

        What does not end in time is left to the container's end: an engine cannot stop one program of it.
        """
        ran: list[Finished] = []
        trouble: list[BaseException] = []

        def run() -> None:
            try:
                with map_errors("run a program in a container"):
                    ran.append(self._execute(argv))
            except BaseException as error:  # noqa: BLE001 - it is raised again where the program was asked for
                trouble.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(seconds)
        if trouble:
            raise trouble[0]
        return ran[0] if ran else Finished(None, "", "")

    def _execute(self, argv: Sequence[str]) -> Finished:
        """The client's own ``exec_start`` loses output: it reads past what came with the answer's head.

        Of 60 runs of ``echo`` on a machine with six busy processes it returned nothing in 16. So the answer
        is read as any other: it ends when the program does.
        """
        api: Any = self._container.client and self._container.client.api
        made = api.exec_create(self._container.id, list(argv))["Id"]
        url = f"{api.base_url}/v{api.api_version}/exec/{made}/start"
        answer = api.post(url, json={"Detach": False, "Tty": False})
        answer.raise_for_status()
        out, err = outputs_of(answer.content)
        return Finished(api.exec_inspect(made)["ExitCode"], out, err)

    def streams(self) -> tuple[str, str]:
        """All of its standard output and standard error."""
        with map_errors("read the log of a container"):
            out = self._container.logs(stdout=True, stderr=False)
            err = self._container.logs(stdout=False, stderr=True)
        return bytes(out).decode(errors="replace"), bytes(err).decode(errors="replace")

    def _state(self) -> _State:
        with map_errors("inspect a container"):
            self._container.reload()
            state = self._container.attrs["State"]
            return _State(bool(state["Running"]), int(state["ExitCode"]), bool(state.get("OOMKilled")))


def is_of(pid: int, container: str) -> bool:
    """Whether this machine has a process of this number in the container with this id.

    An engine in a virtual machine, or on another, numbers processes that are none of ours.
    """
    with suppress(OSError):
        return container in Path(f"/proc/{pid}/cgroup").read_text(errors="replace")
    return False


def remove(container: DockerContainer) -> None:
    """Remove it; one that is gone, or that the engine is removing already, is as good as removed."""
    try:
        container.remove(force=True, v=True)
    except NotFound:
        return
    except APIError as error:
        if error.status_code != requests.codes.conflict:
            raise
