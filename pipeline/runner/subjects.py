"""What is tried outside of the path from a matrix to a tag: an environment, or an image, ours or anyone's."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline.adapters.image_files.opening import ENGINE, open_image
from pipeline.model import PROJECT, Digest, ImageRef, ImageTarget, Lock, PythonTarget, Trial
from pipeline.model.errors import UsageError
from pipeline.runner.expectations import expectations_of
from pipeline.stages import environments
from pipeline.stages import lock as locks
from pipeline.suite.targets.target import QUIET

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.formats.image_config import ImageConfig
    from pipeline.model import Cell
    from pipeline.runner.services import Services
    from pipeline.stages.environments import Environment


@dataclass(frozen=True)
class Subject:
    """Something to try: its digest, and the trial that the suite is given.

    Of an image that is in a registry ``image`` says where; ``labels`` and ``diff_ids`` are what any image
    says of itself, and of its layers as unpacked.
    """

    digest: Digest
    trial: Trial
    image: ImageRef | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    diff_ids: tuple[str, ...] = ()

    @property
    def cell(self) -> Cell:
        """The cell that it is, or amounts to."""
        return self.trial.cell

    @property
    def is_image(self) -> bool:
        """Whether the engine runs it."""
        return isinstance(self.trial.target, ImageTarget)


def of_python(services: Services, python: Path) -> Subject:
    """The environment of this interpreter. Raises UsageError where it cannot be run or holds no torch."""
    environment = environments.of_python(python)
    trial = _trial(services, environment, PythonTarget(python=str(environment.python)))
    return Subject(environment.subject, trial)


def of_any_image(services: Services, reference: str) -> Subject:
    """Any image: ``host/path@sha256:…``, ``host/path:tag``, which is resolved now, or ``engine:NAME``.

    What is expected of it is what it says of itself. Where its entrypoint starts no vLLM, its server is
    started as a module; what its environment leaves open, usage reports and the memory on a CPU among it, is
    set modestly. Raises UsageError where it holds no torch or is named by none of these, RegistryError
    or EngineError where it cannot be had.
    """
    image, config = _had(services, reference)
    environment = environments.of_image(services.engine, image, config, services.settings.run)
    python = str(environment.python)
    module = (python, "-m", "vllm.entrypoints.openai.api_server")
    digest = Digest(image) if isinstance(image, str) else image.digest
    target = ImageTarget(
        ref=str(image),
        server=() if environments.starts_vllm(config) else module,
        python=python,
    )
    own = dict(config.env)
    modest = {name: value for name, value in QUIET.items() if name not in own}
    return Subject(
        digest,
        _trial(services, environment, target).model_copy(update={"env": modest}),
        image=None if isinstance(image, str) else image,
        labels=config.labels,
        diff_ids=config.diff_ids,
    )


def _had(services: Services, reference: str) -> tuple[ImageRef | str, ImageConfig]:
    """An image that the engine has now, by digest or by its id there, and what it says of itself."""
    engine = services.engine
    if reference.startswith(ENGINE):
        identity = engine.identity_of(reference.removeprefix(ENGINE))
        return identity, engine.config(identity)
    with open_image(reference) as files:
        name = files.name
    try:
        image = ImageRef.parse(name)
    except ValueError as error:
        hint = f"push it to a registry, or load it into the engine: docker load; then {ENGINE}NAME"
        raise UsageError(f"{reference} is no image that an engine can run: {error}", hint=hint) from error
    engine.pull(image)
    return image, engine.config(image)


def _trial(services: Services, environment: Environment, target: ImageTarget | PythonTarget) -> Trial:
    """The trial of an environment by what it says of itself."""
    return Trial(
        cell=environment.cell,
        run=services.settings.run,
        target=target,
        expected=replace(environment.expected, excused=excused(services, environment.cell)),
        model=services.model_of(environment.cell),
        healthy_seconds=services.matrix.healthy_seconds,
        gpu_memory=services.matrix.gpu_memory,
        **services.tests_of(environment.cell),
    )


def of_image(services: Services, image: ImageRef) -> Subject:
    """The image of a cell of the matrix, by digest.

    Raises UsageError where it is none, EngineError where it cannot be pulled.
    """
    services.engine.pull(image)
    named = services.engine.config(image).labels.get(f"{PROJECT}.cell")
    spec = next((spec for spec in services.matrix.specs if spec.cell.id == named), None)
    lock = locks.read(spec, services.settings.locks) if spec else None
    if spec is None or lock is None:
        raise UsageError(
            f"{image} is of no cell of {services.matrix.path} that has a lock (its label says {named})",
            hint="name an image that `build` made of this matrix, or an environment by --python",
        )
    trial = Trial(
        cell=spec.cell,
        run=services.settings.run,
        target=ImageTarget(ref=str(image)),
        expected=expectations_of(spec, lock),
        model=services.model_of(spec.cell),
        healthy_seconds=services.matrix.healthy_seconds,
        gpu_memory=services.matrix.gpu_memory,
        **services.tests_of(spec.cell),
    )
    return Subject(image.digest, trial)


def excused(services: Services, cell: Cell) -> tuple[str, ...]:
    """The packages that the matrix leaves out of, or replaces in, such a cell, for whichever Python."""
    specs = (spec for spec in services.matrix.specs if replace(spec.cell, python=cell.python) == cell)
    return next((Lock(cell, (), spec.omit, spec.overrides).excused for spec in specs), ())
