"""What is to be done on the day, of which subject, and about how long it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.model import PARTS
from pipeline.suite.saboteurs import saboteurs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.model import PartName
    from pipeline.runner.services import Services
    from pipeline.runner.subjects import Subject
    from pipeline.suite.saboteurs import Saboteur

_SUITE_SECONDS = {True: 240, False: 35}
"""Of one run of the suite with a server, and without, on an H100 with 16 cores."""
_SERVING_SECONDS = 300


@dataclass(frozen=True)
class Task:
    """A part that is to be done of one subject; ``saboteurs`` are those that the subject can be given."""

    name: PartName
    subject: Subject
    saboteurs: tuple[Saboteur, ...]

    @property
    def stem(self) -> str:
        """What its files are called."""
        return f"{self.subject.cell.id}.{self.name}"

    @property
    def title(self) -> str:
        """How it is spoken of."""
        return f"{self.name} of {self.subject.cell.id}"

    @property
    def seconds(self) -> int:
        """About how long it takes."""
        suite = _SUITE_SECONDS[bool(self.subject.cell.vllm)]
        return {"suite": suite, "serving": _SERVING_SECONDS, "saboteurs": suite * len(self.saboteurs)}[
            self.name
        ]


def planned(
    services: Services, subjects: Sequence[Subject], parts: Sequence[PartName]
) -> tuple[list[Task], tuple[tuple[str, str], ...]]:
    """What is to be done, and the titles of what cannot be done here, each with the reason."""
    tasks, left_out = [], []
    for name in sorted(parts, key=PARTS.index):
        for subject in subjects:
            saboteurs = tuple(saboteurs_of(subject.cell, takes_code=not subject.is_image))
            task = Task(name, subject, saboteurs)
            if reason := services.why_not(subject.cell) or _why_not(task):
                left_out.append((task.title, reason))
            else:
                tasks.append(task)
    return tasks, tuple(left_out)


def _why_not(task: Task) -> str:
    """Why the subject has no such part, or nothing."""
    if task.name == "serving" and not task.subject.cell.vllm:
        return "it has no server"
    if task.name == "saboteurs" and not task.saboteurs:
        return "none can be made of it"
    return ""
