"""What is left to do: a cell's state and next steps from what was observed, and rows for GitHub's matrix.

Pure: it looks at values only, so the plan that a test sees is the plan that a machine gets.
"""

from __future__ import annotations

from itertools import count
from math import ceil
from typing import TYPE_CHECKING, Any

from pipeline.formats.units import size
from pipeline.model import (
    Cell,
    Finding,
    Level,
    Outcome,
    Reason,
    ReasonCode,
    Result,
    Stage,
    State,
    Status,
    Verdict,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.model import Budget, Decision, Estimate, Observed, Pruned, Record

MOST_ROWS = 256
"""Jobs that GitHub makes of one ``strategy.matrix``."""

_LEFT = {
    State.UNLOCKED: tuple(Stage),
    State.UNBUILT: tuple(Stage)[1:],
    State.UNPROVEN: (Stage.VERIFY, Stage.PUBLISH),
    State.FAILED: (Stage.VERIFY, Stage.PUBLISH),
    State.INCONCLUSIVE: (Stage.VERIFY, Stage.PUBLISH),
    State.PROVEN: (Stage.PUBLISH,),
    State.PUBLISHED: (),
}


def status(
    observed: Observed,
    decision: Decision | None,
    *,
    can_prove: bool,
    why_not: str,
    channels: tuple[str, ...],
    there: Decision | None = None,
    keeps: bool = False,
    verdict: Verdict | None = None,
    estimate: Estimate | None = None,
) -> Status:
    """The state of one cell, and the steps that are left.

    ``decision`` is the gate's on the image in staging; None where it was not asked, which proves
    nothing. ``can_prove`` says whether this machine could verify the cell; if it cannot, and the
    cell still has to be verified, ``why_not`` ("needs a GPU") becomes its ``pending``.
    ``channels`` are the tags that ought to carry the cell's image beside its immutable one. ``there`` is the
    gate's decision on the same digest by what lies in the destination: tags alone do not make it published.
    ``keeps`` says whether by that the digest may keep the tags that it has, whatever today's inputs are.
    ``verdict`` is compatibility's; ``estimate`` what a build would take.
    """
    record = _record(observed, decision)
    state = _state(observed, decision, record, channels, there)
    steps = _steps(state, decision)
    return Status(
        cell=observed.spec.cell,
        state=state,
        reasons=(*_against(decision), *_tag_reasons(observed, decision, there, keeps=keeps)),
        steps=steps,
        pending=why_not if Stage.VERIFY in steps and not can_prove else "",
        image=observed.image,
        record=record,
        tags=observed.carried,
        verdict=verdict,
        estimate=estimate if Stage.BUILD in steps else None,
    )


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
            f"{cell.id}: its wheels are {size(seen)} {kind}, its budget is {size(most)}",
            (f"locks/{cell.id}.txt",),
            "leave packages out, or raise it under `budgets:`",
        )
        for kind, most, seen in kinds
        if most and seen > most
    )


def left_out(one: Pruned) -> Status:
    """The row of a combination that becomes no cell, with every reason."""
    reasons = [Reason(ReasonCode(found.rule), found.text, found.hint) for found in one.findings]
    if one.excluded:
        reasons.append(
            Reason(ReasonCode.EXCLUDED, one.excluded, "remove the exclude that names it from matrix.yaml")
        )
    return Status(one.cell, State.IMPOSSIBLE, reasons=tuple(reasons), verdict=Verdict(one.findings))


def _state(
    observed: Observed,
    decision: Decision | None,
    record: Record | None,
    channels: tuple[str, ...],
    there: Decision | None,
) -> State:
    if observed.lock is None:
        return State.UNLOCKED
    if observed.image is None:
        return State.UNBUILT
    if decision is not None and decision.allowed:
        wanted = {observed.image.immutable_tag, *channels}
        is_carried = wanted <= set(observed.carried) and _is_whole(observed, there)
        return State.PUBLISHED if is_carried else State.PROVEN
    if decision is not None and any(one.code == ReasonCode.CERTIFICATE_REFUSED for one in decision.reasons):
        return State.FAILED
    if record is None or record.result is not Result.FAILED:
        return State.UNPROVEN
    return State.FAILED if record.named(Outcome.FAILED) else State.INCONCLUSIVE


def _steps(state: State, decision: Decision | None) -> tuple[Stage, ...]:
    """What is left to do. An image that is there may lack its certificate, or its record, or both."""
    if decision is None or state not in {State.UNPROVEN, State.FAILED, State.INCONCLUSIVE}:
        return _LEFT[state]
    codes = {reason.code for reason in decision.reasons}
    certify = (Stage.CERTIFY,) if ReasonCode.NO_CERTIFICATE in codes else ()
    verify = (Stage.VERIFY,) if codes != {ReasonCode.NO_CERTIFICATE} else ()
    return (*certify, *verify, Stage.PUBLISH)


def _record(observed: Observed, decision: Decision | None) -> Record | None:
    """The record that the gate accepted; else the newest one of the very image in staging."""
    if decision is not None and decision.allowed and decision.proof is not None:
        return decision.proof.record
    if observed.image is None:
        return None
    digest = str(observed.image.ref.digest)
    records = [proof.record for proof in observed.beside.proofs if proof.record.digest == digest]
    return max(records, key=lambda record: (record.finished, record.attempt), default=None)


def _is_whole(observed: Observed, there: Decision | None) -> bool:
    """Whether the destination has the image and all that was signed of it, and the gate agrees."""
    stored = {one.manifest for one in observed.there.statements}
    brought = stored >= {one.manifest for one in observed.beside.statements}
    listed = not observed.there.unlisted
    return there is not None and there.allowed and observed.whole and brought and listed


def _against(decision: Decision | None) -> tuple[Reason, ...]:
    """What the gate says against an image that it does not allow, and what lies beside it for nothing."""
    if decision is None or decision.allowed:
        return ()
    return (*decision.reasons, *decision.rejected)


def _tag_reasons(
    observed: Observed, decision: Decision | None, there: Decision | None, *, keeps: bool
) -> Iterator[Reason]:
    """What is wrong with the tags in the destination, and how each is mended."""
    if observed.image is None:
        return
    cell, image = observed.spec.cell, observed.image
    named = dict(observed.tags).get(image.immutable_tag, image.ref.digest)
    if named != image.ref.digest:
        text = f"{cell.id}: the immutable tag {image.immutable_tag} names {named}, not {image.ref.digest}"
        hint = f"python -m pipeline repair {cell.id} moves it back, unless what it names is proven too"
        yield Reason(ReasonCode.TAG_MOVED, text, hint)
    if keeps or not observed.carried or (there is not None and there.allowed):
        return
    tags = ", ".join(observed.carried)
    why = "; ".join(reason.text for reason in there.reasons) if there else "nothing is known of it there"
    if decision is not None and decision.allowed:
        text = f"{cell.id}: tagged {tags}, without evidence beside {image.ref.digest} that allows it: {why}"
        yield Reason(
            ReasonCode.EVIDENCE_LACKING, text, f"python -m pipeline publish {cell.id} brings it there again"
        )
    else:
        text = f"{cell.id}: still tagged {tags}, though {image.ref.digest} may carry no tag: {why}"
        yield Reason(ReasonCode.STILL_TAGGED, text, f"python -m pipeline repair {cell.id} withdraws the tags")


# -- rows for GitHub --------------------------------------------------------------------------------


def github(statuses: Iterable[Status]) -> dict[str, Any]:
    """An object for ``strategy.matrix``: one row for each cell that is possible, also one with nothing to do.

    (A job that finds nothing to do ends in seconds, and a cell that is always there can be a
    required check.) A row has ``name``, ``cells`` (ids with blanks between them) and ``runner``, a
    label or a list of labels. Beyond 256 cells a row holds several that share layers, so that what
    they share is fetched and built once, on one machine; a row never mixes kinds of runners.
    """
    cells = [one.cell for one in statuses if one.state is not State.IMPOSSIBLE]
    return {"include": [_row(group) for group in _grouped(cells)]}


def _grouped(cells: Sequence[Cell]) -> list[list[Cell]]:
    """The cells in at most 256 groups, as small and as close as that allows."""
    if len(cells) <= MOST_ROWS:
        return [[cell] for cell in cells]
    families: list[list[Cell]] = []
    for common in _SHARING:
        found: dict[tuple[str, ...], list[Cell]] = {}
        for cell in cells:
            found.setdefault(common(cell), []).append(cell)
        families = list(found.values())
        if len(families) <= MOST_ROWS:
            break
    most = next(n for n in count(1) if sum(ceil(len(family) / n) for family in families) <= MOST_ROWS)
    return [family[start : start + most] for family in families for start in range(0, len(family), most)]


def _runner(cell: Cell) -> tuple[str, ...]:
    arm = cell.platform == "linux/arm64"
    if cell.needs_gpu:
        return ("self-hosted", "gpu", "arm64") if arm else ("self-hosted", "gpu")
    return ("ubuntu-24.04-arm",) if arm else ("ubuntu-latest",)


_SHARING: tuple[Callable[[Cell], tuple[str, ...]], ...] = (
    lambda cell: (cell.platform, cell.python, cell.cuda, cell.torch),
    lambda cell: (cell.platform, cell.python, cell.cuda),
    _runner,
)
"""What cells of one row have in common, the closest first: all but vLLM's layers, CUDA's, the machine."""


def _row(group: Sequence[Cell]) -> dict[str, Any]:
    runner = _runner(group[0])
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return {
        "name": f"{group[0].id}{more}",
        "cells": " ".join(cell.id for cell in group),
        "runner": runner[0] if len(runner) == 1 else list(runner),
    }
