"""The registry on this machine: started once, on loopback, and found again; nothing else is taken for one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters import local_registry
from pipeline.adapters.registry import Registry
from pipeline.model import Repository
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Answer, Bench, Proxy, Server

pytestmark = pytest.mark.needs("registry")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder for a registry of our own, which is ended afterwards."""
    data = tmp_path / "data"
    yield data
    local_registry.stop(data)


@pytest.fixture
def free(bench: Bench, unused_port: int) -> Repository:
    """A repository on a port where nothing listens."""
    return Repository(f"127.0.0.1:{unused_port}", bench.staging.repository.path)


def test_a_registry_is_started_once_outlives_us_and_is_found_again(free: Repository, place: Path) -> None:
    """Started, found, written to, ended, started again on the same data."""
    log = place.parent / "registry.log"
    assert local_registry.ensure(free, place, log)
    assert not local_registry.ensure(free, place, log)
    blob = Registry(free).put_blob(b"kept")
    assert local_registry.stop(place)
    assert not local_registry.stop(place)
    assert local_registry.ensure(free, place, log)
    assert Registry(free).has_blob(blob.digest)


def test_it_listens_on_loopback_alone(free: Repository, place: Path) -> None:
    """The kernel's own list of listeners names 127.0.0.1."""
    local_registry.ensure(free, place, place.parent / "log")
    port = f"{int(free.host.rpartition(':')[2]):04X}"
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    addresses = [row[1] for row in table if row[3] == "0A"]
    assert [one for one in addresses if one.endswith(f":{port}")] == [f"0100007F:{port}"]


def test_of_two_who_start_it_at_once_one_does(free: Repository, place: Path) -> None:
    """The other finds it."""
    with ThreadPoolExecutor(2) as pool:
        started = list(pool.map(lambda _: local_registry.ensure(free, place, place.parent / "log"), range(2)))
    assert sorted(started) == [False, True]


def test_a_registry_that_somebody_else_runs_is_used(bench: Bench, place: Path) -> None:
    """It takes uploads, so it will do; the trial upload leaves nothing behind."""
    assert not local_registry.ensure(bench.staging.repository, place, place.parent / "log")


def test_a_read_only_registry_is_no_place_to_publish(
    own_bench: Bench, own_server: Server, place: Path
) -> None:
    """Said before any work, with the way out."""
    own_server.stop()
    own_server.start(read_only=True)
    with pytest.raises(RegistryError, match=r"takes no uploads(.|\n)*--repository"):
        local_registry.ensure(own_bench.staging.repository, place, place.parent / "log")


@pytest.mark.parametrize("answer", [(200, {"Content-Type": "text/html"}, b"hello"), (404, {}, b"")])
def test_what_is_no_registry_is_said_so(bench: Bench, proxy: Proxy, place: Path, answer: Answer) -> None:
    """Something else listens on the port."""
    proxy.before = lambda _method, _path: answer
    repository = Repository(proxy.host, bench.staging.repository.path)
    with pytest.raises(RegistryError, match=r"is no registry(.|\n)*--repository"):
        local_registry.ensure(repository, place, place.parent / "log")


def test_without_the_program_the_message_says_what_to_install(
    free: Repository, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing listens and nothing can be started."""
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RegistryError, match=r"apt-get install docker-registry"):
        local_registry.ensure(free, place, place.parent / "log")


def test_a_registry_elsewhere_is_left_alone(place: Path) -> None:
    """Nothing is started, asked or written for it."""
    assert not local_registry.ensure(Repository("registry.example", "x"), place, place.parent / "log")
    assert not place.exists()
