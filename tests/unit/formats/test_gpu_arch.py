"""Which compiled code runs on which device."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.gpu_arch import Coverage, coverage, in_order

NATIVE, PTX, NONE = Coverage


@pytest.mark.parametrize(
    ("archs", "device", "expected"),
    [
        (("sm_80",), "sm_80", NATIVE),
        (("sm_80",), "sm_89", NATIVE),
        (("sm_89",), "sm_80", NONE),
        (("sm_80",), "sm_90", NONE),
        (("compute_80",), "sm_90", PTX),
        (("compute_90",), "sm_80", NONE),
        (("compute_90", "sm_80"), "sm_86", NATIVE),
        (("compute_80", "sm_90"), "sm_90", NATIVE),
        (("sm_90a",), "sm_90", NATIVE),
        (("sm_100a",), "sm_103", NONE),
        (("sm_100f",), "sm_103", NATIVE),
        (("compute_90a",), "sm_100", NONE),
        (("sm_100",), "sm_120", NONE),
        (("sm_120",), "sm_121", NATIVE),
        (("sm_86",), "sm_87", NONE),
        (("sm_87",), "sm_89", NONE),
        (("sm_110",), "sm_110", NATIVE),
        (("sm_110f",), "sm_110", NATIVE),
        (("sm_101",), "sm_110", NONE),
        (("sm_100f",), "sm_100", NATIVE),
        (("sm_100f",), "sm_101", NONE),
        (("sm_103f",), "sm_100", NONE),
        (("sm_120f",), "sm_121", NATIVE),
        (("sm_100f",), "sm_120", NONE),
        (("compute_100f",), "sm_103", PTX),
        (("compute_100f",), "sm_120", NONE),
        (("compute_100f",), "sm_101", NONE),
        (("compute_100a",), "sm_100", PTX),
        (("sm_120a",), "sm_121", NONE),
        (("sm_80",), "sm_87", NONE),
        (("sm_53",), "sm_53", NATIVE),
        (("sm_50",), "sm_53", NONE),
        (("sm_72",), "sm_75", NONE),
        (("sm_1000",), "sm_90", NONE),
        (("compute_80",), "sm_87", PTX),
        ((), "sm_90", NONE),
        (("nonsense",), "sm_90", NONE),
    ],
)
def test_code_reaches_a_device(archs: tuple[str, ...], device: str, expected: Coverage) -> None:
    """Majors bound machine code, age bounds PTX, a suffix binds to one or to a family, Tegra stands apart."""
    assert coverage(archs, device) is expected


names = st.sampled_from(["sm_70", "sm_80", "sm_87", "sm_90a", "sm_100f", "compute_80", "compute_120"])


@given(archs=st.lists(names), more=st.lists(names), device=st.sampled_from(["sm_75", "sm_90", "sm_103"]))
def test_more_code_never_reaches_less(archs: list[str], more: list[str], device: str) -> None:
    order = list(Coverage)
    before, after = coverage(tuple(archs), device), coverage((*archs, *more), device)
    assert order.index(after) <= order.index(before)


@given(archs=st.permutations(["sm_90a", "sm_90", "compute_90", "sm_100f", "sm_100", "nonsense"]))
def test_the_order_of_architectures_does_not_hang_on_the_order_in_which_they_came(archs: list[str]) -> None:
    assert in_order(tuple(archs)) == ("nonsense", "compute_90", "sm_90", "sm_90a", "sm_100", "sm_100f")


def test_architectures_are_put_in_order_each_once() -> None:
    assert in_order(("sm_120", "sm_75", "sm_100", "sm_75")) == ("sm_75", "sm_100", "sm_120")
