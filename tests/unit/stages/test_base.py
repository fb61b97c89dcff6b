"""The base key names all that shapes a base: no two bases share a tag, and none is made anew for nothing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.model import Base, Cell, Repository, Spec
from pipeline.model.platforms import ARM64
from pipeline.stages import base

IMAGES = Path(__file__).parents[3] / "images"
CELL = Cell("2.13.0", "cpu", "3.11", None)
SPEC = Spec(CELL, Base("bookworm", "2026-11-20"))

COMMITTED = {
    "bookworm": "d209801200130ab89fd8abbab6f555276db2e099da3ea7088da8b2b3dfc42a9e",
    "trixie": "ee945d043c3d9b87b1069feca167b3f949e109db57822210f8801a67be2dd5d9",
}
"""The keys of two bases that are in registries already."""


@pytest.mark.parametrize("suite", COMMITTED)
def test_a_base_that_was_made_before_is_found_again(suite: str) -> None:
    """Write it anew only where images/base.packages or base.Dockerfile has changed."""
    assert base.key(replace(SPEC, base=Base(suite, "2026-11-20")), IMAGES) == COMMITTED[suite]


def test_the_bases_of_two_platforms_do_not_share_a_tag() -> None:
    """One would be pushed over the other, and an image be built on the wrong one."""
    staging = Repository("127.0.0.1:5000", "team/vllm-staging")
    arm = replace(SPEC, cell=replace(CELL, platform=ARM64))
    assert base.home(arm, IMAGES, staging) != base.home(SPEC, IMAGES, staging)


def test_the_cell_beyond_its_platform_is_in_no_base() -> None:
    """All cells of one Python share it, in the registry and on every host that pulls."""
    other = Cell("2.14.0", "cu130", "3.11", "0.33.0")
    assert base.key(replace(SPEC, cell=other), IMAGES) == base.key(SPEC, IMAGES)


def test_another_suite_day_or_package_is_another_base(tmp_path: Path) -> None:
    """And another recipe; its words are none of it."""
    specs = [
        replace(SPEC, base=Base("trixie", "2026-11-20")),
        replace(SPEC, base=Base("bookworm", "2026-11-21")),
        replace(SPEC, system=("libgomp1",)),
    ]
    changed = shutil.copytree(IMAGES, tmp_path / "changed")
    (changed / "base.packages").write_text("python3\n")
    worded = shutil.copytree(IMAGES, tmp_path / "worded")
    (worded / "base.packages").write_text((IMAGES / "base.packages").read_text() + "# in other words\n")
    keys = {base.key(spec, IMAGES) for spec in specs} | {base.key(SPEC, changed), base.key(SPEC, IMAGES)}
    assert len(keys) == len(specs) + 2
    assert base.key(SPEC, worded) == base.key(SPEC, IMAGES)
