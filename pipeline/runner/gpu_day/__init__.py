"""A day with a GPU: all that only a GPU can show, of environments or images, into one folder.

Each part is signed and written when it has ended, so that a day that was cut short goes on from there.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.adapters import files, gpu, signing_keys
from pipeline.formats import dsse
from pipeline.model import PARTS, GpuDay, Outcome, Part, key_of, to_json, versions_of
from pipeline.model.errors import MachineError
from pipeline.report import gpu_day as report
from pipeline.runner.gpu_day.parts import DO
from pipeline.runner.gpu_day.tasks import planned
from pipeline.runner.trying import leased, now
from pipeline.stages import attest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.model import PartName
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.gpu_day.tasks import Task
    from pipeline.runner.services import Services
    from pipeline.runner.subjects import Subject

SUMMARY = "summary.md"
PUBLIC_KEY = "signing.pub"
_MAX_BYTES = 4 << 20
"""Bytes of a signed part."""


def spend(
    services: Services,
    reporter: ProgressReporter,
    subjects: Sequence[Subject],
    folder: Path,
    *,
    parts: Sequence[PartName] = PARTS,
    rehearse: bool = False,
) -> GpuDay:
    """Do these parts, unless they are in ``folder`` already; return them all.

    With ``rehearse``, what needs a GPU is left out on a machine that has none. Raises MachineError where
    there is none and nothing is said of a rehearsal, SigningError where nothing can be signed.
    """
    if not gpu.gpus() and not rehearse:
        raise MachineError(
            "no GPU answers here: NVML finds none",
            hint="run it where `nvidia-smi` lists one, or add --rehearse for what needs none",
        )
    key = services.key.public_key()
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / PUBLIC_KEY, signing_keys.public_pem(key))
    tasks, left_out = planned(services, subjects, parts)
    remembered = [_remembered(services, task, folder) for task in tasks]
    _announce(reporter, [task for task, part in zip(tasks, remembered, strict=True) if part is None])
    day = GpuDay(services.here, (), left_out)
    for task, known in zip(tasks, remembered, strict=True):
        part = known or _done(services, reporter, task, folder)
        day = replace(day, parts=(*day.parts, part))
        files.write(folder / SUMMARY, report.markdown(day).encode())
    return day


def _announce(reporter: ProgressReporter, tasks: Sequence[Task]) -> None:
    """Say what will be done, and about how long it takes."""
    minutes = sum(task.seconds for task in tasks) / 60
    reporter.note("gpu-day", f"{len(tasks)} parts to do, about {minutes:.0f} minutes on an H100")
    for task in tasks:
        reporter.note("gpu-day", f"{task.title}: about {task.seconds} s")


def _inputs(services: Services, task: Task) -> str:
    """The key of all that a part depends on."""
    subject, here = task.subject, services.here
    saboteurs = [to_json(saboteur) for saboteur in task.saboteurs] if task.name == "saboteurs" else []
    versions = dict(versions_of(subject.cell))
    tests = services.basis_of(subject.cell).tests if task.name == "suite" else None
    words = [task.name, str(subject.digest), here.hardware, here.driver, versions, saboteurs]
    return key_of([*words, tests] if tests else words)


def _remembered(services: Services, task: Task, folder: Path) -> Part | None:
    """The part, if it was done before, of the same inputs, found something out, and is signed by our key."""
    try:
        bundle = files.read(folder / f"{task.stem}.json", _MAX_BYTES)
        part = attest.parts.part_of(bundle, signing_keys.trusted([services.key.public_key()]))
    except (OSError, dsse.InvalidAttestationError):
        return None
    found_out = part.outcome is not Outcome.INCONCLUSIVE
    return part if found_out and part.inputs == _inputs(services, task) else None


def _done(services: Services, reporter: ProgressReporter, task: Task, folder: Path) -> Part:
    """Do a part, sign it, and write it."""
    reporter.note("gpu-day", task.title)
    with leased(task.subject.trial, lambda text: reporter.note("gpu-day", text)):
        started = time.monotonic()
        checks, facts = DO[task.name](services, reporter, task, folder)
    part = Part(
        schema=1,
        name=task.name,
        cell=task.subject.cell.id,
        digest=str(task.subject.digest),
        inputs=_inputs(services, task),
        host=services.here,
        finished=now(),
        seconds=round(time.monotonic() - started, 1),
        checks=checks,
        facts=facts,
    )
    files.write(folder / f"{task.stem}.json", attest.parts.sign(part, services.key))
    reporter.note("gpu-day", f"{task.title}: {part.outcome}, {part.seconds:.0f} s")
    return part
