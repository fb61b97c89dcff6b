"""The registry on this machine: started where the matrix names loopback and nothing listens there.

It is Distribution with a configuration of our own: it listens on 127.0.0.1 alone, keeps its data in
one folder for each address, and outlives us, so that the next run finds everything there. Only ``stop`` ends
one, and only ``ensure`` starts one: reading does not.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import environ, files
from pipeline.model import PROJECT
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Repository

PROGRAMS = ("docker-registry", "registry")
"""What distributions call Distribution's server."""

START_SECONDS = 20.0
STOP_SECONDS = 10.0

_PORT = re.compile(r"[1-9][0-9]{0,4}")
_LAST_PORT = 65535
_MAX_DIGITS = 20
"""Characters of a file with the number of a process."""

_STARTED: dict[int, subprocess.Popen[bytes]] = {}
"""The registries that this process started, so that the one it stops is also reaped."""


def home(repository: Repository, registries: Path) -> Path:
    """Where the registry that a repository on loopback is in keeps its data: a folder for each address."""
    host, port = _address(repository)
    return registries / (f"{port}-ipv6" if ":" in host else f"{port}")


def serves(repository: Repository, data: Path) -> bool:
    """Whether there is a registry to read from. Nothing is started for it.

    False where none was ever written to on this machine, so that all that could be in it is absent.
    Raises RegistryError where one was and is down now, or where what listens is no registry.
    """
    if not repository.is_loopback or _running(data):
        return True
    if _listens(_address(repository)):
        _refuse_no_registry(repository)
        return True
    if not (data / "docker").exists():
        return False
    raise RegistryError(
        f"the registry at {repository.host} is down; what it holds is in {data}",
        hint="`python -m pipeline build`, `verify` or `publish` starts it; reading does not",
    )


def listens(repository: Repository) -> bool:
    """Whether something listens where the registry of a repository on loopback would."""
    return _listens(_address(repository))


def program() -> str | None:
    """The registry's program on this machine, which ``ensure`` starts; None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def ensure(repository: Repository, data: Path, log: Path) -> bool:
    """Have a writable registry answer for a repository on loopback; True where it had to be started.

    Does nothing for a repository elsewhere. ``data`` is the registry's folder, ``log`` the file that
    it writes to. Raises RegistryError where none can be started, or where what listens on the
    port is no registry that we may write to.
    """
    if not repository.is_loopback:
        return False
    address = _address(repository)
    with _only_one(data):
        if pid := _running(data):
            _await_running(pid, address, data)
            return False
        if _listens(address):
            _refuse_no_registry(repository)
            _refuse_read_only(repository)
            return False
        _start(address, data, log)
        return True


def stop(data: Path) -> bool:
    """End the registry that we started on this folder; False where none of ours runs."""
    pid = _running(data)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _running(data):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    if pid in _STARTED:
        _STARTED.pop(pid).wait()
    _pid_file(data).unlink(missing_ok=True)
    return True


def unfinished(repository: Repository, data: Path) -> tuple[int, int]:
    """How many uploads to a repository were begun and never ended, and their bytes.

    A push that broke off leaves them. They cannot be pulled, and Distribution removes them after a week.
    """
    folder = data / "docker" / "registry" / "v2" / "repositories" / repository.path / "_uploads"
    sizes = [file.stat().st_size for file in folder.glob("*/data")]
    return len(sizes), sum(sizes)


def configuration(host: str, port: int, data: Path) -> str:
    """The configuration of Distribution: YAML, of which JSON is a part."""
    return json.dumps(
        {
            "version": 0.1,
            "log": {"level": "warn", "accesslog": {"disabled": True}},
            "storage": {
                "filesystem": {"rootdirectory": str(data.resolve())},
                "delete": {"enabled": True},
                "cache": {"blobdescriptor": "inmemory"},
            },
            "http": {"addr": f"[{host}]:{port}" if ":" in host else f"{host}:{port}"},
        },
        indent=2,
    )


def _start(address: tuple[str, int], data: Path, log: Path) -> None:
    server = program()
    if server is None:
        raise RegistryError(
            f"no registry answers at {address[0]}:{address[1]}, and none is installed to start there",
            hint="install Distribution (Debian and Ubuntu: apt-get install docker-registry), "
            "or name a registry with --repository",
        )
    config = _config_file(data)
    try:
        files.write(config, configuration(*address, data).encode())
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = subprocess.Popen(
                [server, "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                # Its own session: neither Ctrl-C nor the end of our terminal reaches it.
                start_new_session=True,
                # It outlives us and needs nothing of ours; REGISTRY_… variables would override its file.
                env=environ.of(),
            )
        _STARTED[process.pid] = process
        files.write(_pid_file(data), f"{process.pid}\n".encode())
    except OSError as error:
        raise RegistryError(
            f"the registry on this machine could not be started: {error}",
            hint=f"make {data} and {log.parent} writable, or name a registry with --repository",
        ) from error
    _await(process, address, log)


def _await(process: subprocess.Popen[bytes], address: tuple[str, int], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (_listens(address) and _is_registry(address)):
        if process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
            continue
        process.kill()
        process.wait()
        _STARTED.pop(process.pid, None)
        last = "\n".join(log.read_text(errors="replace").splitlines()[-5:])
        raise RegistryError(
            f"the registry on this machine did not come up at {address[0]}:{address[1]}:\n{last}",
            hint=f"its log is {log}; or name another registry with --repository",
        )


def _is_registry(address: tuple[str, int]) -> bool:
    try:
        return _ask(address, "GET", "/v2/")[0] == http.HTTPStatus.OK
    except RegistryError:
        return False


def _await_running(pid: int, address: tuple[str, int], data: Path) -> None:
    """Wait for the registry of ours that runs on this folder; it may have been started a moment ago."""
    deadline = time.monotonic() + START_SECONDS
    while not _listens(address):
        if time.monotonic() > deadline or not _running(data):
            raise RegistryError(
                f"the registry on {data} (process {pid}) does not listen at {address[0]}:{address[1]}",
                hint=f"see what it does, end it (kill {pid}) and run this again",
            )
        time.sleep(0.02)


def _refuse_no_registry(repository: Repository) -> None:
    """Make sure that what listens on the port, and is not of ours, is a registry."""
    status, headers = _ask(_address(repository), "GET", "/v2/")
    is_registry = headers.get("docker-distribution-api-version", "").startswith("registry/2")
    if status == http.HTTPStatus.UNAUTHORIZED and "www-authenticate" in headers:
        return  # a registry that wants a login: the client that has one will find out more
    if status >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
        raise RegistryError(
            f"the registry at {repository.host} does not do its work: GET /v2/ answered {status}",
            hint="look at its log, and at the room on its disk; or name another with --repository",
        )
    if status != http.HTTPStatus.OK or not (is_registry or headers.get("content-type", "").startswith("app")):
        raise RegistryError(
            f"what listens at {repository.host} is no registry: GET /v2/ answered {status}",
            hint="free that port, or name a registry with --repository",
        )


def _refuse_read_only(repository: Repository) -> None:
    """Make sure that a registry, which is not of ours, takes uploads."""
    address = _address(repository)
    status, headers = _ask(address, "POST", f"/v2/{repository.path}/blobs/uploads/")
    if status == http.HTTPStatus.UNAUTHORIZED:
        return
    if status != http.HTTPStatus.ACCEPTED:
        raise RegistryError(
            f"the registry at {repository.host} takes no uploads: POST answered {status}",
            hint="allow writing there, or name another registry with --repository",
        )
    location = headers.get("location", "")
    _ask(address, "DELETE", "/" + location.removeprefix("http://").partition("/")[2])


def _ask(address: tuple[str, int], method: str, path: str) -> tuple[int, dict[str, str]]:
    """Status and headers of one answer, their names in lower case."""
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path, headers={"Content-Length": "0"})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}
    except (OSError, http.client.HTTPException) as error:
        raise RegistryError(
            f"what listens at {address[0]}:{address[1]} is no registry: {type(error).__name__}: {error}",
            hint="free that port, or name a registry with --repository",
        ) from error
    finally:
        connection.close()


def _address(repository: Repository) -> tuple[str, int]:
    """IP address and port; ``localhost`` is 127.0.0.1, as nothing of ours listens elsewhere."""
    name, colon, port = repository.host.rpartition(":")
    if not colon or port.endswith("]"):
        name, port = repository.host, "80"
    if not _PORT.fullmatch(port) or int(port) > _LAST_PORT:
        raise RegistryError(
            f"{repository.host[:80]!r} names no port of this machine: they are 1 to {_LAST_PORT}",
            hint="name a registry with --repository",
        )
    return ("::1" if name == "[::1]" else "127.0.0.1"), int(port)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Of two processes that start one at once, the second waits and finds the registry of the first."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = (data / f"{PROJECT}.lock").open("w")
    except OSError as error:
        raise RegistryError(
            f"{data}: the registry's folder cannot be used: {error.strerror}",
            hint="make it writable, or name a registry with --repository",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _pid_file(data: Path) -> Path:
    return data / f"{PROJECT}.pid"


def _config_file(data: Path) -> Path:
    return data.resolve() / f"{PROJECT}.json"


def _running(data: Path) -> int | None:
    """The process that is a registry on our configuration: a number alone may have been used again."""
    try:
        pid = int(_pid_file(data).read_text()[:_MAX_DIGITS])
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape").split("\0")
    except (OSError, ValueError):
        return None
    return pid if str(_config_file(data)) in words else None
