"""Look-ups that the stages need: a driver for a CUDA, and the build that the default index serves."""

from __future__ import annotations

import pytest

from pipeline.compat import default_cuda, driver_floor
from pipeline.model import Cell


@pytest.mark.parametrize(
    ("cuda", "driver"),
    [
        ("cu118", "450.80.02"),
        ("cu128", "525.60.13"),
        ("cu130", "580"),
        ("13.2", "580"),
        ("12.8.1", "525.60.13"),
        ("cpu", None),
        ("cu990", None),
        ("", None),
    ],
)
def test_the_oldest_driver_follows_from_the_major_version_of_cuda(cuda: str, driver: str | None) -> None:
    """As a variant or as a version; None where nothing is known."""
    assert driver_floor(cuda) == driver


@pytest.mark.parametrize(
    ("torch", "platform", "build"),
    [
        ("2.10.0", "linux/amd64", "cu128"),
        ("2.10.0", "linux/arm64", "cpu"),
        ("2.11.0", "linux/arm64", "cu130"),
        ("2.13.0", "linux/amd64", "cu130"),
        ("2.14.1", "linux/amd64", "cu130"),
        ("2.15.0", "linux/amd64", "cu132"),
        ("2.99.0", "linux/amd64", None),
    ],
)
def test_the_default_index_serves_one_build_for_each_torch_and_machine(
    torch: str, platform: str, build: str | None
) -> None:
    """None for a release that nobody has looked at."""
    assert default_cuda(Cell(torch, "cpu", "3.11", None, platform)) == build
