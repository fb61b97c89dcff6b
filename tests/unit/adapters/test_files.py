"""Files are read when they are files, written whole, and nothing is ever written through a link."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters import files
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A file of the user that is none of ours."""
    file = tmp_path / "other"
    file.write_text("precious")
    return file


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "file"
    files.write(file, b"old")
    files.write(file, b"new")
    assert file.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [file]


def test_the_mode_of_a_file_is_the_one_asked_for(tmp_path: Path) -> None:
    before = os.umask(0o077)
    files.write(tmp_path / "file", b"", mode=0o644)
    os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o644


def test_a_link_in_the_place_of_a_file_is_refused_by_name(tmp_path: Path, other: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(other)
    for attempt in (lambda: files.write(link, b"x"), lambda: files.create(link)):
        with pytest.raises(UsageError, match=rf"{link}: a link to .*other"):
            attempt()
    assert other.read_text() == "precious"
    assert link.is_symlink()


def test_a_link_that_was_guessed_beforehand_is_not_written_through(tmp_path: Path, other: Path) -> None:
    """The name of what is written before it is renamed cannot be known."""
    for name in ("file.half", ".file", "half", f".file.{os.getpid()}", f"file.{os.getpid()}"):
        (tmp_path / name).symlink_to(other)
    files.write(tmp_path / "file", b"x")
    assert other.read_text() == "precious"


@pytest.mark.parametrize("place", ["one", "one/two"])
def test_a_link_in_the_place_of_a_folder_is_refused_by_name(tmp_path: Path, place: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    (outside / "two").mkdir(parents=True)
    (root / place).parent.mkdir(parents=True)
    (root / place).symlink_to(outside)
    with pytest.raises(UsageError, match=f"{root / place}: a link"):
        files.folder(root, "one", "two")


def test_a_link_to_nowhere_or_a_file_is_no_folder_either(tmp_path: Path, other: Path) -> None:
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent")
    for name in ("nowhere", other.name):
        with pytest.raises(UsageError, match=name):
            files.folder(tmp_path, name)


def test_a_file_of_an_absent_folder_is_an_error_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        files.write(tmp_path / "absent" / "file", b"")


def test_a_folder_in_the_place_of_a_file_is_an_error_of_usage(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=str(tmp_path)):
        files.create(tmp_path)


def test_an_older_file_gives_way_to_one_that_is_written_bit_by_bit(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("old")
    with files.create(tmp_path / "log") as file:
        file.write(b"new")
    assert (tmp_path / "log").read_text() == "new"


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_only_a_regular_file_is_read(tmp_path: Path, kind: str) -> None:
    """A pipe would be waited for, and a device has no end."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "device").symlink_to("/dev/zero")
    with pytest.raises(OSError, match="no regular file"):
        files.read(tmp_path / kind, 10)


def test_a_file_that_is_too_large_is_not_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(11))
    with pytest.raises(OSError, match="larger than 10 bytes"):
        files.read(tmp_path / "file", 10)
    assert files.read(tmp_path / "file", 11) == bytes(11)


def test_a_link_is_read_only_where_it_may_be_one(tmp_path: Path, other: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(other)
    assert files.read(link, 10) == b"precious"
    with pytest.raises(OSError, match="is a link"):
        files.read(link, 10, links=False)
