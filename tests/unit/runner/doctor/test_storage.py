"""Disks and registries as ``doctor`` sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.adapters import host, local_registry
from pipeline.model import Repository
from pipeline.model.examinations import Standing
from pipeline.runner.doctor import storage
from pipeline.stages import build
from tests.builders import PYTORCH_CELL, lock, pin
from tests.fuzz.answering import hosts_that_answer, http
from tests.memory_registry import memory_registry

if TYPE_CHECKING:
    from pathlib import Path

ELSEWHERE = Repository("127.0.0.1:5999", "team/vllm")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(storage, "PATIENCE", 0.2)


# -- disks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "standing", "words"),
    [
        (10**12, Standing.GOOD, "1.00 TB free for the wheels and the engine's data"),
        (10**8, Standing.BROKEN, "100 MB free for the wheels and the engine's data"),
    ],
)
def test_a_disk_has_room_for_the_largest_build_or_not(
    free: int, standing: Standing, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "room", lambda _: {("wheels", "engine's data"): free})
    (disk,) = storage.disks({build.WHEELS: tmp_path}, [lock(pin("torch", size=10**9))])
    assert disk.standing is standing
    assert words in disk.text
    assert "the largest build of this matrix needs 8.00 GB" in disk.text
    assert ("docker builder prune" in disk.hint) is (standing is Standing.BROKEN)


def test_a_disk_with_room_for_some_cells_names_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "room", lambda _: {("engine's data",): 10**9})
    small = lock(pin("torch", size=10**7), cell=PYTORCH_CELL)
    large = lock(pin("torch", size=10**9))
    (disk,) = storage.disks({build.ENGINE: tmp_path}, [small, large])
    assert disk.standing is Standing.LIMITED
    assert disk.text.endswith(f"too little for {large.cell.id}")
    assert storage.too_large(large, {build.ENGINE: tmp_path}) == "needs 7.00 GB of disk, 1.00 GB are free"
    assert not storage.too_large(small, {build.ENGINE: tmp_path})


# -- registries ---------------------------------------------------------------------------------------


def test_a_registry_of_this_machine_that_never_was_is_started_when_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_registry, "program", lambda: "/usr/bin/docker-registry")
    there = storage.registry(ELSEWHERE)
    assert (there.standing, there.text) == (
        Standing.GOOD,
        "that of this machine, 127.0.0.1:5999, holds nothing yet; what writes to it starts it",
    )


def test_a_registry_of_this_machine_needs_its_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_registry, "program", lambda: None)
    there = storage.registry(ELSEWHERE)
    assert there.standing is Standing.ABSENT
    assert "apt-get install docker-registry" in there.hint


def test_a_registry_that_can_be_written_is_left_as_it_was() -> None:
    with memory_registry() as registry:
        there = storage._elsewhere(Repository(registry.host, "team/vllm"))
        assert (there.standing, there.text.partition(" ")[2]) == (
            Standing.GOOD,
            "can be read and written",
        )
        assert [method for method, _ in registry.writes] == ["POST", "DELETE"]
        assert not registry.kept["team/vllm"].blobs


@pytest.mark.parametrize(
    ("answer", "standing", "hint"),
    [
        (http(500, b""), Standing.UNKNOWN, "start the registry, or name another"),
        (http(401, b""), Standing.UNKNOWN, "docker login"),
        (http(405, b""), Standing.UNKNOWN, "read-only"),
    ],
)
def test_a_registry_that_refuses_could_not_be_found_out(answer: bytes, standing: Standing, hint: str) -> None:
    with hosts_that_answer(answer):
        there = storage._elsewhere(Repository("127.0.0.1:50990", "a"))
    assert there.standing is standing
    assert hint in there.hint


def test_a_registry_that_takes_no_uploads_can_still_be_read() -> None:
    with hosts_that_answer(http(404, b""), http(403, b"")):
        there = storage._elsewhere(Repository("127.0.0.1:50991", "a"))
    assert there.standing is Standing.LIMITED
    assert "can be read, and takes no uploads" in there.text
