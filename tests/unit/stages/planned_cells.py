"""Cells for the plan to judge: what was observed of them, and what the gate decided."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.model import (
    Attestations,
    Cell,
    CellState,
    Decision,
    Digest,
    Finding,
    Image,
    Level,
    Lock,
    Outcome,
    Proof,
    Pruned,
    Reason,
    ReasonCode,
    Result,
    Stage,
    Status,
)
from pipeline.stages import plan
from tests import builders
from tests.builders import CPU_CELL, CUDA_CELL, check, spec

CPU, CUDA = CPU_CELL, CUDA_CELL
OURS, OTHER = Digest.of(b"ours"), Digest.of(b"other")
KEY = "0123456789ab" + "0" * 52
NO = Decision((Reason(ReasonCode.STALE, "the record is too old", "verify again"),))


def image(cell: Cell = CPU) -> Image:
    """The image of this cell in staging."""
    return builders.image(cell, digest=str(OURS), build_key=KEY, lock=str(OURS))


def proof(
    outcome: Outcome = Outcome.PASSED,
    result: Result = Result.PASSED,
    digest: Digest = OURS,
    finished: str = "2026-11-20T10:00:00Z",
) -> Proof:
    """A signed record of one check."""
    record = builders.record(
        image(),
        digest=str(digest),
        finished=finished,
        checks=(check("serve", outcome),),
        result=result,
    )
    return Proof(record, "key", OURS)


def observed(cell: Cell = CPU, proofs: tuple[Proof, ...] = (), **changes: Any) -> CellState:
    """A cell with a lock and an image, whose proofs lie in the destination too, and these changes."""
    attestations = Attestations(proofs)
    found: dict[str, Any] = {
        "lock": Lock(cell, ()),
        "image": image(cell),
        "attestations": attestations,
        "published": attestations,
        "is_complete": True,
        **changes,
    }
    return CellState(spec(cell), **found)


def decided(
    state: CellState,
    decision: Decision | None = None,
    *,
    cannot_prove: str = "",
    channels: tuple[str, ...] = (CPU.id, "cpu"),
    published_decision: Decision | None = None,
    keeps_tags: bool = False,
) -> CellState:
    """The same state with the gate's decisions; of the destination it says what it says of staging."""
    return replace(
        state,
        decision=decision,
        cannot_prove=cannot_prove,
        channels=channels,
        published_decision=published_decision or (decision if state.carried else None),
        keeps_tags=keeps_tags,
    )


def status(state: CellState, decision: Decision | None = None, **changes: Any) -> Status:
    """The row of what was observed."""
    return plan.status(decided(state, decision, **changes))


def tags(*names: str, digest: Digest = OURS) -> tuple[tuple[str, Digest], ...]:
    """Tags that carry a digest."""
    return tuple((name, digest) for name in names)


IMMUTABLE = f"{CPU.id}-0123456789ab"
FAILED = proof(Outcome.FAILED, Result.FAILED)
UNCLEAR = proof(Outcome.INCONCLUSIVE, Result.FAILED)
YES = Decision((), proof())
ON_A_CPU = tuple(stage for stage in Stage if stage is not Stage.REHEARSE)
LAST = (Stage.VERIFY, Stage.PUBLISH)
UNCERTIFIED = Decision((Reason(ReasonCode.NO_CERTIFICATE, "none", "build it"),), proof())
ODD = Cell("2.12.0", "cpu", "3.11", "0.32.0")
PINNED = Finding("pin", Level.IMPOSSIBLE, "vllm 0.32.0 pins torch 2.13.0, not 2.12.0", (), "take it")
BAD = Pruned(ODD, (PINNED,))
