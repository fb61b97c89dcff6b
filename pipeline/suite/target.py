"""What the checks run against: an environment that can run Python code, and serve a model.

It is an image or a bare-metal environment; no check knows which.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipeline.adapters import environ, files
from pipeline.adapters.engine import Container, Engine, Launch
from pipeline.model import PROJECT, ImageRef, ImageTarget, Trial
from pipeline.model.errors import ProgramError
from pipeline.suite.model import Model, locate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PORT = 8000
"""The port that an image serves on."""

NOT_FOUND = 127
"""The exit code of a program that is not there, as a shell has it."""

_MODEL = "/model"
_QUIET = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
}
"""Nothing is downloaded and no usage reported; one GiB is enough for the key-value cache of the checks."""


@dataclass(frozen=True)
class Completed:
    """The result of Python code; ``exit_code`` is None if its deadline ended it."""

    exit_code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Stopped:
    """How a server ended: its exit code (128 + signal if a signal ended it), and processes that are left."""

    exit_code: int
    left: tuple[str, ...]


class Server(Protocol):
    """A server that was started, healthy or not."""

    @property
    def base_url(self) -> str:
        """Its address: ``http://127.0.0.1:…``. Only valid while it runs."""

    def ended(self) -> str | None:
        """None while it runs, else how it ended, as text."""

    def log(self) -> str:
        """The last lines of its log."""

    def pids(self) -> frozenset[int]:
        """The numbers of its processes on this machine; none once it has ended."""

    def stop(self, seconds: float) -> Stopped:
        """Send SIGTERM, kill what is left after these seconds, and return how it ended."""


class Target(Protocol):
    """An environment under test. ``model`` is the model's path inside it."""

    model: str

    def labels(self) -> Mapping[str, str]:
        """Its labels."""

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source with its Python, for at most these seconds."""

    def serve(self, args: tuple[str, ...], log: Path | None = None) -> Server:
        """Start its OpenAI server with these arguments; return at once.

        Its log goes into ``log``, or into the target's own.
        """

    def close(self) -> None:
        """End all that it started, and clean up. May be called twice."""


def target_of(trial: Trial, log: Path) -> Target:
    """The target of the trial; the log of its server goes into ``log``.

    Raises UsageError if there is no such model, EngineError if the engine fails.
    """
    model = locate(trial.model)
    if isinstance(trial.target, ImageTarget):
        return ContainerTarget(trial, ImageRef.parse(trial.target.ref), model, log)
    return ProcessTarget(trial, Path(trial.target.python), model, log)


# -- an image ---------------------------------------------------------------------------------------


class ContainerTarget:
    """An image, run by the engine."""

    def __init__(self, trial: Trial, ref: ImageRef, model: Model, log: Path) -> None:
        self.model = model.seen_from(_MODEL)
        self._trial, self._ref, self._log = trial, ref, log
        self._servers: list[ContainerServer] = []
        self._engine = Engine.connect()
        self._engine.pull(ref)
        self._config = self._engine.config(ref)
        self._env: dict[str, str] = _QUIET | trial.env
        self._mounts: dict[Path, str] = {model.root: _MODEL}
        self._gpus = trial.cell.needs_gpu

    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        return self._config.labels

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source in a container without network, by the interpreter of the image's entrypoint."""
        probe = Launch(
            image=self._ref,
            run=self._trial.run,
            entrypoint=(interpreter(self._config.entrypoint),),
            command=("-c", source, *args),
            env=self._env,
            mounts=self._mounts,
            gpus=self._gpus,
        )
        try:
            done = self._engine.run(probe, seconds=seconds)
        except ProgramError as error:
            return Completed(NOT_FOUND, "", error.what)
        return Completed(done.exit_code, done.stdout, done.stderr)

    def serve(self, args: tuple[str, ...], log: Path | None = None) -> ContainerServer:
        """Start the image's own entrypoint with these arguments."""
        launch = Launch(
            image=self._ref,
            run=self._trial.run,
            command=(*args, "--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 - inside the container
            env=self._env,
            mounts=self._mounts,
            network="bridge",
            port=PORT,
            gpus=self._gpus,
        )
        server = ContainerServer(self._engine, self._engine.start(launch), self._trial.run, log or self._log)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Remove every container of the run, and close the engine's connection."""
        for server in self._servers:
            server.save_log()
        self._engine.reap(self._trial.run)
        self._engine.close()


def interpreter(entrypoint: tuple[str, ...]) -> str:
    """The Python that an entrypoint runs; ``python3`` if it names none."""
    named = [word for word in entrypoint if Path(word).name.startswith("python")]
    return named[0] if named else "python3"


class ContainerServer:
    """A server in a container."""

    def __init__(self, engine: Engine, container: Container, run: str, log: Path) -> None:
        self._engine, self._container, self._run, self._log = engine, container, run, log
        self._url = ""
        self._is_saved = False

    @property
    def base_url(self) -> str:
        """The address on loopback where the engine published its port."""
        self._url = self._url or f"http://127.0.0.1:{self._container.host_port(PORT)}"
        return self._url

    def ended(self) -> str | None:
        """None while the container runs, else how it ended."""
        return self._container.ended()

    def log(self) -> str:
        """The container's log."""
        return self._container.logs()

    def pids(self) -> frozenset[int]:
        """The numbers of the container's processes on the engine's machine."""
        return self._container.pids()

    def stop(self, seconds: float) -> Stopped:
        """Stop the container as ``docker stop`` does, and remove it."""
        code = self._container.stop(seconds)
        self.save_log()
        self._container.remove()
        return Stopped(code, self._engine.of_run(self._run))

    def save_log(self) -> None:
        """Save the log of a container before it is removed."""
        if not self._is_saved:
            files.write(self._log, self._container.logs(tail="all").encode())
            self._is_saved = True


# -- a bare-metal environment -----------------------------------------------------------------------


class ProcessTarget:
    """An environment on this machine, by its interpreter. Its home is empty, so that no cache is warm."""

    def __init__(self, trial: Trial, python: Path, model: Model, log: Path) -> None:
        self.model = str(model.folder)
        self._python, self._log = python.absolute(), log
        self._servers: list[ProcessServer] = []
        self._home = tempfile.TemporaryDirectory(prefix=f"{PROJECT}-")
        self._env = environ.under_test(self._python, Path(self._home.name)) | _QUIET | trial.env

    def labels(self) -> Mapping[str, str]:
        """None: only images have labels."""
        return {}

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source in a process of its own."""
        folder = Path(self._home.name)
        return run_python(self._python, source, *args, env=self._env, folder=folder, seconds=seconds)

    def serve(self, args: tuple[str, ...], log: Path | None = None) -> ProcessServer:
        """Start vLLM's OpenAI server as a module: its console script needs a distribution named vllm."""
        port = _free_port()
        where = ("--host", "127.0.0.1", "--port", str(port))
        command = [str(self._python), "-m", "vllm.entrypoints.openai.api_server", *args, *where]
        log = log or self._log
        with files.create(log) as output:
            process = subprocess.Popen(
                command,
                env=self._env,
                cwd=self._home.name,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        server = ProcessServer(process, f"http://127.0.0.1:{port}", log)
        self._servers.append(server)
        return server

    def close(self) -> None:
        """Kill the servers that still run, and remove the home."""
        for server in self._servers:
            server.kill()
        self._home.cleanup()


def run_python(
    python: Path, source: str, *args: str, env: Mapping[str, str], folder: Path, seconds: float
) -> Completed:
    """Run this source with a Python of this machine, in a process group of its own, in this folder."""
    process = subprocess.Popen(
        [python, "-c", source, *args],
        env=env,
        cwd=folder,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        _kill_group(process.pid)
        return Completed(None, *process.communicate())
    except BaseException:
        _kill_group(process.pid)
        process.communicate()
        raise
    return Completed(process.returncode, out, err)


class ProcessServer:
    """A server that is a process group of this machine."""

    def __init__(self, process: subprocess.Popen[bytes], base_url: str, log: Path) -> None:
        self.base_url = base_url
        self._process, self._log = process, log

    def ended(self) -> str | None:
        """None while its first process runs, else how that ended."""
        code = self._process.poll()
        return None if code is None else f"exited with code {_as_shell(code)}"

    def log(self) -> str:
        """The end of its log."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-200:])

    def pids(self) -> frozenset[int]:
        """The numbers of the group's processes."""
        return frozenset(number for number, _ in _members(self._process.pid))

    def stop(self, seconds: float) -> Stopped:
        """Send SIGTERM to the first process, as an engine does; then look for the rest of its group."""
        deadline = time.monotonic() + seconds
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        while (left := _members(self._process.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.kill()
        return Stopped(_as_shell(self._process.returncode), tuple(name for _, name in left))

    def kill(self) -> None:
        """Kill all that is left of the group."""
        _kill_group(self._process.pid)
        self._process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _as_shell(code: int) -> int:
    return 128 - code if code < 0 else code


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _members(group: int) -> tuple[tuple[int, str], ...]:
    """The running processes of a group, each with ``name (pid)``; without /proc the group, if any run."""
    if not Path("/proc/self/stat").exists():
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            return ((group, f"process group {group}"),)
        return ()
    found = map(_member(group), Path("/proc").glob("[0-9]*/stat"))
    return tuple(member for member in found if member)


def _member(group: int) -> Callable[[Path], tuple[int, str] | None]:
    def member(stat: Path) -> tuple[int, str] | None:
        with suppress(OSError):
            head, _, tail = stat.read_text().rpartition(")")
            state, _, its_group = tail.split()[:3]
            if state != "Z" and int(its_group) == group:
                return int(stat.parent.name), f"{head.partition('(')[2]} ({stat.parent.name})"
        return None

    return member
