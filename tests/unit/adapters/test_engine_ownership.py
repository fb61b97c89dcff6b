"""Which containers belong to a process that is dead."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.engine import ownership

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until the test ends it."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def _owner(pid: int) -> str:
    return ownership.owner().replace(
        f"{os.getpid()}:{ownership._started(os.getpid())}", f"{pid}:{ownership._started(pid)}"
    )


def test_a_container_is_an_orphan_once_its_owner_is_dead(child: subprocess.Popen[bytes]) -> None:
    """While it lives, its containers are none of our business."""
    label = _owner(child.pid)
    assert not ownership.is_orphan(label)
    child.kill()
    child.wait()
    assert ownership.is_orphan(label)


def test_a_process_that_took_over_the_number_is_another_owner() -> None:
    """Process numbers are used again; the time of the start tells them apart."""
    pid, _, host = ownership.owner().split(":", 2)
    assert ownership.is_orphan(f"{pid}:1:{host}")


@pytest.mark.parametrize("label", ["", "nonsense", "1:2", "99999999:1:another-host"])
def test_what_another_host_owns_or_nobody_says_is_left_alone(label: str) -> None:
    """An engine may serve several hosts."""
    assert not ownership.is_orphan(label)
