"""A trial without the GPU that the cell needs: a double of the driver stands in for it."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.adapters import files
from pipeline.adapters.engine import Launch
from pipeline.model import PROJECT, ImageRef, ImageTarget
from pipeline.model.errors import MachineError, ProgramError, UsageError
from pipeline.suite import driver_double, probes
from pipeline.suite.expect import Mismatch, Task
from pipeline.suite.model import locate
from pipeline.suite.serving import SERVED
from pipeline.suite.targets.container import ContainerTarget, interpreter
from pipeline.suite.targets.target import NOT_FOUND
from pipeline.suite.trial_run import TrialRun, end_of

if TYPE_CHECKING:
    from pipeline.adapters.engine import Container
    from pipeline.model import Trial
    from pipeline.suite.model import Model

DRIVER = "/run/driver-double"
"""Where the double lies in a container."""

TAKE_A_DEVICE = "import torch\ntorch.zeros(1, device='cuda')"
"""What an image is asked to run whose entrypoint is Python."""

_ALONE = {"VLLM_HOST_IP": "127.0.0.1"}
"""Otherwise vLLM asks the kernel which address this machine has towards one of Google's."""

_READY_SECONDS = 60.0
_COUNTED_SECONDS = 10.0


@dataclass(frozen=True)
class Entered:
    """How the image's own entrypoint ended; ``exit_code`` is None if its deadline ended it.

    ``names`` and ``refused`` are what it asked of a network that it has not: the names of other machines,
    and how many packets or connections had no way out.
    """

    exit_code: int | None
    log: str
    names: tuple[str, ...]
    refused: int


class Rehearsing(TrialRun):
    """Starts the entrypoint and the probes, and returns what they found; waits for them when needed."""

    target: RehearsedTarget

    def __init__(self, trial: Trial, log: Path) -> None:
        self._log = log
        super().__init__(trial)
        self._entrypoint: Task[Entered] | None = None

    def begin(self) -> None:
        """Start the entrypoint, which takes about as long as all the probes together."""
        arguments, seconds = self._arguments(), self.trial.healthy_seconds
        self._entrypoint = self._entrypoint or Task(lambda: self.target.enter(arguments, seconds=seconds))

    def entered(self) -> Entered:
        """How the entrypoint ended."""
        self.begin()
        if self._entrypoint is None:
            raise AssertionError("it was begun just now")
        return self._entrypoint.result(2 * self.trial.healthy_seconds, "the end of the entrypoint")

    @cached_property
    def objects(self) -> Any:
        """The result of ``probes/objects.py``."""
        return self.probe("objects", *self.imported)

    @cached_property
    def architecture(self) -> Any:
        """The result of ``probes/architecture.py``."""
        return self.probe("architecture", self.target.model)

    def _target_of(self, trial: Trial) -> RehearsedTarget:
        if not isinstance(trial.target, ImageTarget):
            raise UsageError("only an image can be rehearsed", hint="name one by its digest")
        return RehearsedTarget(trial, ImageRef.parse(trial.target.ref), locate(trial.model), self._log)

    def _arguments(self) -> tuple[str, ...]:
        if not self.trial.cell.vllm:
            return ("-c", TAKE_A_DEVICE)
        return (
            *("--model", self.target.model),
            *("--served-model-name", SERVED),
            *self.trial.serve,
        )


class RehearsedTarget(ContainerTarget):
    """An image whose containers find a double of the driver, and no GPU and no network."""

    def __init__(self, trial: Trial, ref: ImageRef, model: Model, log: Path) -> None:
        super().__init__(trial, ref, model)
        self._log = log
        self._folder = tempfile.TemporaryDirectory(prefix=f"{PROJECT}-driver-")
        try:
            self._take_driver(trial, ref)
        except BaseException:
            self.close()
            raise

    def enter(self, args: tuple[str, ...], *, seconds: float) -> Entered:
        """Run the image's own entrypoint with these arguments to its end; see what it asks the network."""
        deadline = time.monotonic() + seconds
        watch = self._engine.start(
            Launch(
                image=self._ref,
                run=self._trial.run,
                entrypoint=(interpreter(self._config.entrypoint),),
                command=("-IS", "-c", probes.source("network")),
                user="0",
                dns="127.0.0.1",
            )
        )
        _await_ready(watch)
        launch = Launch(
            image=self._ref,
            run=self._trial.run,
            command=args,
            env=_ALONE | self._env,
            mounts=self._mounts,
            beside=watch.name,
        )
        code, log = self._run(launch, deadline)
        files.write(self._log, log.encode())
        watch.stop(_COUNTED_SECONDS)
        asked = probes.result(watch.streams()[0])
        if asked is None:
            raise MachineError("what watched the network ended without a word", hint="run it again")
        return Entered(code, log, tuple(asked["names"]), asked["refused"])

    def close(self) -> None:
        """Remove every container of the run, and the double."""
        super().close()
        self._folder.cleanup()

    def _take_driver(self, trial: Trial, ref: ImageRef) -> None:
        """Compile the double in the image and mount it from now on."""
        if self._config.platform != trial.cell.platform:
            raise Mismatch(f"an image for {trial.cell.platform}", self._config.platform)
        self._gpus = False
        started = self.python("print('started')", seconds=_READY_SECONDS)
        if "started" not in started.stdout:
            raise Mismatch("Python that runs", end_of(started))
        answers = driver_double.Answers(devices=1, capability=_capability(trial.expected.archs))
        text = driver_double.source(trial.driver_symbols, answers)
        libraries = driver_double.compiled(self._engine, ref, text, run=trial.run)
        folder = Path(self._folder.name)
        driver_double.place(libraries, folder)
        path = ":".join(filter(None, (DRIVER, dict(self._config.env).get("LD_LIBRARY_PATH"))))
        self._env |= {"LD_LIBRARY_PATH": path}
        self._mounts |= {folder: DRIVER}

    def _run(self, launch: Launch, deadline: float) -> tuple[int | None, str]:
        """The exit code of a container, and its log."""
        try:
            container = self._engine.start(launch)
        except ProgramError as error:
            return NOT_FOUND, error.what
        try:
            return container.wait(deadline), container.logs(tail="all")
        finally:
            container.remove()


def _await_ready(watch: Container) -> None:
    """Wait until the network is watched. Raises MachineError where it will not be."""
    deadline = time.monotonic() + _READY_SECONDS
    while "ready" not in watch.logs().splitlines():
        if (ended := watch.ended()) or time.monotonic() > deadline:
            what = f"the network of a container cannot be watched: {ended or 'no answer'}: {watch.logs()}"
            raise MachineError(what, hint="`docker info` and the engine's own log tell whether it is well")
        time.sleep(0.05)


def _capability(archs: tuple[str, ...]) -> int:
    """The compute capability of the GPU that the double names: the first that the image has to reach."""
    digits = ("".join(filter(str.isdigit, arch)) for arch in archs)
    return next((int(number) for number in digits if number), driver_double.Answers().capability)
