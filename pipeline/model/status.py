"""How far a cell has come, and what is left to do: the rows of plan and report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from pipeline.model.statements import Attestations

if TYPE_CHECKING:
    from pipeline.model.cells import Cell, Spec
    from pipeline.model.decisions import Decision
    from pipeline.model.expectations import Expectations
    from pipeline.model.locks import Image, Lock
    from pipeline.model.reasons import Reason
    from pipeline.model.records import Record
    from pipeline.model.references import Digest, ImageRef
    from pipeline.model.rehearsals import Rehearsal
    from pipeline.model.verdicts import Verdict


class State(StrEnum):
    """How far a cell has come."""

    IMPOSSIBLE = "impossible"
    UNLOCKED = "unlocked"
    UNBUILT = "unbuilt"
    UNPROVEN = "unproven"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    PROVEN = "proven"
    PUBLISHED = "published"


class Stage(StrEnum):
    """The stages of the path, in order; a step of a plan and a line of progress name one."""

    LOCK = "lock"
    FETCH = "fetch"
    BASE = "base"
    BUILD = "build"
    CERTIFY = "certify"
    REHEARSE = "rehearse"
    VERIFY = "verify"
    PUBLISH = "publish"


@dataclass(frozen=True)
class Estimate:
    """What a build needs, in bytes, estimated from the sizes of the locked wheels.

    ``download`` is what this machine still has to fetch, ``disk`` the most that the build writes here;
    ``compressed`` and ``installed`` are the sizes of the image in a registry and unpacked.
    """

    download: int
    disk: int
    compressed: int
    installed: int


class Goal(StrEnum):
    """How far a command is to bring its cells; the words are those that users type."""

    PLAN = "plan"
    REPORT = "report"
    BUILD = "build"
    VERIFY = "verify"
    PUBLISH = "publish"
    REPAIR = "repair"


@dataclass(frozen=True)
class CellState:
    """What is known of one cell at one moment: observed once, then taken and returned by each stage.

    ``expectations`` are what the lock makes the image promise. ``attestations`` lie beside the image in
    staging, ``published`` beside the same digest in the destination, where a tag names it; ``tags`` maps the
    cell's tags there to digests. ``is_complete`` says that the destination has all blobs of the image,
    ``is_signed`` that it has a plain signature there, or that nobody here could make one.
    ``decision`` and ``published_decision`` are the gate's by either; None where it was not asked, which
    proves nothing. ``keeps_tags`` says whether the digest may keep its tags, whatever today's inputs are.
    ``channels`` are the tags that ought to carry the image, beside the immutable one. ``cannot_prove`` says
    why this machine cannot verify the cell ("needs a GPU"), if so; ``can_rehearse`` says that it could do
    all of it that needs no GPU.
    ``done`` are the stages of this run with their seconds, ``refusals`` what stopped it, if anything did;
    ``replaced`` is what the cell's own tag named before this run gave it to the image.
    """

    spec: Spec
    lock: Lock | None = None
    expectations: Expectations | None = None
    base: ImageRef | None = None
    image: Image | None = None
    attestations: Attestations = field(default_factory=Attestations)
    tags: tuple[tuple[str, Digest], ...] = ()
    published: Attestations = field(default_factory=Attestations)
    is_complete: bool = False
    is_signed: bool = True
    decision: Decision | None = None
    published_decision: Decision | None = None
    keeps_tags: bool = False
    channels: tuple[str, ...] = ()
    cannot_prove: str = ""
    can_rehearse: bool = False
    done: tuple[tuple[Stage, float], ...] = ()
    refusals: tuple[Reason, ...] = ()
    is_inconclusive: bool = False
    log_tail: str = ""
    replaced: Digest | None = None

    @property
    def cell(self) -> Cell:
        """The cell that it is the state of."""
        return self.spec.cell

    @property
    def carried(self) -> tuple[str, ...]:
        """The tags that name the image in staging."""
        if self.image is None:
            return ()
        return tuple(sorted(tag for tag, digest in self.tags if digest == self.image.ref.digest))

    @property
    def is_stopped(self) -> bool:
        """Whether no further stage may follow in this run."""
        return bool(self.refusals) or self.is_inconclusive


@dataclass(frozen=True)
class Status:
    """One row of plan and report.

    ``pending`` says why a step cannot be done here ("needs a GPU"); ``rehearsal`` is the newest of the image,
    if there is one; ``estimate`` is given if a build is among the steps. ``replaced`` is what the cell's own
    tag named before this run published the image.
    """

    cell: Cell
    state: State
    reasons: tuple[Reason, ...] = ()
    steps: tuple[Stage, ...] = ()
    pending: str = ""
    image: Image | None = None
    record: Record | None = None
    rehearsal: Rehearsal | None = None
    tags: tuple[str, ...] = ()
    seconds: tuple[tuple[Stage, float], ...] = ()
    log_tail: str = ""
    again: str = ""
    verdict: Verdict | None = None
    estimate: Estimate | None = None
    replaced: Digest | None = None

    @property
    def waiting(self) -> str:
        """What it waits for, and how much was seen without that: ``needs a GPU (rehearsed 5/5)``."""
        if not self.pending or self.rehearsal is None:
            return self.pending
        return f"{self.pending} (rehearsed {self.rehearsal.counted})"
