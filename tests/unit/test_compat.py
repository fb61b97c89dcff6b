"""Facts on drivers and PyTorch's wheels: each has a source, and the look-ups know their limits."""

from __future__ import annotations

import json

import pytest

from pipeline.compat import default_cuda, driver_floor
from pipeline.compat.floors import FACTS


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
    ("torch", "cuda"),
    [
        ("2.10.0", "cu128"),
        ("2.11.0", "cu130"),
        ("2.13.0", "cu130"),
        ("2.14.1", "cu130"),
        ("2.15.0", "cu132"),
        ("2.99.0", None),
    ],
)
def test_the_default_index_serves_one_cuda_for_each_torch(torch: str, cuda: str | None) -> None:
    """None for a release that nobody has looked at."""
    assert default_cuda(torch) == cuda


def test_every_fact_has_a_source_and_stands_once() -> None:
    """A row without a source is a rumour."""
    facts = json.loads(FACTS.read_text("utf-8"))
    for name, key in (("driver_floors", "cuda_major"), ("default_wheels", "torch")):
        assert all(row["source"] for row in facts[name])
        assert len({row[key] for row in facts[name]}) == len(facts[name])
