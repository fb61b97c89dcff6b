"""An image that fails, or that is not the one: refused with the reason, and nothing is left behind."""

from __future__ import annotations

import pytest

from pipeline.adapters.registry import Registry
from pipeline.model.errors import REFUSED
from tests.system.commands.tiny_images import ENDS, WAITS
from tests.system.commands.user import CELL, User

pytestmark = pytest.mark.needs("engine", "registry", "x86-64")


def test_a_server_that_exits_at_once_is_refused_and_gets_no_tag(user: User) -> None:
    """Exit 1 with its exit code; the gate refuses; no container is left."""
    user.has_built(ENDS)
    done = user.types("verify")
    assert done.returncode == REFUSED, done.stderr
    assert "exited with code 3" in done.stderr
    assert f"python -m pipeline verify {CELL}" in done.stderr
    assert user.types("publish").returncode == REFUSED
    assert Registry(user.repository).tags() == ()
    user.left_nothing()


def test_an_image_for_another_repository_is_not_said_to_be_another_build(user: User) -> None:
    """It is held against what staging has: where that is nothing, the gate says so, and how to say where."""
    image, elsewhere = user.has_built(WAITS), f"{user.repository}/elsewhere"
    done = user.types("gate", str(image), "--repository", elsewhere)
    assert done.returncode == REFUSED
    assert f"is in {elsewhere}-staging to hold it against" in done.stderr
    assert "--repository" in done.stderr
