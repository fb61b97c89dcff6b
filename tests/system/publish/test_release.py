"""A release of several cells: all of them get their tags, or none does, on a real registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.registry import Registry
from pipeline.model import Repository, Result, State, Status
from pipeline.model.errors import RegistryError
from tests.system.publish.publishing import tags, unreadable_after_write
from tests.system.publish.signed_cell import Cell, proven, push

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Bench, Proxy

pytestmark = pytest.mark.needs("registry")


@pytest.fixture
def cells(bench: Bench, tmp_path: Path) -> Iterator[tuple[Cell, ...]]:
    """Two cells of one matrix, both proven."""
    with proven(bench, tmp_path, "0.32.0", "0.31.0") as made:
        yield made


def released(cells: tuple[Cell, ...]) -> list[Status]:
    """What ``publish --all-or-nothing`` says of them."""
    return list(cells[0].runner.release([cell.spec for cell in cells]))


def codes(statuses: list[Status]) -> list[set[str]]:
    return [{reason.code for reason in status.reasons} for status in statuses]


def test_cells_that_are_all_proven_are_all_published_and_a_second_run_does_nothing(
    cells: tuple[Cell, ...], bench: Bench
) -> None:
    assert [status.state for status in released(cells)] == [State.PUBLISHED] * 2
    named = tags(bench)
    assert {named[cell.spec.cell.id] for cell in cells} == {str(cell.image.ref.digest) for cell in cells}
    assert codes(released(cells)) == [set(), set()]
    assert tags(bench) == named


def test_one_that_is_not_proven_holds_the_other_and_its_failure_is_carried(
    cells: tuple[Cell, ...], bench: Bench
) -> None:
    good, bad = cells
    bad.prove(minutes=5, result=Result.FAILED)
    first, second = released(cells)
    assert codes([first]) == [{"release-held"}]
    assert bad.spec.cell.id in first.reasons[0].text
    assert second.state is not State.PUBLISHED
    assert tags(bench) == {}
    assert good.publish().state is State.PUBLISHED


def test_one_whose_tag_is_taken_holds_the_other_before_anything_moves(
    cells: tuple[Cell, ...], bench: Bench
) -> None:
    _, bad = cells
    push(bad.destination, bad.image.immutable_tag, {})
    assert codes(released(cells)) == [{"release-held"}, {"tag-moved"}]
    assert set(tags(bench)) == {bad.image.immutable_tag}


def test_a_registry_that_breaks_in_the_middle_has_the_tags_taken_back(
    cells: tuple[Cell, ...], bench: Bench, proxy: Proxy
) -> None:
    """The first cell has all of its tags when the second one's channel cannot be read back."""
    services, channel = cells[0].services, cells[1].spec.cell.id
    true, proxied = services.destination, Repository(proxy.host, services.destination.repository.path)
    services.destination = Registry(proxied, patience=1.5)
    proxy.after = unreadable_after_write(proxy, channel)
    with pytest.raises(RegistryError, match=rf"of the release .*{cells[0].spec.cell.id}: it was removed"):
        released(cells)
    assert ("PUT", f"/v2/{proxied.path}/manifests/{cells[0].spec.cell.id}") in proxy.writes
    assert tags(bench).keys() <= {channel}  # what could not be read could not be removed either
    services.destination = true
    assert [status.state for status in released(cells)] == [State.PUBLISHED] * 2
