"""A bare-metal environment under test, by its interpreter."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import environ, files
from pipeline.compat import server_arguments
from pipeline.model import PROJECT
from pipeline.suite.expect import NotRun
from pipeline.suite.targets.target import QUIET, Completed, Stopped, over_network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx2

    from pipeline.model import Trial
    from pipeline.suite.model import Model
    from pipeline.suite.targets.target import Limit


class ProcessTarget:
    """An environment on this machine, by its interpreter. Its home is empty, so that no cache is warm."""

    isolates = False

    def __init__(self, trial: Trial, python: Path, model: Model) -> None:
        self.model = str(model.folder)
        self._python, self._trial = python.absolute(), trial
        self._servers: list[ProcessServer] = []
        self._home = tempfile.TemporaryDirectory(prefix=f"{PROJECT}-")
        self._env = environ.under_test(self._python, Path(self._home.name)) | QUIET | trial.env

    def labels(self) -> Mapping[str, str]:
        """None: only images have labels."""
        return {}

    def lend(self, folder: Path) -> str:
        """The folder itself: it is on this machine."""
        return str(folder)

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source in a process of its own."""
        folder = Path(self._home.name)
        return run_python(self._python, source, *args, env=self._env, folder=folder, seconds=seconds)

    def arguments(self) -> tuple[str, ...]:
        """What an image of such a cell would be given: an environment has no default arguments."""
        return server_arguments.defaults(self._trial.cell, self._trial.gpu_memory)

    def writable(self) -> tuple[str, ...]:
        """Its home."""
        return (self._home.name,)

    def serve(
        self, args: tuple[str, ...], log: Path, *, limits: frozenset[Limit] = frozenset()
    ) -> ProcessServer:
        """Start vLLM's OpenAI server as a module: its console script needs a distribution named vllm."""
        if limits:
            raise NotRun("an environment on this machine has this machine's network, user and files")
        port = _free_port()
        where = (*self.arguments(), *args, "--host", "127.0.0.1", "--port", str(port))
        command = [str(self._python), "-m", "vllm.entrypoints.openai.api_server", *where]
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
        server = ProcessServer(self, process, f"http://127.0.0.1:{port}", log)
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

    def __init__(
        self, target: ProcessTarget, process: subprocess.Popen[bytes], base_url: str, log: Path
    ) -> None:
        self.base_url = base_url
        self._target, self._process, self._log = target, process, log

    def http(self) -> httpx2.BaseTransport:
        """Over loopback."""
        return over_network()

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source in a process beside the server."""
        return self._target.python(source, *args, seconds=seconds)

    def resident_bytes(self) -> int:
        """What its processes hold, where each shares a page with others its part of it."""
        return sum(_resident(number) for number in self.pids())

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

    def pids_here(self) -> frozenset[int]:
        """The same: it is a child of ours."""
        return self.pids()

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


def _resident(number: int) -> int:
    """The proportional set size of a process, in bytes; 0 of one that has ended, or without /proc."""
    with suppress(OSError):
        rollup = Path(f"/proc/{number}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB$", rollup, re.MULTILINE)
        return int(found[1]) << 10 if found else 0
    return 0


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
