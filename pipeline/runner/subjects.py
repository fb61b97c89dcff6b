"""What is tried outside of the path from a matrix to a tag: an environment, or an image by digest."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.model import PROJECT, ImageTarget, Lock, PythonTarget, Trial
from pipeline.model.errors import UsageError
from pipeline.runner.expectations import expectations_of
from pipeline.stages import lock as locks
from pipeline.stages import verify

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Cell, Digest, ImageRef
    from pipeline.runner.services import Services


@dataclass(frozen=True)
class Subject:
    """Something to try: its digest, and the trial that the suite is given."""

    digest: Digest
    trial: Trial

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
    environment = verify.environment(python)
    trial = Trial(
        cell=environment.cell,
        run=services.settings.run,
        target=PythonTarget(python=str(environment.python)),
        expected=replace(environment.expected, excused=excused(services, environment.cell)),
        model=services.model_of(environment.cell),
        healthy_seconds=services.matrix.healthy_seconds,
        gpu_memory=services.matrix.gpu_memory,
    )
    return Subject(environment.subject, trial)


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
    )
    return Subject(image.digest, trial)


def excused(services: Services, cell: Cell) -> tuple[str, ...]:
    """The packages that the matrix leaves out of, or replaces in, such a cell, for whichever Python."""
    specs = (spec for spec in services.matrix.specs if replace(spec.cell, python=cell.python) == cell)
    return next((Lock(cell, (), spec.omit, spec.overrides).excused for spec in specs), ())
