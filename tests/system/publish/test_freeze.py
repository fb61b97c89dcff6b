"""A freeze keeps back what would be published, and nothing that is taken back, on a real registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.model import CellState, Expectations, Image, Lock, ReasonCode, Stage, State
from pipeline.model.errors import GOOD
from pipeline.report.progress import ProgressReporter
from pipeline.runner.services import Services, Settings
from pipeline.runner.steps import STEPS, Progress
from pipeline.stages import plan
from pipeline.stages.publish import named
from tests.system.publish.owning import MATRIX, Owner, ago, digest, owner_of
from tests.system.publish.publishing import CELL, CHANNELS, tags

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Bench

pytestmark = pytest.mark.needs("registry")

ALWAYS = "{days: [mon, tue, wed, thu, fri, sat, sun], reason: the shop's peak season}"
OVER = '{until: "2026-01-01", reason: it was once}'
WHY = ("--reason", "answers wrong with fp8")


@pytest.fixture
def owner(bench: Bench, tmp_path: Path) -> Owner:
    return owner_of(bench, tmp_path)


def freeze(owner: Owner, rule: str) -> None:
    """From now on the owner's matrix has this freeze."""
    destination, staging = owner.bench.destination.repository, owner.bench.staging.repository
    publish = f'{{repository: "{destination}", staging: "{staging}", freeze: [{rule}]}}'
    head, _, _ = MATRIX.partition("publish:")
    (owner.folder / "matrix.yaml").write_text(f"{head}publish: {publish}\n")


def given_tags(owner: Owner, image: Image, monkeypatch: pytest.MonkeyPatch) -> CellState:
    """What becomes of the cell where this image is to get its tags, by the matrix as it is now.

    The gate is the tests' own, which asks for no lock: what it allows is another test's.
    """
    monkeypatch.setattr("pipeline.runner.steps.gate_of", lambda *_: owner.bench.gate(image))
    loaded = matrix.load(owner.folder / "matrix.yaml")
    services = Services(Settings(loaded, key_pem=owner.around["TAGPROOF_KEY"]))
    state = CellState(
        loaded.specs[0],
        lock=Lock(CELL, ()),
        image=image,
        expectations=Expectations(),
        channels=CHANNELS,
        tags=tuple(named(owner.bench.destination, (image.immutable_tag, *CHANNELS)).items()),
        decision=owner.judged(image),
    )
    return STEPS[Stage.PUBLISH](services, state, Progress(ProgressReporter(), CELL, Stage.PUBLISH))


def test_a_proven_image_gets_no_tag_in_a_freeze_and_its_tags_when_that_is_over(
    owner: Owner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row of the cell has the reason; until then no tag has moved, and nothing of it is published."""
    freeze(owner, ALWAYS)
    image, _ = owner.bench.proven("5" * 64, **ago(minutes=1))
    before = tags(owner.bench)
    status = plan.status(given_tags(owner, image, monkeypatch))
    assert (status.state, [reason.code for reason in status.reasons]) == (State.PROVEN, [ReasonCode.FROZEN])
    assert "the shop's peak season" in status.reasons[0].text
    assert tags(owner.bench) == before
    assert owner.bench.destination.digest_of(digest(image)) is None
    freeze(owner, OVER)
    assert given_tags(owner, image, monkeypatch).refusals == ()
    assert owner.channels() == {digest(image)}
    freeze(owner, ALWAYS)
    assert given_tags(owner, image, monkeypatch).refusals == (), "it has its tags: none would move"


def test_a_bad_image_is_taken_back_in_a_freeze(owner: Owner) -> None:
    """By a tag that is moved back, and by a yank, which takes every tag of it."""
    freeze(owner, ALWAYS)
    code, _, err = owner.types("rollback", "latest", *WHY)
    assert code == GOOD, err
    assert tags(owner.bench)["latest"] == digest(owner.old)
    code, _, err = owner.types("yank", digest(owner.new), *WHY)
    assert code == GOOD, err
    assert owner.channels() == {digest(owner.old)}
    assert owner.new.immutable_tag not in tags(owner.bench)
