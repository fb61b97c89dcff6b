"""Speeds as facts of a record: what is written is read back, and nothing else is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.model.speeds import FIRST_TOKEN, RATE_ALONE, RATE_TOGETHER, Speed, slower, speeds_of

AT = Speed(0.25, 0.2, 0.3, 9)


def test_a_speed_is_the_median_with_its_quartiles() -> None:
    assert Speed.of([5.0, 1.0, 2.0, 3.0, 4.0]) == Speed(3.0, 2.0, 4.0, 5)
    assert str(AT) == "0.2500 (0.2000 to 0.3000 in 9)"


@given(some.lists(some.floats(0.001, 100_000_000), min_size=2, max_size=20))
def test_what_is_written_is_read_back(values: list[float]) -> None:
    speed = Speed.of(values)
    read = Speed.read(str(speed))
    assert read
    assert str(read) == str(speed)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0.2500",
        "0.25 (0.20 to 0.30 in 9)",
        "0.2500 (0.2000 to 0.3000 in 9) ",
        "0.2500 (0.2000 to 0.3000 in 9)\n",
        "0.2500 (0.3000 to 0.2000 in 9)",
        "0.0000 (0.0000 to 0.0000 in 9)",
        "-0.2500 (0.2000 to 0.3000 in 9)",
        "inf (0.2000 to 0.3000 in 9)",
        "٣.2500 (0.2000 to 5.3000 in 9)",
        f"{'9' * 10}.0000 (0.2000 to 0.3000 in 9)",
    ],
)
def test_any_other_text_is_no_speed(text: str) -> None:
    assert Speed.read(text) is None
    assert speeds_of({FIRST_TOKEN: text, RATE_ALONE: str(AT), "dtype": str(AT)}) == {RATE_ALONE: AT}


def test_a_first_token_is_slower_that_comes_later_and_a_rate_that_is_less() -> None:
    one, double = Speed(0.25, 0.25, 0.25, 9), Speed(0.5, 0.5, 0.5, 9)
    assert (slower(FIRST_TOKEN, double, one), slower(FIRST_TOKEN, one, double)) == (2.0, 0.5)
    assert (slower(RATE_TOGETHER, double, one), slower(RATE_TOGETHER, one, double)) == (0.5, 2.0)


def test_rounds_that_overlap_make_nothing_slower() -> None:
    """The better quarter of the one stands against the worse quarter of the other."""
    double = Speed(0.5, 0.24, 1.0, 9)
    assert slower(FIRST_TOKEN, double, AT) == pytest.approx(0.8)
    assert slower(RATE_ALONE, AT, double) == pytest.approx(0.8)
