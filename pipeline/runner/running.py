"""The one place that joins the stages: it takes those that are left for a goal, one after the other.

    state = observe(services, spec)
    for each stage that the plan has left: state = STEPS[stage](services, state, progress)

A cell's trouble is its own: where one cannot be worked on, the others go on, and the run ends with
the exit code of the worst.
"""

from __future__ import annotations

import shlex
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.model import CellState, Goal, Reason, ReasonCode, Stage, State, Status, Verdict
from pipeline.model.errors import EngineError, TagproofError, UsageError
from pipeline.runner import (
    comparing,
    gatekeeping,
    outside,
    releasing,
    remembering,
    repairing,
    retaining,
    retracting,
)
from pipeline.runner.observing import observe
from pipeline.runner.steps import STEPS, Progress, lock_of
from pipeline.stages import build, fetch, plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.model import (
        Cell,
        Decision,
        Difference,
        Estimate,
        History,
        ImageRef,
        Lock,
        Retention,
        Retraction,
        Spec,
    )
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.services import Services
    from pipeline.stages.pinned_model import PinnedModel

_WRITING = {Goal.BUILD, Goal.VERIFY, Goal.PUBLISH, Goal.REPAIR}
"""The goals that write to the registry."""

_PINNING = {Goal.BUILD, Goal.VERIFY}
"""The goals that lock what is not locked, the model that images are proven with too."""


class Runner:
    """The stages, joined, for one matrix on this machine."""

    def __init__(self, services: Services, reporter: ProgressReporter) -> None:
        self.services = services
        self.reporter = reporter

    def run(self, goal: Goal, specs: Sequence[Spec]) -> tuple[Status, ...]:
        """Bring each cell as far as the goal; the trouble of one becomes its status.

        Raises UsageError for what the user got wrong.
        """
        return tuple(self._guarded(goal, spec) for spec in specs)

    def release(self, specs: Sequence[Spec]) -> tuple[Status, ...]:
        """Give all of these cells their tags, or none of them."""
        self.services.ensure_local_registry()
        return tuple(
            replace(plan.status(state, *self._forecast(state)), again=self._again(Goal.PUBLISH, state.cell))
            for state in releasing.release(self.services, specs, self.reporter)
        )

    def bring(self, goal: Goal, spec: Spec) -> Status:
        """Bring one cell as far as the goal, doing only what is left to do.

        With ``--fresh`` an image is built, or proven, although there is one. Raises TagproofError where that
        cannot be done.
        """
        services, fresh = self.services, self.services.settings.fresh
        if goal in _WRITING:
            services.ensure_local_registry()
        if goal in _PINNING and services.ensure_pinned_model(spec.cell):
            self.reporter.note(spec.cell.id, "the model of `verify: model:` is pinned now: commit locks/")
        left = self._repair(spec) if goal is Goal.REPAIR else ()
        state = observe(services, spec, fresh=fresh and goal is Goal.BUILD)
        self._require_tools(spec.cell, plan.stages(state, goal, fresh=fresh))
        while stages := plan.stages(state, goal, fresh=fresh):
            state = self._take(stages[0], state)
        status = plan.status(state, *self._forecast(state))
        again = self._again(goal, spec.cell) if state.done or state.refusals else ""
        return replace(status, reasons=(*status.reasons, *left), again=again)

    def lock(self, spec: Spec) -> Lock:
        """Resolve and write a cell's lock, whatever is in its place; the registry is not asked.

        Raises UsageError or ResolveError where that cannot be done.
        """
        return lock_of(self._take(Stage.LOCK, CellState(spec)))

    def pin_model(self, specs: Sequence[Spec]) -> PinnedModel | None:
        """Pin the model that the matrix names, if any of these cells is tried with it.

        Raises UsageError where its files are not here, and it was not pinned before.
        """
        return self.services.pin_model() if any(spec.cell.vllm for spec in specs) else None

    def try_python(self, python: Path) -> Status:
        """Run the suite on a bare-metal environment."""
        return outside.try_python(self.services, self.reporter, python)

    def try_image(self, reference: str) -> Status:
        """Run the suite on any image."""
        return outside.try_image(self.services, self.reporter, reference)

    def judge(self, ref: ImageRef) -> Decision:
        """Whether an image may carry a tag of the cell that its label names."""
        return gatekeeping.judge(self.services, ref)

    def yank(self, reference: str, reason: str, progress: Callable[[str], None]) -> Retraction:
        """Have no gate allow a digest again."""
        return retracting.yank(self.services, reference, reason, progress)

    def roll_back(self, tag: str, to: str | None, reason: str, progress: Callable[[str], None]) -> Retraction:
        """Move a tag back to an earlier image."""
        return retracting.roll_back(self.services, tag, to, reason, progress)

    def compare(self, before: str, after: str) -> Difference:
        """What changed from one image of the destination to another."""
        return comparing.compare(self.services, before, after)

    def history(self, tag: str) -> History:
        """What a tag named, and why it moved."""
        return remembering.history(self.services, tag)

    def prune(self, progress: Callable[[str], None], *, removes: bool) -> Retention:
        """Say what of staging nobody needs, and remove it if asked to."""
        return retaining.prune(self.services, progress, removes=removes)

    def clean(self, ref: ImageRef, progress: Callable[[str], None]) -> None:
        """Have what is signed beside any image readable again."""
        repairing.clean(self.services, ref, progress)

    def end(self) -> None:
        """Leave nothing behind: remove the containers of this run, if an engine was used at all.

        Where the engine has died meanwhile, the next run removes them.
        """
        if self.services.has_used_engine:
            with suppress(EngineError):
                self.services.engine.reap(self.services.settings.run)

    def _guarded(self, goal: Goal, spec: Spec) -> Status:
        try:
            return self.bring(goal, spec)
        except UsageError:
            raise
        except TagproofError as error:
            reason = Reason(ReasonCode.MACHINE, error.what, error.hint)
            again = self._again(goal, spec.cell)
            return Status(spec.cell, State.INCONCLUSIVE, reasons=(reason,), again=again)

    def _require_tools(self, cell: Cell, stages: tuple[Stage, ...]) -> None:
        """What cannot sign, or cannot build, stops the work before any of it."""
        if {Stage.BUILD, Stage.CERTIFY, Stage.REHEARSE, Stage.VERIFY} & {*stages}:
            _ = self.services.signing_key
        if {Stage.BASE, Stage.BUILD} & {*stages}:
            _ = self.services.builder
            self.services.refuse_foreign(cell, makes_base=Stage.BASE in stages)

    def _take(self, stage: Stage, state: CellState) -> CellState:
        with self.reporter.timed(state.cell.id, stage) as seconds:
            state = STEPS[stage](self.services, state, Progress(self.reporter, state.cell, stage))
        return replace(state, done=(*state.done, (stage, seconds())))

    def _repair(self, spec: Spec) -> tuple[Reason, ...]:
        with self.reporter.timed(spec.cell.id, Goal.REPAIR):
            progress = Progress(self.reporter, spec.cell, Goal.REPAIR)
            return repairing.repair(self.services, spec, progress)

    def _forecast(self, state: CellState) -> tuple[Verdict, Estimate | None]:
        """What the rules of compatibility say of a cell, and what a build of it would take."""
        spec = state.spec
        verdict = compat.judge(spec.cell, compat.conditions_of(spec))
        if state.lock is None:
            return verdict, None
        estimate = build.estimate(state.lock, fetch.bytes_missing(state.lock.pins, self.services.cache))
        return Verdict((*verdict.findings, *plan.over_budget(spec.cell, spec.budget, estimate))), estimate

    def _again(self, goal: Goal, cell: Cell) -> str:
        """The command that does the same for this cell alone."""
        return shlex.join(["python", "-m", "pipeline", goal, cell.id, *self.services.settings.given])
