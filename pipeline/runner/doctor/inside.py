"""Whether PyTorch has CUDA inside an image, or in an environment of this machine; and if not, why."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from pipeline.adapters import environ
from pipeline.compat.no_cuda import Cause, Sight, has_cuda, why_no_cuda
from pipeline.model import PROJECT, ImageRef, shown
from pipeline.model.errors import EngineError, MachineError, ProgramError, UsageError
from pipeline.suite import probes
from pipeline.suite.targets.container import interpreter
from pipeline.suite.targets.process import run_python
from pipeline.suite.targets.target import Completed

if TYPE_CHECKING:
    from pipeline.adapters.engine import Engine
    from pipeline.formats.image_config import ImageConfig

PROBE_SECONDS = 180.0
"""For the first import of PyTorch from a cold disk, and all that the driver is asked."""

_PYTHONS = ("python3", "python")
"""What is tried where the entrypoint of an image names no Python."""


@dataclass(frozen=True)
class Inside:
    """What was seen: of which image or environment, in words, and the cause, None where CUDA is there.

    ``is_meant`` says that an image says itself that it is for the CPU.
    """

    name: str
    text: str
    cause: Cause | None
    is_meant: bool = False


def of_image(reference: str, platform: str | None, run: str) -> Inside:
    """The answer of a container of an image, which gets a GPU where this host has one, and no network.

    ``reference`` is as for ``certify``, of a registry or ``engine:NAME``; what is in a registry is pulled by
    digest. Raises UsageError, EngineError, RegistryError or ImageError where it cannot be run.
    """
    from pipeline.adapters.engine import Engine  # noqa: PLC0415 - its client takes 0.2 s to load

    with Engine.connect() as engine:
        ref = _present(engine, reference, platform)
        config = engine.config(ref)
        access = _gpu_trouble(engine)
        done = _asked(engine, ref, config, run, gpus=access is None and _has_gpu())
    is_for_cpu = config.labels.get(f"{PROJECT}.cuda") == "cpu"
    told = _told(f"{ref}", done, is_image=True, is_for_cpu=is_for_cpu)
    if access is not None and told.cause and told.cause.name == "no-gpu-given":
        return Inside(told.name, told.text, Cause("no-gpu-given", "host", access.what, access.hint))
    return told


def of_python(python: Path) -> Inside:
    """The answer of an environment on this machine, by its interpreter; its home is empty.

    Raises UsageError where there is no such program.
    """
    if not python.is_file():
        raise UsageError(f"{python} is no file", hint="name the environment's Python: …/bin/python")
    path = python.absolute()
    with tempfile.TemporaryDirectory(prefix=f"{PROJECT}-") as home:
        env = environ.under_test(path, Path(home))
        done = run_python(path, probes.source("driver"), env=env, folder=Path(home), seconds=PROBE_SECONDS)
    return _told(f"{python}", done, is_image=False, is_for_cpu=False)


def _present(engine: Engine, reference: str, platform: str | None) -> ImageRef | str:
    """The image in the engine's store: pulled by digest, or the one of this name there."""
    from pipeline.adapters.image_files.opening import ENGINE, open_image  # noqa: PLC0415 - as above

    if reference.startswith(ENGINE):
        return engine.identity_of(reference.removeprefix(ENGINE))
    if Path(reference).exists():
        hint = f"load it first (`docker load -i {reference}`), then name it {ENGINE}NAME"
        raise UsageError(f"{reference} is a file: no engine runs it from there", hint=hint)
    with open_image(reference, platform=platform) as files:
        ref = ImageRef.parse(files.name)
    engine.pull(ref)
    return ref


def _asked(engine: Engine, ref: ImageRef | str, config: ImageConfig, run: str, *, gpus: bool) -> Completed:
    """What the probe printed, run by the Python of the entrypoint, or by the one on PATH."""
    from pipeline.adapters.engine import Launch  # noqa: PLC0415 - as above

    absent = Completed(None, "", "")
    for python in dict.fromkeys((interpreter(config.entrypoint), *_PYTHONS)):
        launch = Launch(
            image=ref, run=run, entrypoint=(python,), command=("-c", probes.source("driver")), gpus=gpus
        )
        try:
            done = engine.run(launch, seconds=PROBE_SECONDS)
        except ProgramError as error:
            absent = Completed(None, "", error.what)
        else:
            return Completed(done.exit_code, done.stdout, done.stderr)
    raise MachineError(
        f"there is no Python in {ref}: {absent.stderr}",
        hint=f"`python -m pipeline which {ref}` says what is inside",
    )


def _gpu_trouble(engine: Engine) -> EngineError | None:
    """Why the engine gives no container a GPU, where this host has one that it should give."""
    if not _has_gpu():
        return None
    try:
        engine.gpu_access()
    except EngineError as error:
        return error
    return None


def _has_gpu() -> bool:
    devices = Path("/dev")
    return any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists()


def _told(name: str, done: Completed, *, is_image: bool, is_for_cpu: bool) -> Inside:
    """What the probe's answer means. Raises MachineError where it has none."""
    try:
        sight = Sight.model_validate_json(json.dumps(probes.result(done.stdout)))
    except ValidationError:
        code = "no end in its time" if done.exit_code is None else f"exit code {done.exit_code}"
        why = shown(done.stderr.strip()[-300:]) or "it printed nothing"
        what = f"{name}: whoever asked PyTorch there has no answer ({code}): {why}"
        raise MachineError(what, hint=_HINTS.get(done.exit_code or 0, _ANY)) from None
    if has_cuda(sight):
        driver = (
            f", and a driver for CUDA {sight.version // 1000}.{sight.version % 1000 // 10}"
            if sight.version
            else ""
        )
        return Inside(
            name, f"torch {sight.torch} for CUDA {sight.cuda} sees {sight.devices} GPUs{driver}", None
        )
    cause = why_no_cuda(sight, is_image=is_image)
    return Inside(name, cause.what, cause, is_meant=is_for_cpu and cause.name == "cpu-build")


_ANY = "run its Python by hand: `import torch; torch.cuda.init()`"
_HINTS = {
    132: "Illegal instruction: this processor lacks what the build was made for, often AVX-512; see `doctor`",
    137: "it was killed, as a process is that takes more memory than there is: give it more",
    139: "it crashed on import: `certify` looks for libraries that do not belong together",
}
