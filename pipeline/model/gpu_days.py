"""A day with a GPU: what only a GPU can show, part by part, of environments or images on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, get_args

from pydantic import ConfigDict, Field

from pipeline.model.frozen import BoundedText, Frozen, Key, Sha
from pipeline.model.records import Check, Host, Outcome

PartName = Literal["suite", "serving", "saboteurs"]
PARTS: tuple[PartName, ...] = get_args(PartName)
"""What is done with each subject; what matters most comes first, in case the day is cut short."""


class Part(Frozen):
    """What one part of the day showed of one subject.

    ``cell`` is what the subject amounts to, ``digest`` the subject itself: an image's, or that of the list of
    an environment's packages. ``inputs`` is the key of all that the part depends on: one with the same key
    is not done again. ``facts`` are measurements, as they are printed. Times are RFC 3339, UTC.
    """

    schema_number: Literal[1] = Field(1, alias="schema")
    name: PartName
    cell: BoundedText
    digest: Sha
    inputs: Key
    host: Host
    finished: BoundedText
    seconds: Annotated[float, Field(ge=0)]
    checks: tuple[Check, ...]
    facts: tuple[tuple[BoundedText, BoundedText], ...] = ()

    model_config = ConfigDict(populate_by_name=True)  # the rest is inherited

    @property
    def outcome(self) -> Outcome:
        """The worst that became of its checks: failed before inconclusive."""
        outcomes = {check.outcome for check in self.checks}
        return next((o for o in (Outcome.FAILED, Outcome.INCONCLUSIVE) if o in outcomes), Outcome.PASSED)


@dataclass(frozen=True)
class GpuDay:
    """All of it. ``left_out`` pairs what was not done ("serving of torch2.11.0-cu130-py3.12") with why."""

    host: Host
    parts: tuple[Part, ...]
    left_out: tuple[tuple[str, str], ...] = ()
