"""An image under test, run by the engine."""

from __future__ import annotations

import secrets
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.adapters.engine import Container, Engine, Launch
from pipeline.model import PROJECT, ImageTarget
from pipeline.model.errors import EngineError, ProgramError
from pipeline.suite.expect import Mismatch
from pipeline.suite.targets.beside import Beside
from pipeline.suite.targets.target import NOT_FOUND, QUIET, Completed, Stopped, over_network

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx2

    from pipeline.model import ImageRef, Trial
    from pipeline.suite.model import Model
    from pipeline.suite.targets.target import Limit

PORT = 8000
"""The port that an image serves on."""

WRITABLE_LABEL = f"{PROJECT}.writable"
"""Names the places that an image's server writes to, with blanks between them."""

_MODEL = "/model"
_HANDED = "/handed-over"
_UNKNOWN_USER, _UNKNOWN_USERS = 100_000, 900_000
"""The first number of a user that no image has, and how many there are."""
_HAND_OVER = """
import os, pwd, sys
user, _, group = sys.argv[1].partition(":")
uid = int(user) if user.isdecimal() else pwd.getpwnam(user).pw_uid
gid = int(group) if group.isdecimal() else 0
for folder, _, names in os.walk("/handed-over"):
    for path in (folder, *(os.path.join(folder, name) for name in names)):
        os.lchown(path, uid, gid)
"""

_TRACEBACK = "Traceback (most recent call last)"
"""What a Python writes that ran, and found out that something cannot be done."""


class ContainerTarget:
    """An image, run by the engine.

    Its servers get nothing but their arguments and the model: environment, user and default arguments are
    the image's own. They share a volume for their caches, which is empty for the first one.
    """

    isolates = True

    def __init__(self, trial: Trial, ref: ImageRef | str, model: Model) -> None:
        self.model = model.seen_from(_MODEL)
        self._trial, self._ref = trial, ref
        self._servers: list[ContainerServer] = []
        self._engine = Engine.connect()
        if not isinstance(ref, str):  # an id is in the engine's store, and nowhere else
            self._engine.pull(ref)
        self._config = self._engine.config(ref)
        self._env: dict[str, str] = QUIET | trial.env
        self._mounts: dict[Path, str] = {model.root: _MODEL}
        self._gpus = trial.cell.needs_gpu
        self._named = trial.target if isinstance(trial.target, ImageTarget) else ImageTarget(ref=str(ref))
        self._cache = ""

    def labels(self) -> Mapping[str, str]:
        """The image's labels."""
        return self._config.labels

    def arguments(self) -> tuple[str, ...]:
        """What the image's variable for its server's default arguments holds. Raises Mismatch."""
        words = dict(self._config.env).get("SERVE_ARGS", "")
        try:
            return tuple(shlex.split(words))
        except ValueError as error:
            raise Mismatch("SERVE_ARGS quoted as for a shell", words) from error

    def writable(self) -> tuple[str, ...]:
        """The places that the image declares to write to; of one that declares none, what most need."""
        declared = self._config.labels.get(WRITABLE_LABEL, "").split()
        return tuple(declared) or ("/tmp", self._home)  # noqa: S108 - a place in the container

    def lend(self, folder: Path) -> str:
        """Mount the folder into each container that is started from now on."""
        inside = f"/lent/{folder.name}"
        self._mounts = self._mounts | {folder: inside}
        return inside

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source in a container without network, by the interpreter of the image's entrypoint."""
        return self._python(source, *args, seconds=seconds)

    def _python(
        self,
        source: str,
        *args: str,
        seconds: float,
        user: str | None = None,
        volumes: Mapping[str, str] | None = None,
    ) -> Completed:
        probe = Launch(
            image=self._ref,
            run=self._trial.run,
            entrypoint=(self.interpreter,),
            command=("-c", source, *args),
            env=self._env,
            mounts=self._mounts,
            volumes=volumes or {},
            user=user,
            gpus=self._gpus and user is None,
        )
        try:
            done = self._engine.run(probe, seconds=seconds)
        except ProgramError as error:
            return Completed(NOT_FOUND, "", error.what)
        return Completed(done.exit_code, done.stdout, done.stderr)

    @property
    def interpreter(self) -> str:
        """The Python that the trial names, else that of the image's entrypoint."""
        return self._named.python or interpreter(self._config.entrypoint)

    def serve(
        self, args: tuple[str, ...], log: Path, *, limits: frozenset[Limit] = frozenset()
    ) -> ContainerServer:
        """Start the image's own entrypoint, or what stands in for it, with these arguments, within limits."""
        is_offline, is_read_only = "offline" in limits, "read_only" in limits
        user = f"{_UNKNOWN_USER + secrets.randbelow(_UNKNOWN_USERS)}:0" if "any_user" in limits else None
        launch = Launch(
            image=self._ref,
            run=self._trial.run,
            entrypoint=self._named.server or None,
            command=(*args, "--host", "0.0.0.0", "--port", str(PORT)),  # noqa: S104 - inside the container
            env=self._trial.env,
            mounts=self._mounts,
            volumes={self._cache_for(user or self._config.user or "0:0"): f"{self._home}/.cache"},
            scratch=self.writable() if is_read_only else (),
            read_only=is_read_only,
            network="none" if is_offline else "bridge",
            port=None if is_offline else PORT,
            user=user,
            gpus=self._gpus,
        )
        container = self._engine.start(launch)
        server = ContainerServer(self._engine, container, launch, self.interpreter, log)
        self._servers.append(server)
        return server

    @property
    def _home(self) -> str:
        return dict(self._config.env).get("HOME", "/root")

    def _cache_for(self, user: str) -> str:
        """The volume for caches, given to this user as whoever starts a server on a host would do."""
        self._cache = self._cache or self._engine.make_volume(self._trial.run)
        handed = self._python(
            _HAND_OVER, user, seconds=self._trial.healthy_seconds, user="0:0", volumes={self._cache: _HANDED}
        )
        if handed.exit_code != 0 and _TRACEBACK in handed.stderr:  # a Python that fails itself is the image's
            raise EngineError(
                f"the volume for caches could not be given to {user}: {handed.stderr.strip()[-300:]}",
                hint="see whether the engine lets a container's root own files in a volume",
            )
        return self._cache

    def close(self) -> None:
        """Remove every container of the run and its volume, and close the engine's connection."""
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

    def __init__(
        self, engine: Engine, container: Container, launch: Launch, interpreter: str, log: Path
    ) -> None:
        self._engine, self._container, self._launch, self._log = engine, container, launch, log
        self._interpreter = interpreter
        self._url = self._end = ""
        self._is_saved = False

    @property
    def base_url(self) -> str:
        """The address on loopback where the engine published its port; its own without a network."""
        if self._launch.port is None:
            return f"http://127.0.0.1:{PORT}"
        self._url = self._url or f"http://127.0.0.1:{self._container.host_port(PORT)}"
        return self._url

    def http(self) -> httpx2.BaseTransport:
        """Over the published port, or from inside of the container where it has no network."""
        return Beside(self, PORT) if self._launch.port is None else over_network()

    def python(self, source: str, *args: str, seconds: float) -> Completed:
        """Run this source inside of the container, as the server's user."""
        done = self._container.execute((self._interpreter, "-c", source, *args), seconds=seconds)
        return Completed(done.exit_code, done.stdout, done.stderr)

    def ended(self) -> str | None:
        """None while the container runs, else how it ended; it is not there any more once it was stopped."""
        return self._end or self._container.ended()

    def log(self) -> str:
        """The container's log."""
        return self._container.logs()

    def pids(self) -> frozenset[int]:
        """The numbers of the container's processes on the engine's machine."""
        return self._container.pids()

    def pids_here(self) -> frozenset[int]:
        """Those that this machine's kernel, too, says are of the container."""
        return self._container.pids_here()

    def resident_bytes(self) -> int:
        """What the kernel counts for the container, without the pages of files that it may drop."""
        return self._container.resident_bytes()

    def stop(self, seconds: float) -> Stopped:
        """Stop the container as ``docker stop`` does, and remove it."""
        code = self._container.stop(seconds)
        self._end = f"exited with code {code}"
        self.save_log()
        self._container.remove()
        return Stopped(code, self._engine.of_run(self._launch.run))

    def save_log(self) -> None:
        """Save the log of a container before it is removed."""
        if not self._is_saved:
            files.write(self._log, self._container.logs(tail="all").encode())
            self._is_saved = True
