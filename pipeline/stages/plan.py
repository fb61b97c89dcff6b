"""What is left to do: a cell's state and next steps from what was observed, and rows for GitHub's matrix.

Pure: it looks at values only, so the plan that a test sees is the plan that a machine gets.
"""

from __future__ import annotations

from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from pipeline.formats.units import size
from pipeline.model import (
    Cell,
    Finding,
    Goal,
    Level,
    Outcome,
    Reason,
    ReasonCode,
    Result,
    Stage,
    State,
    Status,
    Verdict,
    rehearsal_versions_of,
)
from pipeline.model.platforms import ARM64

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.model import Budget, CellState, Estimate, Pruned, Record, Rehearsal

MAX_ROWS = 256
"""Jobs that GitHub makes of one ``strategy.matrix``."""

_LEFT = {
    State.UNLOCKED: tuple(Stage),
    State.UNBUILT: tuple(Stage)[1:],
    State.UNPROVEN: (Stage.REHEARSE, Stage.VERIFY, Stage.PUBLISH),
    State.FAILED: (Stage.REHEARSE, Stage.VERIFY, Stage.PUBLISH),
    State.INCONCLUSIVE: (Stage.REHEARSE, Stage.VERIFY, Stage.PUBLISH),
    State.PROVEN: (Stage.PUBLISH,),
    State.PUBLISHED: (),
}

_BUILDING = (Stage.LOCK, Stage.FETCH, Stage.BASE, Stage.BUILD, Stage.CERTIFY, Stage.REHEARSE)
_REACH = {
    Goal.BUILD: _BUILDING,
    Goal.VERIFY: (*_BUILDING, Stage.VERIFY),
    Goal.PUBLISH: (Stage.PUBLISH,),
    Goal.REPAIR: (Stage.PUBLISH,),
}
"""The stages that each goal may take; one that only reads takes none."""

_FINAL = {ReasonCode.CERTIFICATE_REFUSED, ReasonCode.YANKED, ReasonCode.SUPPORT_ENDED}
"""What no further stage changes."""

_WITHOUT_PROOF = (Stage.CERTIFY, Stage.REHEARSE)
"""What ``verify`` may take of a cell that this machine cannot prove, if its image is there."""


def stages(state: CellState, goal: Goal, *, fresh: bool = False) -> tuple[Stage, ...]:
    """The stages that are left on the way to a goal, in order; none where it is done, or cannot go on.

    With ``fresh`` a proven image is proven again, and a rehearsed one rehearsed. A cell that this machine
    cannot prove is not built here by ``verify``: an image that is there is rehearsed. What its certificate
    or a rehearsal refuses takes no time of a GPU.
    """
    if state.is_stopped:
        return ()
    planned, within = steps(state, fresh=fresh), _REACH.get(goal, ())
    if goal is Goal.VERIFY and fresh and _is_proven(state):
        planned = (Stage.REHEARSE,) if state.cannot_prove and state.can_rehearse else (Stage.VERIFY,)
    if goal is Goal.VERIFY and state.cannot_prove:
        within = _WITHOUT_PROOF if state.image else ()
    done = {stage for stage, _ in state.done}
    return tuple(stage for stage in planned if stage in within and stage not in done)


def status(state: CellState, verdict: Verdict | None = None, estimate: Estimate | None = None) -> Status:
    """The row of one cell: its state, the steps that are left, and what stands against it.

    ``verdict`` is compatibility's; ``estimate`` what a build would take.
    """
    left = steps(state)
    return Status(
        cell=state.cell,
        state=State.INCONCLUSIVE if state.is_inconclusive else state_of(state),
        reasons=state.refusals if state.is_inconclusive else (*_reasons(state), *state.refusals),
        steps=left,
        pending=pending(state),
        image=state.image,
        record=_record(state),
        rehearsal=_rehearsal(state),
        tags=state.carried,
        seconds=state.done,
        log_tail=state.log_tail,
        verdict=verdict,
        estimate=estimate if Stage.BUILD in left else None,
        replaced=state.replaced,
    )


def pending(state: CellState) -> str:
    """Why the cell has to be verified elsewhere, if so."""
    return state.cannot_prove if Stage.VERIFY in steps(state) else ""


def over_budget(cell: Cell, budget: Budget | None, estimate: Estimate) -> tuple[Finding, ...]:
    """What is larger, by the sizes of its wheels, than the matrix wants it to be: a warning for each."""
    kinds = (
        ("compressed", budget and budget.compressed, estimate.compressed),
        ("installed", budget and budget.installed, estimate.installed),
    )
    return tuple(
        Finding(
            "budget",
            Level.WARN,
            f"{cell.id}: its wheels are {size(actual)} {kind}, its budget is {size(budgeted)}",
            (f"locks/{cell.id}.txt",),
            "leave packages out, or raise it under `budgets:`",
        )
        for kind, budgeted, actual in kinds
        if budgeted and actual > budgeted
    )


def left_out(pruned: Pruned) -> Status:
    """The row of a combination that becomes no cell, with every reason."""
    reasons = [Reason(ReasonCode(finding.rule), finding.text, finding.hint) for finding in pruned.findings]
    if pruned.excluded:
        reasons.append(
            Reason(ReasonCode.EXCLUDED, pruned.excluded, "remove the exclude that names it from matrix.yaml")
        )
    return Status(pruned.cell, State.IMPOSSIBLE, reasons=tuple(reasons), verdict=Verdict(pruned.findings))


def state_of(state: CellState) -> State:
    """How far a cell has come; tags alone do not make it published."""
    if state.lock is None:
        return State.UNLOCKED
    if state.image is None:
        return State.UNBUILT
    if state.decision is not None and state.decision.allowed:
        expected = {state.image.immutable_tag, *state.channels}
        return State.PUBLISHED if expected <= set(state.carried) and _is_whole(state) else State.PROVEN
    record = _record(state)
    if is_refused(state):
        return State.FAILED
    if record is None or record.result is not Result.FAILED:
        return State.UNPROVEN
    return State.FAILED if record.named(Outcome.FAILED) else State.INCONCLUSIVE


def steps(state: CellState, *, fresh: bool = False) -> tuple[Stage, ...]:
    """What is left to do. An image that is there may lack its certificate, or its record, or both.

    What a machine cannot prove it rehearses, once; with ``fresh`` again, and also what a rehearsal refused.
    """
    return tuple(
        stage for stage in _left(state) if stage is not Stage.REHEARSE or _is_to_rehearse(state, fresh=fresh)
    )


def _left(state: CellState) -> tuple[Stage, ...]:
    """What is left to do on some machine, a rehearsal included wherever one may come before."""
    progress = state_of(state)
    if progress is State.UNLOCKED or progress is State.UNBUILT:
        return tuple(stage for stage in _LEFT[progress] if stage is not Stage.BASE or state.base is None)
    if state.decision is None or progress not in {State.UNPROVEN, State.FAILED, State.INCONCLUSIVE}:
        return _LEFT[progress]
    codes = _codes(state)
    if codes & _FINAL or codes == {ReasonCode.MOVED_BACK}:
        return ()
    if ReasonCode.REHEARSAL_FAILED in codes:
        return (Stage.REHEARSE,)
    certify = (Stage.CERTIFY,) if ReasonCode.NO_CERTIFICATE in codes else ()
    prove = (Stage.REHEARSE, Stage.VERIFY) if codes != {ReasonCode.NO_CERTIFICATE} else ()
    return (*certify, *prove, Stage.PUBLISH)


def _is_to_rehearse(state: CellState, *, fresh: bool) -> bool:
    """Whether this machine has to rehearse the image: it cannot prove it, or is asked to after a failure."""
    if not state.can_rehearse:
        return False
    is_asked = fresh and ReasonCode.REHEARSAL_FAILED in _codes(state)
    return is_asked or (bool(state.cannot_prove) and (fresh or not _is_rehearsed(state)))


def _is_rehearsed(state: CellState) -> bool:
    """Whether the image was rehearsed by the checks of today, whatever they saw."""
    rehearsal = _rehearsal(state)
    return rehearsal is not None and rehearsal.versions == rehearsal_versions_of(state.cell.vllm)


def is_refused(state: CellState) -> bool:
    """Whether the certificate, or a rehearsal, speaks against the image, or whoever yanked it."""
    against = {ReasonCode.CERTIFICATE_REFUSED, ReasonCode.REHEARSAL_FAILED, ReasonCode.YANKED}
    return bool(_codes(state) & against)


def _is_proven(state: CellState) -> bool:
    """Whether the image is proven, a tag that was moved back from it aside."""
    return state_of(state) in {State.PROVEN, State.PUBLISHED} or _codes(state) == {ReasonCode.MOVED_BACK}


def _codes(state: CellState) -> set[ReasonCode]:
    return {reason.code for reason in state.decision.reasons} if state.decision else set()


def _rehearsal(state: CellState) -> Rehearsal | None:
    """The newest rehearsal of the image in staging."""
    rehearsed = state.decision.rehearsed if state.decision else None
    return rehearsed.rehearsal if rehearsed else None


def _record(state: CellState) -> Record | None:
    """The record that the gate accepted; else the newest of the very image in staging."""
    if state.decision is not None and state.decision.allowed and state.decision.proof is not None:
        return state.decision.proof.record
    if state.image is None:
        return None
    return state.attestations.newest_record_of(state.image.ref.digest)


def _is_whole(state: CellState) -> bool:
    """Whether the destination has the image, signed, and all that was signed of it, and the gate agrees."""
    stored = {attestation.manifest for attestation in state.published.statements}
    brought = stored >= {attestation.manifest for attestation in state.attestations.statements}
    listed = not state.published.unlisted
    decision = state.published_decision
    there = state.is_complete and state.is_signed and brought and listed
    return decision is not None and decision.allowed and there


def _reasons(state: CellState) -> tuple[Reason, ...]:
    """What the gate says against the image, what is rejected beside it, and what is wrong with its tags."""
    against: tuple[Reason, ...] = ()
    if state.decision is not None and not state.decision.allowed:
        against = (*state.decision.reasons, *state.decision.rejected)
    return (*against, *_tag_reasons(state))


def _tag_reasons(state: CellState) -> Iterator[Reason]:
    """What is wrong with the tags in the destination, and how each is mended."""
    if state.image is None:
        return
    cell, image = state.cell, state.image
    named = dict(state.tags).get(image.immutable_tag, image.ref.digest)
    if named != image.ref.digest:
        text = f"{cell.id}: the immutable tag {image.immutable_tag} names {named}, not {image.ref.digest}"
        hint = f"python -m pipeline repair {cell.id} moves it back, unless what it names is proven too"
        yield Reason(ReasonCode.TAG_MOVED, text, hint)
    decision = state.published_decision
    if state.keeps_tags or not state.carried or (decision is not None and decision.allowed):
        return
    tags = ", ".join(state.carried)
    why = (
        "; ".join(reason.text for reason in decision.reasons) if decision else "nothing is known of it there"
    )
    if state.decision is not None and state.decision.allowed:
        text = f"{cell.id}: tagged {tags}, without evidence beside {image.ref.digest} that allows it: {why}"
        yield Reason(
            ReasonCode.EVIDENCE_LACKING, text, f"python -m pipeline publish {cell.id} brings it there again"
        )
    else:
        text = f"{cell.id}: still tagged {tags}, though {image.ref.digest} may carry no tag: {why}"
        yield Reason(ReasonCode.STILL_TAGGED, text, f"python -m pipeline repair {cell.id} withdraws the tags")


# -- rows for GitHub --------------------------------------------------------------------------------


Jobs = Literal["all", "build", "prove"]
"""Which jobs of a workflow: those of every cell on a machine that can prove it, or of one both parts.

``build``: every cell, on a machine without a GPU. ``prove``: what is left to a GPU, of images that are good
as far as a machine without one can say.
"""


def github(statuses: Iterable[Status], jobs: Jobs = "all") -> dict[str, Any]:
    """An object for ``strategy.matrix``: one row for each cell that is possible, also one with nothing to do.

    (A job that finds nothing to do ends in seconds, and a cell that is always there can be a
    required check.) A row has ``name``, ``cells`` (ids with blanks between them) and ``runner``, a
    label or a list of labels. Beyond 256 cells a row holds several that share layers, so that what
    they share is fetched and built once, on one machine; a row never mixes kinds of runners.
    """
    possible = [status for status in statuses if status.state is not State.IMPOSSIBLE]
    cells = [status.cell for status in possible if jobs != "prove" or _is_ready(status)]
    return {"include": [_row(group, gpu=jobs != "build") for group in _grouped(cells)]}


def _is_ready(status: Status) -> bool:
    """Whether the cell needs a GPU, and its image is worth one: it was rehearsed, or proven already."""
    has_passed = status.rehearsal is not None and status.rehearsal.has_passed
    is_rehearsed = has_passed and Stage.VERIFY in status.steps and Stage.REHEARSE not in status.steps
    return status.cell.needs_gpu and (is_rehearsed or status.state is State.PROVEN)


def _grouped(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells in at most 256 groups, as small and as close as that allows."""
    if len(cells) <= MAX_ROWS:
        return [[cell] for cell in cells]
    families: list[list[Cell]] = []
    for common in _SHARING:
        groups: dict[tuple[str, ...], list[Cell]] = {}
        for cell in cells:
            groups.setdefault(common(cell), []).append(cell)
        families = list(groups.values())
        if len(families) <= MAX_ROWS:
            break
    most = next(n for n in count(1) if sum(ceil(len(family) / n) for family in families) <= MAX_ROWS)
    return [family[start : start + most] for family in families for start in range(0, len(family), most)]


def _runner(cell: Cell, *, gpu: bool = True) -> tuple[str, ...]:
    arm = cell.platform == ARM64
    if cell.needs_gpu and gpu:
        return ("self-hosted", "gpu", "arm64") if arm else ("self-hosted", "gpu")
    return ("ubuntu-24.04-arm",) if arm else ("ubuntu-latest",)


_SHARING: tuple[Callable[[Cell], tuple[str, ...]], ...] = (
    lambda cell: (cell.platform, cell.python, cell.cuda, cell.torch),
    lambda cell: (cell.platform, cell.python, cell.cuda),
    _runner,
)
"""What cells of one row have in common, the closest first: all but vLLM's layers, CUDA's, the machine."""


def _row(group: Sequence[Cell], *, gpu: bool) -> dict[str, Any]:
    runner = _runner(group[0], gpu=gpu)
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return {
        "name": f"{group[0].id}{more}",
        "cells": " ".join(cell.id for cell in group),
        "runner": runner[0] if len(runner) == 1 else list(runner),
    }
