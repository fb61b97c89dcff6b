"""The registry on this machine: started where the matrix names loopback and nothing listens there.

It is Distribution with a configuration of our own: it listens on 127.0.0.1 alone, keeps its data in
one folder, and outlives us, so that the next run finds everything there.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import RegistryError
from pipeline.nouns import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.nouns import Repository

PROGRAMS = ("docker-registry", "registry")
"""What distributions call Distribution's server."""

START_SECONDS = 20.0
STOP_SECONDS = 10.0

_STARTED: dict[int, subprocess.Popen[bytes]] = {}
"""The registries that this process started, so that the one it stops is also reaped."""


def ensure(repository: Repository, data: Path, log: Path) -> bool:
    """Have a writable registry answer for a repository on loopback; True where it had to be started.

    Does nothing for a repository elsewhere. ``data`` is the registry's folder, ``log`` the file that
    its words go to. Raises RegistryError where none can be started, or where what listens on the
    port is no registry that we may write to.
    """
    if not repository.is_loopback:
        return False
    address = _address(repository)
    with _only_one(data):
        if _listens(address):
            if not _is_ours(_pid(data), data, address[1]):
                _probe(repository)
            return False
        stop(data)  # two registries on one folder would not see each other's blobs
        _start(address, data, log)
        return True


def stop(data: Path) -> bool:
    """End the registry that we started on this folder; False where none of ours runs."""
    pid = _pid(data)
    if pid is None or not _is_ours(pid, data):
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _is_ours(pid, data):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    if pid in _STARTED:
        _STARTED.pop(pid).wait()
    _pid_file(data).unlink(missing_ok=True)
    return True


def unfinished(repository: Repository, data: Path) -> tuple[int, int]:
    """How many uploads to a repository were begun and never ended, and their bytes.

    A push that broke off leaves them. Nobody can pull them, and Distribution removes them after a week.
    """
    folder = data / "docker" / "registry" / "v2" / "repositories" / repository.path / "_uploads"
    sizes = [file.stat().st_size for file in folder.glob("*/data")]
    return len(sizes), sum(sizes)


def configuration(host: str, port: int, data: Path) -> str:
    """What Distribution is told: YAML, of which JSON is a part."""
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
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        raise RegistryError(
            f"no registry answers at {address[0]}:{address[1]}, and none is installed to start there",
            hint="install Distribution (Debian and Ubuntu: apt-get install docker-registry), "
            "or name a registry with --repository",
        )
    config = _config_file(data, address[1])
    try:
        config.write_text(configuration(*address, data))
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as words:
            process = subprocess.Popen(
                [program, "serve", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                cwd="/",
                # Its own session: neither Ctrl-C nor the end of our terminal reaches it.
                start_new_session=True,
                # Distribution takes REGISTRY_… variables over its file; ours says all there is to say.
                env={name: text for name, text in os.environ.items() if not name.startswith("REGISTRY_")},
            )
        _STARTED[process.pid] = process
        _pid_file(data).write_text(f"{process.pid}\n")
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


def _probe(repository: Repository) -> None:
    """Make sure that a stranger on the port is a registry, and takes uploads."""
    address = _address(repository)
    status, headers = _ask(address, "GET", "/v2/")
    is_registry = headers.get("docker-distribution-api-version", "").startswith("registry/2")
    if status == http.HTTPStatus.UNAUTHORIZED and "www-authenticate" in headers:
        return  # a registry that wants a login: the client that has one will find out more
    if status != http.HTTPStatus.OK or not (is_registry or headers.get("content-type", "").startswith("app")):
        raise RegistryError(
            f"what listens at {repository.host} is no registry: GET /v2/ answered {status}",
            hint="free that port, or name a registry with --repository",
        )
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
    return ("::1" if name == "[::1]" else "127.0.0.1"), int(port)


def _listens(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=5).close()
    except OSError:
        return False
    return True


@contextmanager
def _only_one(data: Path) -> Iterator[None]:
    """Of two of us who start at once, the second waits and finds the registry of the first."""
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


def _config_file(data: Path, port: int) -> Path:
    return data.resolve() / f"{PROJECT}-{port}.json"


def _pid(data: Path) -> int | None:
    try:
        return int(_pid_file(data).read_text())
    except (OSError, ValueError):
        return None


def _is_ours(pid: int | None, data: Path, port: int | None = None) -> bool:
    """Whether this process is a registry on our configuration: a pid alone may have been used again."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="surrogateescape").split("\0")
    except OSError:
        return False
    ports = [port] if port else [int(file.stem.rpartition("-")[2]) for file in _configurations(data)]
    return any(str(_config_file(data, one)) in words for one in ports)


def _configurations(data: Path) -> tuple[Path, ...]:
    return tuple(file for file in data.glob(f"{PROJECT}-*.json") if file.stem.rpartition("-")[2].isdigit())
