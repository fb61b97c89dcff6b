"""The wheel cache: a file has its name only when it is the locked one."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pipeline import wheels
from pipeline.nouns import Pin

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
    assert wheels.adopt([PIN], tmp_path / "cache", [local]) == ()
    assert wheels.path_of(PIN, tmp_path / "cache").read_bytes() == BODY
    assert wheels.missing([PIN], tmp_path / "cache") == ()


def test_a_local_wheel_of_another_hash_is_not_taken_and_not_removed(tmp_path: Path) -> None:
    local = folder_with(tmp_path / "local", b"another")
    assert wheels.adopt([PIN], tmp_path / "cache", [local]) == (PIN,)
    assert (local / PIN.filename).read_bytes() == b"another"


def test_the_first_folder_that_holds_the_hash_is_enough(tmp_path: Path) -> None:
    wrong = folder_with(tmp_path / "wrong", b"another")
    right = folder_with(tmp_path / "right", BODY)
    assert wheels.adopt([PIN], tmp_path / "cache", [wrong, right]) == ()


def test_a_file_of_the_wrong_size_counts_as_missing(tmp_path: Path) -> None:
    path = wheels.path_of(PIN, tmp_path)
    path.parent.mkdir()
    path.write_bytes(BODY[:3])
    assert wheels.missing([PIN], tmp_path) == (PIN,)
