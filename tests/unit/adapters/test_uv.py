"""The resolver is asked for a platform that it knows, and that the base can run."""

from __future__ import annotations

import re
import subprocess
from itertools import product
from typing import TYPE_CHECKING

import pytest
from uv import find_uv_bin

from pipeline.adapters import uv
from pipeline.model import VARIANT_INDEX
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

MACHINES = ("x86_64", "aarch64")


def uvs_own() -> set[str]:
    """The platforms by version of glibc that this uv takes, as it lists them itself."""
    done = subprocess.run(
        [find_uv_bin(), "pip", "compile", "--help"], capture_output=True, text=True, check=True
    )
    return set(re.findall(r"\b\w+-manylinux_\d+_\d+\b", done.stdout))


def test_the_platforms_that_we_know_are_those_that_uv_knows() -> None:
    """So that no upgrade of uv goes by unseen: what it learns we ask for, what it drops we do not."""
    assert {
        uv.platform_of(machine, f"2.{minor}") for machine, minor in product(MACHINES, uv.GLIBCS)
    } == uvs_own()


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("glibc", "platform"),
    [
        ("2.17", "manylinux_2_17"),
        ("2.26", "manylinux_2_17"),
        ("2.28", "manylinux_2_28"),
        ("2.30", "manylinux_2_28"),
        ("2.35", "manylinux_2_35"),
        ("2.36", "manylinux_2_36"),
        ("2.41", "manylinux_2_40"),
        ("2.99", "manylinux_2_40"),
    ],
)
def test_wheels_may_ask_for_the_newest_glibc_that_uv_knows_and_the_base_has(
    machine: str, glibc: str, platform: str
) -> None:
    assert uv.platform_of(machine, glibc) == f"{machine}-{platform}"


@pytest.mark.parametrize("glibc", ["2.5", "2.16"])
def test_a_glibc_that_is_older_than_all_of_them_is_refused(glibc: str) -> None:
    """There is nothing that could be asked for, and a newer one would not run."""
    with pytest.raises(UsageError, match=rf"glibc {glibc} is older than 2\.17"):
        uv.platform_of("x86_64", glibc)


@pytest.mark.parametrize(
    ("name", "is_taken"),
    [
        ("torch-2.13.0+cpu-cp313-cp313-manylinux_2_28_x86_64.whl", True),
        ("torch-2.13.0+cpu-cp39-abi3-manylinux_2_28_x86_64.whl", True),
        ("torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl", False),
        ("torch-2.12.0+cpu-cp313-cp313-manylinux_2_28_x86_64.whl", False),
        ("torch.whl", False),
    ],
)
def test_a_folder_is_looked_at_first_where_it_has_the_build_for_this_python(
    name: str, is_taken: bool, tmp_path: Path
) -> None:
    """Else PyTorch's own index is asked: a wheel for another Python must not hide what lies there."""
    (tmp_path / name).touch()
    url, is_a_folder = uv._variant_source("torch", "2.13.0+cpu", "3.13", tmp_path / "links", [tmp_path])
    assert is_a_folder is is_taken
    assert url == ((tmp_path / "links").as_uri() if is_taken else f"{VARIANT_INDEX}/cpu")
