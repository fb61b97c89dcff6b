"""What is left to do: a cell's state and next steps from what was observed, and rows for GitHub's matrix.

Pure: it looks at values only, so the plan that a test sees is the plan that a machine gets.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from pipeline.nouns import Outcome, Result, Stage, State, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.nouns import Cell, Decision, Observed, Record

MOST_ROWS = 256
"""Jobs that GitHub makes of one ``strategy.matrix``."""

_LEFT = {
    State.UNLOCKED: tuple(Stage),
    State.UNBUILT: (Stage.FETCH, Stage.BASE, Stage.BUILD, Stage.VERIFY, Stage.PUBLISH),
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
) -> Status:
    """The state of one cell, and the steps that are left.

    ``decision`` is the gate's on the image in staging; None where it was not asked, which proves
    nothing. ``can_prove`` says whether this machine could verify the cell; if it cannot, and the
    cell still has to be verified, ``why_not`` ("needs a GPU") becomes its ``pending``.
    ``channels`` are the tags that ought to carry the cell's image beside its immutable one.
    """
    record = _record(observed, decision)
    state = _state(observed, decision, record, channels)
    steps = _LEFT[state]
    return Status(
        cell=observed.spec.cell,
        state=state,
        reasons=decision.reasons if decision and state not in {State.PROVEN, State.PUBLISHED} else (),
        steps=steps,
        pending=why_not if Stage.VERIFY in steps and not can_prove else "",
        image=observed.image,
        record=record,
        tags=_carried(observed),
    )


def _state(
    observed: Observed, decision: Decision | None, record: Record | None, channels: tuple[str, ...]
) -> State:
    if observed.lock is None:
        return State.UNLOCKED
    if observed.image is None:
        return State.UNBUILT
    if decision is not None and decision.allowed:
        wanted = {observed.image.immutable_tag, *channels}
        return State.PUBLISHED if wanted <= set(_carried(observed)) else State.PROVEN
    if record is None or record.result is not Result.FAILED:
        return State.UNPROVEN
    return State.FAILED if record.named(Outcome.FAILED) else State.INCONCLUSIVE


def _record(observed: Observed, decision: Decision | None) -> Record | None:
    """The record that the gate accepted; else the newest one of the very image in staging."""
    if decision is not None and decision.allowed and decision.proof is not None:
        return decision.proof.record
    if observed.image is None:
        return None
    digest = str(observed.image.ref.digest)
    records = [proof.record for proof in observed.proofs if proof.record.digest == digest]
    return max(records, key=lambda record: (record.finished, record.attempt), default=None)


def _carried(observed: Observed) -> tuple[str, ...]:
    """The tags that carry the image in staging."""
    if observed.image is None:
        return ()
    return tuple(sorted(tag for tag, digest in observed.tags if digest == observed.image.ref.digest))


# -- rows for GitHub --------------------------------------------------------------------------------


def github(statuses: Iterable[Status]) -> dict[str, Any]:
    """An object for ``strategy.matrix``: one row for each cell that is possible, also one with nothing to do.

    (A job that finds nothing to do ends in seconds, and a cell that is always there can be a
    required check.) A row has ``name``, ``cells`` (ids with blanks between them) and ``runner``, a
    label or a list of labels. Beyond 256 cells a row holds several, all of one kind of runner.
    """
    kinds: dict[tuple[str, ...], list[str]] = {}
    for one in statuses:
        if one.state is not State.IMPOSSIBLE:
            kinds.setdefault(_runner(one.cell), []).append(one.cell.id)
    size = 1
    while sum(ceil(len(ids) / size) for ids in kinds.values()) > MOST_ROWS:
        size += 1
    return {"include": [row for runner, ids in kinds.items() for row in _rows(runner, ids, size)]}


def _runner(cell: Cell) -> tuple[str, ...]:
    arm = cell.platform == "linux/arm64"
    if cell.needs_gpu:
        return ("self-hosted", "gpu", "arm64") if arm else ("self-hosted", "gpu")
    return ("ubuntu-24.04-arm",) if arm else ("ubuntu-latest",)


def _rows(runner: tuple[str, ...], ids: Sequence[str], size: int) -> list[dict[str, Any]]:
    label: str | list[str] = runner[0] if len(runner) == 1 else list(runner)
    groups = [ids[start : start + size] for start in range(0, len(ids), size)]
    return [{"name": _row_name(group), "cells": " ".join(group), "runner": label} for group in groups]


def _row_name(group: Sequence[str]) -> str:
    return group[0] if len(group) == 1 else f"{group[0]} and {len(group) - 1} more"
