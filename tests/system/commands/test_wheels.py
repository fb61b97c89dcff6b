"""Locks and wheels that cannot be had, as a user meets it: named, with where else they could come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.adapters import wheel_cache
from pipeline.model.errors import MACHINE
from tests.system.commands.package_index import serving
from tests.system.commands.user import BODY, CELL, MATRIX, NO_INDEX, TORCH, User, uv_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.commands.package_index import Index

pytestmark = pytest.mark.needs("engine", "registry", "x86-64")


def test_a_version_that_does_not_exist_leaves_the_old_lock_as_it_was(user: User) -> None:
    """Exit 3, the version and a hint; no half-written file."""
    text = (MATRIX % (user.base, user.repository)).replace("0.32.0", "0.0.999").replace("cpu", "cu130")
    user.writes(text)
    before = {path: path.read_bytes() for path in user.checkout.rglob("*") if path.is_file()}
    done = user.types("lock")
    assert done.returncode == MACHINE, done.stderr
    assert "vllm==0.0.999" in done.stderr
    assert "hint:" in done.stderr
    assert {path: path.read_bytes() for path in user.checkout.rglob("*") if path.is_file()} == before


def test_an_index_that_cannot_be_reached_is_named_where_a_wheel_is_nowhere_else(user: User) -> None:
    """Exit 3, the wheel and where else it could come from."""
    done = user.types("build", **NO_INDEX)
    assert done.returncode == MACHINE
    assert TORCH.filename in done.stderr
    assert "hint: check the network, or name a folder that holds them with --find-links" in done.stderr
    user.left_nothing()


@pytest.mark.needs("index")
def test_an_index_that_cannot_be_reached_does_not_matter_where_a_folder_has_the_wheels(
    user_of_broken_base: User, links: Path
) -> None:
    """It comes to the build, which fails by its base: exit 3, its last lines, no image, nothing left."""
    user = user_of_broken_base
    before = user.tags()
    done = user.types("build", "--find-links", str(links), **NO_INDEX)
    assert done.returncode == MACHINE
    assert "environment.sh" in done.stderr
    assert f"python -m pipeline build {CELL}" in done.stderr
    assert wheel_cache.missing([TORCH, uv_wheel()], user.cache) == ()
    assert list(user.cache.glob("build-*")) == []
    assert user.tags() == before
    user.left_nothing()


def test_a_wheel_of_another_hash_is_refused_and_removed(user: User, index: Index) -> None:
    """The index lies: exit 3, both hashes, no file."""
    index.bodies[TORCH.filename] = BODY[:-1] + bytes([BODY[-1] ^ 1])
    done = user.types("build", **index.environment)
    assert done.returncode == MACHINE
    assert f"locked is sha256:{TORCH.sha256}" in done.stderr
    assert [path for path in user.files() if path.name == TORCH.filename] == []
    assert not (user.cache / TORCH.sha256 / "half").exists()


def test_a_wheel_that_vanished_since_it_was_locked_leaves_all_as_it_was(user: User) -> None:
    """The index has everything else: exit 3, that wheel, both ways out; no file, no tag, the same lock."""
    text = (user.checkout / "locks" / f"{CELL}.txt").read_bytes()
    before = user.files(), user.tags()
    with serving((uv_wheel(),)) as index:
        done = user.types("build", **index.environment)
    assert done.returncode == MACHINE
    assert f"1 wheel found in no folder, and no index offered: {TORCH.filename}\n" in done.stderr
    assert f"hint: lock again: python -m pipeline lock {CELL}, or name a folder" in done.stderr
    uvs_own = {path for path in user.files() if "uv" in path.parts}
    assert (user.files() - uvs_own, user.tags()) == before
    assert (user.checkout / "locks" / f"{CELL}.txt").read_bytes() == text
    user.left_nothing()


def test_a_wheel_that_was_changed_in_the_cache_is_never_used(user: User) -> None:
    """It has the right size and another content: removed, and looked for elsewhere."""
    file = wheel_cache.path_of(TORCH, user.cache)
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(len(BODY)))
    assert user.types("build", **NO_INDEX).returncode == MACHINE
    assert not file.exists()
