"""The life of what is published: each change of it, as it is signed and kept beside the digest."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from pipeline.model.frozen import BoundedText, Frozen, Sha

MAX_TAGS = 1000
"""Tags of one transition."""

Tag = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]


class Life(StrEnum):
    """What a digest becomes by a transition."""

    PUBLISHED = "published"
    """Tags come to name it."""
    SUPERSEDED = "superseded"
    """Tags are moved back from it to another one; it is published again after a newer proof only."""
    YANKED = "yanked"
    """It loses every tag, and no gate allows it again."""


class TagMove(Frozen):
    """What one tag named before, and what it is to name: digests, or None where it does not exist."""

    before: Sha | None
    after: Sha | None


class Transition(Frozen):
    """What one digest became in one repository, and which of its tags went from where to where.

    It is written before the tags move, so that no move is without one. ``actor`` is who did it, as that
    machine says; the signature says whose key it was. ``at`` is RFC 3339, UTC.
    """

    schema_number: Literal[1] = Field(1, alias="schema")
    life: Annotated[Life, Field(strict=False)]
    repository: BoundedText
    digest: Sha
    cell: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,100}$")]
    tags: Annotated[dict[Tag, TagMove], Field(max_length=MAX_TAGS)]
    reason: Annotated[BoundedText, Field(min_length=1)]
    actor: BoundedText
    at: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]

    model_config = ConfigDict(populate_by_name=True)  # the rest is inherited

    @model_validator(mode="after")
    def _names_a_day_that_exists(self) -> Self:
        datetime.fromisoformat(self.at)
        return self

    @property
    def moment(self) -> datetime:
        """When it was decided."""
        return datetime.fromisoformat(self.at)
