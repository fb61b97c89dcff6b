"""The parts of the day: each does its work on one subject, and returns checks and measurements."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.formats.units import size
from pipeline.model import Check, Outcome, checks_of
from pipeline.runner import outside
from pipeline.runner.trying import Tried, now
from pipeline.stages import attest, verify
from pipeline.suite import large_model, serving_cost
from pipeline.suite.expect import Mismatch
from pipeline.suite.targets import target_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.model import PartName, Trial
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.gpu_day.tasks import Task
    from pipeline.runner.services import Services
    from pipeline.suite.large_model import Dimensions
    from pipeline.suite.saboteurs import Saboteur
    from pipeline.suite.serving_cost import ServingCost

Checks = tuple[Check, ...]
Facts = tuple[tuple[str, str], ...]


def run_suite(
    services: Services, reporter: ProgressReporter, task: Task, folder: Path
) -> tuple[Checks, Facts]:
    """Every check of the suite; of an environment also the record, as ``verify --python`` signs it."""
    subject, started, basis = task.subject, now(), services.basis_for_proof(task.subject.cell)
    checks = _prove(reporter, subject.trial, folder / f"{task.stem}.log")
    if not subject.is_image and all(check.outcome is not Outcome.INCONCLUSIVE for check in checks):
        record = outside.record_of(services, subject, Tried(checks, started), basis)
        bundle = attest.sign(record, services.key, predicate=attest.BARE_METAL)
        files.write(folder / f"{subject.cell.id}.record.json", bundle)
    return checks, ()


def measure_serving(
    _services: Services, _reporter: ProgressReporter, task: Task, folder: Path
) -> tuple[Checks, Facts]:
    """Start-up, speed and memory with a model of production's size, whose weights are made up."""
    started, needs_gpu = time.monotonic(), task.subject.cell.needs_gpu
    dimensions = large_model.LLAMA_8B if needs_gpu else large_model.SMALL
    log = folder.absolute() / f"{task.stem}.log"
    with tempfile.TemporaryDirectory() as temporary:
        model = Path(temporary) / "model"
        large_model.write(model, dimensions)
        trial = task.subject.trial.model_copy(update={"model": str(model)})
        target = target_of(trial)
        try:
            cost = serving_cost.measure(trial, target, log)
        except Mismatch as error:
            seconds = time.monotonic() - started
            return (_failed("serves", seconds, error.expected, error.actual),), (("model", dimensions.name),)
        finally:
            target.close()
    served = Check(name="serves", outcome=Outcome.PASSED, seconds=time.monotonic() - started)
    of_memory = _of_memory(cost) if needs_gpu else ()
    return (served, *of_memory), tuple(_measured(cost, dimensions))


def refuse_saboteurs(
    _services: Services, reporter: ProgressReporter, task: Task, folder: Path
) -> tuple[Checks, Facts]:
    """For each saboteur whether the suite refused it, by the check that is meant to notice."""
    checks = []
    for saboteur in task.saboteurs:
        reporter.note("gpu-day", f"saboteur {saboteur.name}: {saboteur.says}")
        log = folder / f"{task.stem}.{saboteur.name}.log"
        checks.append(_refused(reporter, task.subject.trial, saboteur, log))
    return tuple(checks), tuple((saboteur.name, saboteur.says) for saboteur in task.saboteurs)


DO: dict[PartName, Callable[[Services, ProgressReporter, Task, Path], tuple[Checks, Facts]]] = {
    "suite": run_suite,
    "serving": measure_serving,
    "saboteurs": refuse_saboteurs,
}


def _prove(reporter: ProgressReporter, trial: Trial, log: Path) -> Checks:
    checks, _ = verify.prove(
        trial, progress=lambda name: reporter.note(trial.cell.id, f"suite: {name}"), log=log
    )
    return checks


def _failed(name: str, seconds: float, expected: str, seen: str) -> Check:
    return Check(name=name, outcome=Outcome.FAILED, seconds=seconds, expected=expected, seen=seen)


# -- saboteurs --------------------------------------------------------------------------------------


def _refused(reporter: ProgressReporter, trial: Trial, saboteur: Saboteur, log: Path) -> Check:
    """Passed where the check that is meant to notice does; trouble of the machine notices nothing."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        env = dict(saboteur.env)
        if saboteur.code:
            (Path(temporary) / "sitecustomize.py").write_text(saboteur.code)
            env["PYTHONPATH"] = temporary
        others = set(checks_of(trial.cell)) - {"serve", saboteur.caught_by}
        changes = {
            "env": env,
            "serve": (*trial.serve, *saboteur.serve),
            "tests": None,
            "prompts": (),
            "left_out": dict.fromkeys(others, f"{saboteur.name} is for {saboteur.caught_by}"),
        }
        checks = _prove(reporter, trial.model_copy(update=changes), log)
    by = next(check for check in checks if check.name == saboteur.caught_by)
    outcome = Outcome.FAILED if by.outcome is Outcome.PASSED else by.outcome
    return Check(
        name=saboteur.name,
        outcome=Outcome.PASSED if by.outcome in saboteur.outcomes else outcome,
        seconds=time.monotonic() - started,
        expected=f"{by.name} {' or '.join(saboteur.outcomes)}",
        seen=f"{by.name} {by.outcome}: expected {by.expected}; saw {by.seen}",
    )


# -- what serving costs -----------------------------------------------------------------------------


def _of_memory(cost: ServingCost) -> Iterator[Check]:
    """A server that computed elsewhere takes none of the GPU's; one that leaks keeps some."""
    taken = f"the GPU's memory in use under load, beside {size(cost.bytes_before)} before"
    yield _judged("takes_memory", taken, size(cost.bytes_loaded), holds=cost.is_on_gpu)
    given = f"at most the {size(cost.bytes_before)} in use before the first start"
    yield _judged("gives_back", given, size(cost.bytes_after), holds=cost.is_given_back)


def _judged(name: str, expected: str, seen: str, *, holds: bool) -> Check:
    outcome = Outcome.PASSED if holds else Outcome.FAILED
    return Check(name=name, outcome=outcome, seconds=0, expected=expected, seen=seen)


def _measured(cost: ServingCost, dimensions: Dimensions) -> Iterator[tuple[str, str]]:
    yield "model", f"{dimensions.name}, weights made up"
    yield from cost.choices.items()
    yield "start, caches empty", f"{cost.cold_seconds:.1f} s"
    yield "start, with what the first start cached", f"{cost.warm_seconds:.1f} s"
    yield "tokens per second, one request", f"{cost.alone_per_second:.0f}"
    yield f"tokens per second, {serving_cost.TOGETHER} requests together", f"{cost.together_per_second:.0f}"
    if cost.bytes_loaded:
        yield "GPU memory in use before the first start", size(cost.bytes_before)
        yield "GPU memory in use under load", size(cost.bytes_loaded)
        yield "GPU memory in use after the end", size(cost.bytes_after)
