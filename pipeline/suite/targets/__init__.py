"""What the checks run against: an image or a bare-metal environment; no check knows which.

target     what is asked of any of them
beside     the way to a server that no network leads to
container  an image, run by the engine
process    an environment on this machine
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.model import ImageTarget, Trial
from pipeline.suite.model import locate
from pipeline.suite.targets.container import ContainerTarget
from pipeline.suite.targets.process import ProcessTarget

if TYPE_CHECKING:
    from pipeline.suite.targets.target import Target


def target_of(trial: Trial) -> Target:
    """The target of the trial.

    Raises UsageError if there is no such model, EngineError if the engine fails.
    """
    model = locate(trial.model)
    if isinstance(trial.target, ImageTarget):
        return ContainerTarget(trial, trial.target.image, model)
    return ProcessTarget(trial, Path(trial.target.python), model)
