"""A release is a set: all of its cells get their tags, or none does, as far as a registry allows.

No registry moves two tags at once. So all that can be refused is asked first, and every image is brought
with its evidence, before the first tag moves; where a later cell loses its tags all the same, those that were
given are taken back. Ended in between, some have moved: each to a digest that is proven, and a second run
completes the set.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.model import Reason, ReasonCode, Stage, State
from pipeline.model.errors import RegistryError
from pipeline.runner.observing import observe, observe_image
from pipeline.runner.steps import Progress, brought, carry_veto, published
from pipeline.stages import plan, publish

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from pipeline.model import CellState, Spec
    from pipeline.report.progress import ProgressReporter
    from pipeline.runner.services import Services


def release(services: Services, specs: Sequence[Spec], reporter: ProgressReporter) -> tuple[CellState, ...]:
    """Give each of these cells its tags, or none of them; the states say what became of each.

    A cell holds the others where it is not proven, may have no tag now, or loses its tags to another
    publisher. Raises RegistryError where a registry does not answer; what was given is taken back then.
    """
    states = tuple(_vetoed(services, observe(services, spec)) for spec in specs)
    short = [state.cell.id for state in states if not _may(state)]
    if short:
        return _held(states, short)
    works = {
        state.cell.id: brought(services, state, Progress(reporter, state.cell, Stage.PUBLISH))
        for state in states
        if plan.state_of(state) is not State.PUBLISHED
    }
    refused = {cell: work for cell, work in works.items() if isinstance(work, Reason)}
    if refused:
        return _held(states, refused, refused)
    ready = {cell: work for cell, work in works.items() if isinstance(work, publish.Work)}
    lost = _given(ready)
    look = observe_image if lost else published
    seen = tuple(look(services, state) if state.cell.id in ready else state for state in states)
    return _held(seen, lost, lost) if lost else seen


def _vetoed(services: Services, state: CellState) -> CellState:
    """What failed is said where people find the image, released or not."""
    return carry_veto(services, state) if state.image and not _may(state) else state


def _may(state: CellState) -> bool:
    """Whether the gate allows its image a tag."""
    return state.decision is not None and state.decision.allowed


def _held(
    states: Iterable[CellState], short: Collection[str], reasons: Mapping[str, Reason] | None = None
) -> tuple[CellState, ...]:
    """The states of a release that is not made, because of these cells: each of the others says so."""
    first, *more = short
    named = first if not more else f"{first} and {len(more)} more"
    refusals = {
        state.cell.id: Reason(
            ReasonCode.RELEASE_HELD,
            f"{state.cell.id}: no tag of this release is given, because {named} may have none",
            f"see to that one, or leave it out: python -m pipeline publish --all-or-nothing '*' '!{first}'",
        )
        for state in states
        if state.cell.id not in short and plan.state_of(state) is not State.PUBLISHED
    } | dict(reasons or {})
    return tuple(
        replace(state, refusals=(refusals[state.cell.id],)) if state.cell.id in refusals else state
        for state in states
    )


def _given(ready: Mapping[str, publish.Work]) -> dict[str, Reason]:
    """Give every image its tags; or none, and the cell that lost its own, with the reason."""
    given: list[publish.Work] = []
    for cell, work in ready.items():
        try:
            done = publish.complete(work)
        except RegistryError as error:
            became = _taken_back([*given, work])
            raise RegistryError(f"{error.what}; of the release {became}", hint=error.hint) from error
        if isinstance(done, Reason):
            return {cell: replace(done, text=f"{done.text}; of the release {_taken_back(given)}")}
        given.append(work)
    return {}


def _taken_back(given: Sequence[publish.Work]) -> str:
    """Take the tags that were written off these images, the last first; says what became of them."""
    became = []
    for work in reversed(given):
        try:
            became.append(publish.take_back(work))
        except RegistryError as error:
            became.append(f"the tags of {work.digest} could not be taken back: {error.what}")
    return "; ".join(became) or "no tag was written"
