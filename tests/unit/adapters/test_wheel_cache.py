"""The wheel cache: a file has its name only when it is the locked one."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING, BinaryIO

import pytest

from pipeline.adapters import files, wheel_cache
from pipeline.model import Pin
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

BODY = b"a wheel"
PIN = Pin("six", "1.0", hashlib.sha256(BODY).hexdigest(), "six-1.0-py3-none-any.whl", len(BODY))


def folder_with(path: Path, body: bytes) -> Path:
    path.mkdir()
    (path / PIN.filename).write_bytes(body)
    return path


def test_a_wheel_in_a_local_folder_is_taken_without_an_index(tmp_path: Path) -> None:
    local = folder_with(tmp_path / "local", BODY)
    assert wheel_cache.copy_local([PIN], tmp_path / "cache", [local]) == ()
    assert wheel_cache.path_of(PIN, tmp_path / "cache").read_bytes() == BODY
    assert wheel_cache.missing([PIN], tmp_path / "cache") == ()


def test_a_local_wheel_of_another_hash_is_not_taken_and_not_removed(tmp_path: Path) -> None:
    local = folder_with(tmp_path / "local", b"another")
    assert wheel_cache.copy_local([PIN], tmp_path / "cache", [local]) == (PIN,)
    assert (local / PIN.filename).read_bytes() == b"another"


def test_the_first_folder_that_holds_the_hash_is_enough(tmp_path: Path) -> None:
    wrong = folder_with(tmp_path / "wrong", b"another")
    right = folder_with(tmp_path / "right", BODY)
    assert wheel_cache.copy_local([PIN], tmp_path / "cache", [wrong, right]) == ()


def test_a_file_of_the_wrong_size_counts_as_missing(tmp_path: Path) -> None:
    path = wheel_cache.path_of(PIN, tmp_path)
    path.parent.mkdir()
    path.write_bytes(BODY[:3])
    assert wheel_cache.missing([PIN], tmp_path) == (PIN,)


def test_nothing_outside_of_the_cache_is_removed(tmp_path: Path) -> None:
    """A folder of the cache that is a link, or a pin whose file name is a path, leads nowhere."""
    cache, outside = tmp_path / "cache", folder_with(tmp_path / "outside", b"precious")
    cache.mkdir()
    (cache / PIN.sha256).symlink_to(outside)
    with pytest.raises(UsageError, match=PIN.sha256):
        wheel_cache.missing([PIN], cache)
    assert (outside / PIN.filename).read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["/home/you/other.whl", "../x.whl", "..", "", "a\\b.whl", "a\0.whl"])
def test_a_path_is_no_name_of_a_wheel(name: str) -> None:
    with pytest.raises(ValueError, match="is not a file name"):
        Pin("six", "1.0", PIN.sha256, name, 1)


def test_a_wheel_that_changes_while_it_is_copied_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is judged is the copy, not what lay in the folder before."""
    local = folder_with(tmp_path / "local", BODY)
    real = files.opened

    def swapped(path: Path) -> BinaryIO:
        path.write_bytes(b"another"[: len(BODY)])
        return real(path)

    monkeypatch.setattr(files, "opened", swapped)
    assert wheel_cache.copy_local([PIN], tmp_path / "cache", [local]) == (PIN,)
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_of_a_file_that_grows_no_more_than_the_locked_size_is_taken(tmp_path: Path) -> None:
    with (tmp_path / "source").open("w+b") as source, (tmp_path / "copy").open("wb") as copy:
        source.write(BODY + b"more")
        source.seek(0)
        assert wheel_cache._copy(source, copy, len(BODY)) == PIN.sha256


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_what_is_no_file_in_a_local_folder_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    (tmp_path / "local").mkdir()
    offered = tmp_path / "local" / PIN.filename
    if kind == "pipe":
        os.mkfifo(offered)
    elif kind == "folder":
        offered.mkdir()
    else:
        offered.symlink_to("/dev/zero")
    assert wheel_cache.copy_local([PIN], tmp_path / "cache", [tmp_path / "local"]) == (PIN,)


@pytest.mark.parametrize("name", ["half", PIN.filename])
def test_a_link_in_the_cache_is_not_written_through(tmp_path: Path, name: str) -> None:
    local, outside = folder_with(tmp_path / "local", BODY), tmp_path / "outside"
    outside.write_text("precious")
    folder = tmp_path / "cache" / PIN.sha256
    folder.mkdir(parents=True)
    (folder / name).symlink_to(outside)
    with suppress(UsageError):
        wheel_cache.copy_local([PIN], tmp_path / "cache", [local])
    assert outside.read_text() == "precious"
