"""A server that runs already: what it says of itself, and the record of what was asked of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from pipeline.model.frozen import BoundedText, Frozen, Sha
from pipeline.model.hashes import canonical
from pipeline.model.records import Check, Outcome, Result
from pipeline.model.references import Digest
from pipeline.model.scopes import Scope, not_run


@dataclass(frozen=True)
class Deployment:
    """A server that runs already, by what it says of itself.

    ``url`` is its address without ``/v1`` ("https://host/prefix"), ``model`` the name of the one that is
    asked, ``vllm`` its version, empty where it tells none, and ``context`` the model's in tokens, None where
    it tells none.
    """

    url: str
    model: str
    vllm: str = ""
    context: int | None = None

    @property
    def digest(self) -> Digest:
        """The identity of what was asked: another version, model or address is another one."""
        says = {"context": self.context, "model": self.model, "url": self.url, "vllm": self.vllm}
        return Digest.of(canonical(says))

    @property
    def name(self) -> str:
        """What its files are called, and rows about it."""
        return f"deployment-{self.digest.hex[:12]}"


class DeploymentRecord(Frozen):
    """What was seen of a deployment. Times are RFC 3339, UTC.

    ``digest`` is that of what it says of itself: nobody looked behind the address. ``replay`` is the command
    that asks the same again.
    """

    schema_number: Literal[1] = Field(1, alias="schema")
    url: BoundedText
    model: BoundedText
    vllm: BoundedText = ""
    context: Annotated[int, Field(ge=1)] | None = None
    digest: Sha
    started: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    finished: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]
    checks: tuple[Check, ...]
    result: Annotated[Result, Field(strict=False)]
    replay: BoundedText = ""

    model_config = ConfigDict(populate_by_name=True)  # the rest is inherited

    @property
    def deployment(self) -> Deployment:
        """What was asked."""
        return Deployment(self.url, self.model, self.vllm, self.context)

    def named(self, outcome: Outcome) -> tuple[str, ...]:
        """The names of the checks with this outcome."""
        return tuple(check.name for check in self.checks if check.outcome == outcome)

    @property
    def scope(self) -> Scope:
        """What it certifies: answers over HTTP, and nothing of what gives them."""
        failed = (*self.named(Outcome.FAILED), *self.named(Outcome.INCONCLUSIVE))
        return Scope(
            passed=not failed,
            subject=self.digest,
            hardware="",
            processor="",
            gpus=(),
            driver="",
            dtypes=(),
            model=self.model,
            modes=(),
            unseen=(),
            checks=self.named(Outcome.PASSED),
            failed=failed,
            not_run=not_run(self.checks),
        )
