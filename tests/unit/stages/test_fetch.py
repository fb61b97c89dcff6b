"""Fetching: the cache first, then the folders, an index last; what is not the locked wheel is never used."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters import wheel_cache
from pipeline.model import Pin
from pipeline.model.errors import WheelError
from pipeline.stages import fetch
from tests.builders import spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = b"a wheel"
PIN = Pin("six", "1.0", hashlib.sha256(BODY).hexdigest(), "six-1.0-py3-none-any.whl", len(BODY))
SPEC = spec()


class Silent:
    """Is told of bytes."""

    def advance(self, amount: int) -> None:
        """Say nothing."""


@contextmanager
def bar(_total: int) -> Iterator[Silent]:
    yield Silent()


@pytest.fixture(autouse=True)
def no_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever asks an index finds nobody there."""
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")


def test_what_the_cache_holds_needs_no_index(tmp_path: Path) -> None:
    path = wheel_cache.path_of(PIN, tmp_path)
    path.parent.mkdir()
    path.write_bytes(BODY)
    assert fetch.bytes_missing([PIN], tmp_path) == 0
    assert fetch.fetch(SPEC, [PIN], tmp_path, (), bar) == 0


def test_what_a_folder_holds_needs_no_index(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / PIN.filename).write_bytes(BODY)
    assert fetch.fetch(SPEC, [PIN], tmp_path / "cache", (folder,), bar) == 0
    assert wheel_cache.path_of(PIN, tmp_path / "cache").read_bytes() == BODY


def test_a_changed_wheel_in_the_cache_is_replaced_from_a_folder(tmp_path: Path) -> None:
    path = wheel_cache.path_of(PIN, tmp_path / "cache")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"A WHEEL")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / PIN.filename).write_bytes(BODY)
    fetch.fetch(SPEC, [PIN], tmp_path / "cache", (folder,), bar)
    assert path.read_bytes() == BODY


def test_what_is_nowhere_is_named_with_the_ways_to_have_it(tmp_path: Path) -> None:
    assert fetch.bytes_missing([PIN], tmp_path) == len(BODY)
    with pytest.raises(WheelError) as caught:
        fetch.fetch(SPEC, [PIN], tmp_path, (), bar)
    assert PIN.filename in caught.value.what
    assert "--find-links or PIP_FIND_LINKS" in caught.value.hint
