"""Sizes as text: one way everywhere."""

from __future__ import annotations

import pytest

from pipeline.formats.units import size


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.00 kB"),
        (80_400, "80.4 kB"),
        (999_499, "999 kB"),
        (999_500, "1.00 MB"),
        (9_994_999, "9.99 MB"),
        (9_996_000, "10.0 MB"),
        (52_428_800, "52.4 MB"),
        (857_000_000, "857 MB"),
        (4_010_000_000, "4.01 GB"),
        (12_400_000_000, "12.4 GB"),
        (99_960_000_000, "100 GB"),
        (1_500_000_000_000, "1.50 TB"),
        (12_345_000_000_000_000, "12.3 PB"),
    ],
)
def test_a_size_has_three_digits_and_a_decimal_unit(count: int, text: str) -> None:
    assert size(count) == text
