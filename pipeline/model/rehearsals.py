"""What was seen of an image without the GPU that it needs: all that needs none, before one is taken."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, model_validator

from pipeline.model.frozen import BoundedText, Frozen, Key, Sha
from pipeline.model.records import Check, Host, Outcome
from pipeline.model.versions import REHEARSAL_VERSIONS, Name, Version

RehearsedName = Literal["versions", "installed", "imports", "architecture", "entrypoint"]
REHEARSED: tuple[RehearsedName, ...] = get_args(RehearsedName)
"""Every check of a rehearsal, in the order in which they run."""

_OF_VLLM = {"architecture"}


def rehearsed_checks_of(vllm: str | None) -> tuple[RehearsedName, ...]:
    """The checks of a rehearsal of a cell with this vLLM, or with none."""
    return tuple(name for name in REHEARSED if vllm or name not in _OF_VLLM)


def rehearsal_versions_of(vllm: str | None) -> dict[Name, Version]:
    """The versions of these checks, as a rehearsal of today names them."""
    return {name: REHEARSAL_VERSIONS[name] for name in rehearsed_checks_of(vllm)}


class Rehearsal(Frozen):
    """What a rehearsal saw of one digest, on a machine without the GPU. Times are RFC 3339, UTC.

    It can speak against an image, and never for a tag: what only a GPU shows was not seen.
    """

    schema_number: Literal[1] = Field(1, alias="schema")
    cell: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]{0,100}$")]
    repository: BoundedText
    digest: Sha
    build_key: Key
    lock: Sha
    versions: Annotated[dict[Name, Version], Field(min_length=1)]
    host: Host
    started: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    finished: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    checks: tuple[Check, ...]

    model_config = ConfigDict(populate_by_name=True)  # the rest is inherited

    @model_validator(mode="after")
    def _names_days_that_exist(self) -> Self:
        for moment in (self.started, self.finished):
            datetime.fromisoformat(moment)
        return self

    @property
    def ended(self) -> datetime:
        """When it ended: of two rehearsals of one image the later one counts."""
        return datetime.fromisoformat(self.finished)

    @property
    def has_passed(self) -> bool:
        """Whether each check that it names a version of was seen to pass, and no other outcome was seen."""
        names = [check.name for check in self.checks]
        return sorted(names) == sorted(self.versions) and not self.not_passed

    @property
    def not_passed(self) -> tuple[Check, ...]:
        """The checks that speak against the image."""
        return tuple(check for check in self.checks if check.outcome is not Outcome.PASSED)

    @property
    def counted(self) -> str:
        """How many of its checks passed: ``5/5``."""
        return f"{len(self.checks) - len(self.not_passed)}/{len(self.versions)}"
