"""``later:``, of a matrix and of a policy: what is asked besides, from a day on."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from pipeline.matrix.cell_rules import Section
from pipeline.matrix.fields import Day, refusal
from pipeline.model import CheckName, Later, RuleName
from pipeline.model.versions import Version


class Coming(Section):
    """What is asked of a proof besides, from a day on. Until then older proofs count."""

    since: Annotated[Day, Field(alias="from")]
    """The first day on which it is asked, quoted."""
    at_least: dict[Literal[CheckName, RuleName], Version] = Field(default_factory=dict)
    """The oldest version of a check, or of a family of rules, that counts then."""
    max_age_days: Annotated[int, Field(ge=1, le=3650)] | None = None
    """How old a proof may be then, in days."""

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.at_least and self.max_age_days is None:
            raise refusal(f"nothing is asked from {self.since} on", "name `at_least:` or `max_age_days:`")
        return self

    @property
    def rule(self) -> Later:
        """What it asks."""
        return Later(
            self.since, {str(name): least for name, least in self.at_least.items()}, self.max_age_days
        )


def entry_of(rule: Later) -> dict[str, Any]:
    """A rule as it is written."""
    entry = {"from": rule.since, "at_least": dict(rule.at_least), "max_age_days": rule.max_age_days}
    return {name: value for name, value in entry.items() if value}
