"""The engine of the tests' own, beside the machine's: what it starts and ends with is its own."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.system.own_engine import own_engine


@pytest.mark.needs("engine", "containerd", "dockerd", "root")
def test_an_engine_of_the_tests_own_leaves_the_network_of_the_machines_engine() -> None:
    """One without a network removes docker0 when it starts, and with it every other container's way out."""
    before = networks()
    with TemporaryDirectory(prefix="engine-") as folder, own_engine(Path(folder)):
        during = networks()
    assert (during, networks()) == (before, before)


def networks() -> dict[str, str]:
    """The network devices of this machine by name, with their numbers."""
    return {device.name: (device / "ifindex").read_text() for device in Path("/sys/class/net").iterdir()}
