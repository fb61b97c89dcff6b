"""What is left to do: the stages that a command takes on, and what a build takes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.model import (
    Budget,
    CellState,
    Decision,
    Estimate,
    Finding,
    Goal,
    Level,
    Lock,
    Pin,
    Reason,
    ReasonCode,
    Stage,
)
from pipeline.stages import build, plan
from tests.unit.stages.planned_cells import (
    CPU,
    IMMUTABLE,
    NO,
    UNCERTIFIED,
    YES,
    decided,
    image,
    observed,
    tags,
)

# -- what a command takes on ------------------------------------------------------------------------

BUILDING = (Stage.FETCH, Stage.BASE, Stage.BUILD, Stage.CERTIFY)
REFUSED = Decision((Reason(ReasonCode.CERTIFICATE_REFUSED, "closure", "install it"),))
PUBLISHED = decided(observed(tags=tags(IMMUTABLE, CPU.id, "cpu")), YES)
UNBUILT = decided(observed(image=None))


@pytest.mark.parametrize(
    ("state", "command", "expected"),
    [
        (UNBUILT, Goal.PLAN, ()),
        (UNBUILT, Goal.REPORT, ()),
        (UNBUILT, Goal.BUILD, BUILDING),
        (UNBUILT, Goal.VERIFY, (*BUILDING, Stage.VERIFY)),
        (replace(UNBUILT, base=image().ref), Goal.BUILD, (Stage.FETCH, Stage.BUILD, Stage.CERTIFY)),
        (decided(observed(), NO), Goal.BUILD, ()),
        (decided(observed(), UNCERTIFIED), Goal.BUILD, (Stage.CERTIFY,)),
        (decided(observed(), NO), Goal.VERIFY, (Stage.VERIFY,)),
        (decided(observed(), REFUSED), Goal.VERIFY, ()),
        (decided(observed(), NO), Goal.PUBLISH, (Stage.PUBLISH,)),
        (decided(observed(), YES), Goal.PUBLISH, (Stage.PUBLISH,)),
        (PUBLISHED, Goal.PUBLISH, ()),
        (PUBLISHED, Goal.VERIFY, ()),
    ],
)
def test_a_command_takes_the_stages_that_are_left_and_within_its_reach(
    state: CellState, command: Goal, expected: tuple[Stage, ...]
) -> None:
    """Publish never builds, build never runs an image, and what only reads takes none."""
    assert plan.stages(state, command) == expected


def test_a_cell_that_cannot_be_proven_here_is_built_by_build_and_not_by_verify() -> None:
    pending = replace(UNBUILT, cannot_prove="needs a GPU")
    assert plan.stages(pending, Goal.VERIFY) == ()
    assert plan.stages(pending, Goal.BUILD) == BUILDING


def test_a_stage_is_taken_once_in_a_run() -> None:
    """What it left undone, another run may do."""
    state = replace(decided(observed(), NO), done=((Stage.VERIFY, 1.0),))
    assert plan.stages(state, Goal.VERIFY) == ()


def test_nothing_follows_what_stopped_a_run() -> None:
    state = replace(UNBUILT, refusals=(NO.reasons[0],))
    assert plan.stages(state, Goal.VERIFY) == ()


@pytest.mark.parametrize(
    ("state", "expected"), [(PUBLISHED, (Stage.VERIFY,)), (decided(observed(), REFUSED), ())]
)
def test_what_is_proven_is_proven_again_only_if_asked(state: CellState, expected: tuple[Stage, ...]) -> None:
    """And never what its certificate refuses."""
    assert plan.stages(state, Goal.VERIFY, fresh=True) == expected


# -- what a build takes -----------------------------------------------------------------------------

TAKES = Estimate(download=1, disk=9, compressed=1, installed=2)


@pytest.mark.parametrize(
    ("seen", "decision", "estimate"),
    [(observed(image=None), None, TAKES), (observed(), None, None), (observed(), YES, None)],
)
def test_only_a_build_that_is_left_to_do_is_estimated(
    seen: CellState, decision: Decision | None, estimate: Estimate | None
) -> None:
    found = plan.status(decided(seen, decision, channels=()), estimate=TAKES)
    assert found.estimate == estimate


def test_a_build_is_estimated_from_the_locked_wheels() -> None:
    """All of them go to disk, only the missing ones over the network."""
    pins = tuple(Pin(f"p{n}", "1", "0" * 64, f"p{n}-1-py3-none-any.whl", 100) for n in range(3))
    found = build.estimate(Lock(CPU, pins), missing=100)
    assert (found.download, found.compressed, found.installed) == (100, 300, 690)
    assert found.disk == 100 + 8 * 300


@pytest.mark.parametrize(
    ("budget", "kinds"),
    [
        (None, []),
        (Budget(compressed=1, installed=2), []),
        (Budget(installed=1), ["installed"]),
        (Budget(compressed=0, installed=1), ["installed"]),
    ],
)
def test_what_is_larger_than_its_budget_is_warned_about(budget: Budget | None, kinds: list[str]) -> None:
    found = plan.over_budget(CPU, budget, TAKES)
    assert [kind for kind in ("compressed", "installed") for one in found if kind in one.text] == kinds
    assert all(one.level is Level.WARN for one in found)


def test_a_budget_that_is_passed_is_a_warning_that_says_by_how_much() -> None:
    """To the byte: as much as the budget is within it."""
    estimate = replace(TAKES, compressed=2_000_000_000_000, installed=4_000_000_000_000)
    hint = "leave packages out, or raise it under `budgets:`"
    where = (f"locks/{CPU.id}.txt",)
    assert plan.over_budget(CPU, Budget(1_500_000_000_000, 3_500_000_000_000), estimate) == tuple(
        Finding(
            "budget",
            Level.WARN,
            f"{CPU.id}: its wheels are {seen} TB {kind}, its budget is {most} TB",
            where,
            hint,
        )
        for seen, kind, most in (
            ("2.00", "compressed", "1.50"),
            ("4.00", "installed", "3.50"),
        )
    )
    assert plan.over_budget(CPU, Budget(2_000_000_000_000, 4_000_000_000_000), estimate) == ()
    assert plan.over_budget(CPU, None, estimate) == ()
