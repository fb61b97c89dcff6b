"""Any image is tried by what it holds, and what was seen to fail is tried again by its own line."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest

from pipeline.model.errors import REFUSED, USAGE
from tests.system.commands.tiny_images import ENDS, program, push

if TYPE_CHECKING:
    from tests.system.commands.user import User

pytestmark = pytest.mark.needs("engine", "registry", "x86-64")


def test_a_failure_comes_again_by_the_line_that_its_record_carries(user: User) -> None:
    """The same image, the same checks; nothing is signed, so the newest record stays what it was."""
    user.has_built(ENDS)
    failed = user.types("verify")
    assert "compare" in failed.stderr, failed.stderr
    _, line = failed.stderr.rsplit("try the very same again, and compare:\n", 1)
    words = shlex.split(line.splitlines()[0])
    assert words[:4] == ["python", "-m", "pipeline", "verify"]
    for _ in range(2):
        again = user.types(*words[3:])
        assert again.returncode == REFUSED, again.stderr
        assert again.stdout.endswith("the same outcome\n")
        assert "serve " in again.stdout
        assert "DIFFERS" not in again.stdout
    user.left_nothing()


def test_an_image_without_pytorch_is_no_image_to_try(user: User) -> None:
    """Its tag is resolved, its Python is asked, and nothing is left of it."""
    push(user.repository, {"python3": program(ENDS)}, {}, tag="mine")
    done = user.types("verify", "--image", f"{user.repository}:mine")
    assert done.returncode == USAGE, done.stderr
    assert "none of its Pythons has torch (0 answered)" in done.stderr
    user.left_nothing()
