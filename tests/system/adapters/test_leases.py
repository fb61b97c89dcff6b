"""Processes that want the same thing: one has it, the others wait, and nothing outlives its owner."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, TypeAlias

import pytest

from pipeline.adapters import leases
from pipeline.adapters.leases import CORES, of_gpu
from pipeline.model.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Hold: TypeAlias = "Callable[..., subprocess.Popen[str]]"
HOLDS = """
import sys
from pipeline.adapters import leases
resource = leases.Resource(sys.argv[1], sys.argv[1], int(sys.argv[2]))
with leases.lease(resource, float(sys.argv[3]), waits=lambda _: print("waits", flush=True)):
    print("has it", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for locks that is not the machine's, and for all users like it."""
    place = tmp_path / "lock"
    place.mkdir()
    place.chmod(0o1777)
    monkeypatch.setenv(leases.VARIABLE, str(place))
    return place


@pytest.fixture
def hold(folder: Path) -> Iterator[Hold]:  # noqa: ARG001 - what it starts looks there
    """Starts a process that has a share of something until it is told to end; it is ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def start(resource: leases.Resource, share: float = 1.0, *, waits: bool = False) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", HOLDS, resource.name, str(resource.parts), str(share)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert _says(process, "waits" if waits else "has it")
        return process

    yield start
    for process in started:
        process.kill()
        with process:
            pass


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()


def _says(process: subprocess.Popen[str], text: str) -> bool:
    assert process.stdout
    return process.stdout.readline() == f"{text}\n"


def _is_free(resource: leases.Resource, share: float = 1.0, seconds: float = 0.0) -> bool:
    try:
        with leases.lease(resource, share, seconds=seconds):
            return True
    except MachineError:
        return False


def test_who_waits_says_for_what_and_for_whom_and_goes_on_when_it_is_free(hold: Hold) -> None:
    other, said = hold(CORES), list[str]()
    threading.Timer(1.0, _end, [other]).start()
    started = time.monotonic()
    with leases.lease(CORES, waits=said.append, seconds=30):
        assert 0.5 < time.monotonic() - started < 20
    (text,) = said
    assert text.startswith(f"waits for the cores of this machine; held by process {other.pid} (python")


def test_what_a_killed_process_had_is_free_at_once(hold: Hold) -> None:
    """Nobody cleans up: it is the kernel that unlocks."""
    other = hold(CORES)
    assert not _is_free(CORES)
    other.send_signal(signal.SIGKILL)
    other.wait()
    started = time.monotonic()
    assert _is_free(CORES, seconds=10)
    assert time.monotonic() - started < 1


def test_one_that_is_killed_while_it_waits_keeps_nobody_waiting(hold: Hold) -> None:
    first, second = hold(CORES), hold(CORES, waits=True)
    second.send_signal(signal.SIGKILL)
    second.wait()
    _end(first)
    assert _is_free(CORES, seconds=10)


def test_small_shares_of_a_gpu_are_had_together_as_long_as_they_fit(hold: Hold) -> None:
    gpu, other = of_gpu("GPU-1"), of_gpu("GPU-2")
    hold(gpu, 0.3)
    hold(gpu, 0.3)
    assert _is_free(gpu, 0.4)
    assert not _is_free(gpu, 0.45)
    assert _is_free(other)


def test_a_large_share_is_not_overtaken_by_small_ones(hold: Hold) -> None:
    gpu = of_gpu("GPU-1")
    small, large = hold(gpu, 0.3), hold(gpu, 0.9, waits=True)
    assert not _is_free(gpu, 0.1, seconds=0.5)
    _end(small)
    assert _says(large, "has it")


def test_who_is_told_of_another_folder_waits_for_nobody_in_this_one(
    hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(CORES)
    (tmp_path / "other").mkdir()
    (tmp_path / "other").chmod(0o1777)
    monkeypatch.setenv(leases.VARIABLE, str(tmp_path / "other"))
    assert _is_free(CORES)


def test_what_lies_in_place_of_a_lock_is_not_opened(folder: Path, tmp_path: Path) -> None:
    """Anyone may make files in that folder."""
    (folder / "tagproof-cores.queue").symlink_to(tmp_path / "precious")
    with pytest.raises(MachineError, match="it is a link"), leases.lease(CORES):
        pass
    assert not (tmp_path / "precious").exists()


def test_a_folder_that_is_not_for_all_users_is_no_place_for_locks(folder: Path) -> None:
    """Two users would have one each."""
    folder.chmod(0o755)
    with pytest.raises(MachineError, match="no folder for locks"), leases.lease(CORES):
        pass
