"""How far a cell has come, and what is left to do: what plan and report tell."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from pipeline.model.statements import Attestations

if TYPE_CHECKING:
    from pipeline.model.cells import Cell, Spec
    from pipeline.model.locks import Image, Lock
    from pipeline.model.reasons import Reason
    from pipeline.model.records import Record
    from pipeline.model.references import Digest
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
    VERIFY = "verify"
    PUBLISH = "publish"


@dataclass(frozen=True)
class Estimate:
    """What a build would take, in bytes, judged by the sizes of the locked wheels.

    ``download`` is what this machine has yet to fetch, ``disk`` what the build writes here at most;
    ``compressed`` and ``installed`` are the image's size in a registry and when it is unpacked.
    """

    download: int
    disk: int
    compressed: int
    installed: int


@dataclass(frozen=True)
class Observed:
    """What lock files, staging and the destination say of one cell. ``tags`` maps tag to digest.

    ``beside`` lies beside the image in staging, ``there`` beside the same digest in the destination, where a
    tag names it. ``whole`` says that the destination has all of that image.
    """

    spec: Spec
    lock: Lock | None
    image: Image | None
    beside: Attestations = field(default_factory=Attestations)
    tags: tuple[tuple[str, Digest], ...] = ()
    there: Attestations = field(default_factory=Attestations)
    whole: bool = False

    @property
    def carried(self) -> tuple[str, ...]:
        """The tags that name the image in staging."""
        if self.image is None:
            return ()
        return tuple(sorted(tag for tag, digest in self.tags if digest == self.image.ref.digest))


@dataclass(frozen=True)
class Status:
    """One row of plan and report.

    ``pending`` says why a step cannot be done here ("needs a GPU"); ``estimate`` is there where a
    build is among the steps.
    """

    cell: Cell
    state: State
    reasons: tuple[Reason, ...] = ()
    steps: tuple[Stage, ...] = ()
    pending: str = ""
    image: Image | None = None
    record: Record | None = None
    tags: tuple[str, ...] = ()
    seconds: tuple[tuple[Stage, float], ...] = ()
    log_tail: str = ""
    again: str = ""
    verdict: Verdict | None = None
    estimate: Estimate | None = None
