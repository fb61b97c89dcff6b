"""An image under test, run by the engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.adapters.engine import Container, Engine, Launch
from pipeline.model.errors import ProgramError
from pipeline.suite.targets.target import NOT_FOUND, QUIET, Completed, Stopped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model import ImageRef, Trial
    from pipeline.suite.model import Model

PORT = 8000
"""The port that an image serves on."""

_MODEL = "/model"


class ContainerTarget:
    """An image, run by the engine."""

    def __init__(self, trial: Trial, ref: ImageRef, model: Model, log: Path) -> None:
        self.model = model.seen_from(_MODEL)
        self._trial, self._ref, self._log = trial, ref, log
        self._servers: list[ContainerServer] = []
        self._engine = Engine.connect()
        self._engine.pull(ref)
        self._config = self._engine.config(ref)
        self._env: dict[str, str] = QUIET | trial.env
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
