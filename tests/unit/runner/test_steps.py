"""What a step leaves behind where the machine is in trouble: nothing is lost that was found out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from pipeline.model import Outcome
from pipeline.model.errors import EngineError
from pipeline.runner import steps, trying
from tests.builders import CPU_CELL, check, image

if TYPE_CHECKING:
    from pipeline.model import ImageRef


class BusyEngine:
    """An engine that does not remove an image in time."""

    def release(self, ref: ImageRef) -> None:
        raise EngineError(f"could not remove {ref}: timed out", hint="docker info")


def test_an_engine_that_keeps_an_image_takes_nothing_from_what_the_checks_saw() -> None:
    """The proof took minutes; the image is only in the way of the next one."""
    notes: list[str] = []
    services, progress = cast("Any", SimpleNamespace(engine=BusyEngine())), cast("Any", notes.append)
    steps._release(services, image(), progress)
    (note,) = notes
    assert note.endswith(f"timed out; it stays there until it is removed: docker image rm {image().ref}")


def test_a_check_that_the_machine_broke_is_held_against_nobody() -> None:
    checks = (
        check("serve"),
        check("chat", Outcome.INCONCLUSIVE, seen="no space left"),
    )
    trouble = trying.inconclusive(CPU_CELL, checks)
    assert trouble is not None
    assert trouble.text == f"{CPU_CELL.id}: the machine failed in check chat: no space left"
    assert trying.inconclusive(CPU_CELL, checks[:1]) is None
