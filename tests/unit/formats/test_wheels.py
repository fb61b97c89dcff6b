"""Names of wheels: what a Python installs on a glibc, and which glibc a name asks for."""

from __future__ import annotations

import pytest
from packaging.tags import Tag, parse_tag

from pipeline.formats import wheels


def test_a_wheel_for_this_python_is_better_than_one_for_the_stable_abi_or_for_all() -> None:
    order = [str(tag) for tag in wheels.tags("3.11", "x86_64", "2.36")]
    best = ["cp311-cp311-manylinux_2_28_x86_64", "cp311-abi3-manylinux_2_17_x86_64", "py3-none-any"]
    assert sorted(best, key=order.index) == best


def test_no_wheel_for_a_newer_glibc_is_installed() -> None:
    order = {str(tag) for tag in wheels.tags("3.11", "x86_64", "2.36")}
    assert "cp311-cp311-manylinux_2_36_x86_64" in order
    assert "cp311-cp311-manylinux_2_37_x86_64" not in order


@pytest.mark.parametrize("name", ["manylinux1", "manylinux2010", "manylinux2014"])
def test_the_older_names_of_manylinux_are_installed(name: str) -> None:
    assert Tag("cp311", "cp311", f"{name}_aarch64") in wheels.tags("3.11", "aarch64", "2.36")


def test_an_old_glibc_installs_no_manylinux2014() -> None:
    assert Tag("cp311", "cp311", "manylinux2014_x86_64") not in set(wheels.tags("3.11", "x86_64", "2.12"))


@pytest.mark.parametrize(
    ("platform", "glibc"),
    [
        ("manylinux_2_28_x86_64", (2, 28)),
        ("manylinux1_x86_64", (2, 5)),
        ("manylinux2014_x86_64", (2, 17)),
        ("manylinux2077_x86_64", None),
        ("manylinux_2_28_aarch64", None),
        ("linux_x86_64", None),
        ("macosx_11_0_x86_64", None),
        ("any", None),
    ],
)
def test_the_name_of_a_platform_says_the_glibc_of_its_machine(
    platform: str, glibc: tuple[int, int] | None
) -> None:
    (tag,) = parse_tag(f"cp311-cp311-{platform}")
    assert wheels.glibc_of(tag, "x86_64") == glibc


def test_what_is_installed_on_a_glibc_asks_for_no_newer_one() -> None:
    """Both readings of a name agree."""
    asked = [wheels.glibc_of(tag, "x86_64") for tag in wheels.tags("3.12", "x86_64", "2.31")]
    assert max(glibc for glibc in asked if glibc) == (2, 31)
