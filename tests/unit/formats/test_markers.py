"""Markers of requirements are judged for the Python in question, and not by the one that runs us."""

from __future__ import annotations

import pytest
from packaging.markers import Marker, default_environment

from pipeline.formats import markers


@pytest.mark.parametrize(
    ("marker", "holds"),
    [
        ("python_version < '3.12'", True),
        ("python_full_version >= '3.11.7'", True),
        ("platform_machine == 'aarch64'", True),
        ("platform_machine == 'x86_64'", False),
        ("sys_platform == 'win32'", False),
        ("extra == 'all'", False),
    ],
)
def test_a_marker_is_judged_for_the_python_that_is_named(marker: str, holds: bool) -> None:
    assert Marker(marker).evaluate(dict(markers.environment("3.11", "aarch64", "9"))) == holds


def test_nothing_is_left_to_the_python_that_judges() -> None:
    """A value that is left out there is taken from it."""
    assert default_environment().keys() <= markers.environment("3.11", "x86_64").keys()
