"""Several writers at once, each as slow as a registry may be: no statement is lost, one publisher wins."""

from __future__ import annotations

import os
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from threading import Barrier, Event
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.registry import Registry
from pipeline.model import Decision, Image, Publication, Reason, Result
from pipeline.stages import attest
from tests.system.conftest import fault_proxy
from tests.system.publish.publishing import CELL, CHANNELS, LATER, assert_every_tag_is_proven, put, tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Answer, Bench, Proxy, Server

pytestmark = pytest.mark.needs("registry")

ROUNDS = int(os.environ.get("TAGPROOF_ROUNDS", "2"))
"""How often each race is run; a hundred times where somebody has the hours."""

DELAY = float(os.environ.get("TAGPROOF_DELAY", "0.3"))
"""The most seconds by which a write is late."""


@pytest.fixture
def proxies(server: Server) -> Iterator[list[Proxy]]:
    """Eight ways to one registry, on each of which every write is late by as much as chance says."""
    with ExitStack() as stack:
        ways = [stack.enter_context(fault_proxy(server.host)) for _ in range(8)]
        for way in ways:
            way.before = late
        yield ways


def late(method: str, _path: str) -> Answer | None:
    """A disk that is busy."""
    if method == "PUT":
        time.sleep(random.uniform(0, DELAY))  # noqa: S311 - chance, no secret
    return None


def at_once(*works: Callable[[], Publication | Reason]) -> list[Publication | Reason]:
    """Do these at the same time."""
    start = Barrier(len(works))

    def one(work: Callable[[], Publication | Reason]) -> Publication | Reason:
        start.wait()
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(one, works))


def publishing(
    bench: Bench, way: Proxy, image: Image, decision: Decision
) -> Callable[[], Publication | Reason]:
    """One publisher, behind its own way to the registry."""
    return lambda: put(bench.through(way, patience=60), image, decision)


def proven(bench: Bench, count: int) -> list[tuple[Image, Decision]]:
    """Images of one cell, all proven in one second."""
    now = "2031-01-01T00:00:00Z"
    return [bench.proven(f"{number + 1:064x}"[::-1], finished=now) for number in range(count)]


def newest(images: list[tuple[Image, Decision]]) -> Image:
    """The one that wins: of proofs of one second the larger digest."""
    return max((image for image, _ in images), key=lambda image: image.ref.digest)


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("turn", range(ROUNDS))
def test_of_publishers_of_one_channel_one_wins_on_all_of_its_tags_and_the_others_are_told(
    bench: Bench, proxies: list[Proxy], count: int, turn: int
) -> None:
    """However late each write lands: no channel is split, and nobody believes that he won who did not."""
    own = bench.elsewhere()
    images = proven(own, count)
    works = [publishing(own, way, *one) for way, one in zip(proxies, images, strict=False)]
    results = at_once(*works)
    won = [result.ref.digest for result in results if isinstance(result, Publication)]
    winner = newest(images).ref.digest
    assert {tags(own)[channel] for channel in CHANNELS} == {str(winner)}, turn
    assert winner in won
    lost = {result.code for result in results if isinstance(result, Reason)}
    assert lost <= {"tag-race", "tag-newer"}
    assert_every_tag_is_proven(own)


@pytest.mark.parametrize("count", [2, 8])
@pytest.mark.parametrize("turn", range(ROUNDS))
def test_publishers_of_one_image_all_succeed_and_lose_no_statement(
    bench: Bench, proxies: list[Proxy], count: int, turn: int
) -> None:
    """Every list of the destination has both statements when all have ended."""
    own = bench.elsewhere()
    image, decision = own.proven()
    results = at_once(*[publishing(own, way, image, decision) for way in proxies[:count]])
    assert [result for result in results if isinstance(result, Reason)] == [], turn
    beside = own.evidence.attestations_of(own.destination, image.ref.digest)
    assert (len(beside.statements), beside.unlisted) == (2, ())
    assert_every_tag_is_proven(own)


@pytest.mark.parametrize("turn", range(ROUNDS))
def test_whoever_attaches_at_the_same_time_loses_no_statement(
    bench: Bench, proxies: list[Proxy], turn: int
) -> None:
    """Eight signed failures beside one image, in both layouts."""
    own = bench.elsewhere()
    image = own.image()

    def attach(way: Proxy) -> None:
        staging = Registry(replace(own.staging.repository, host=way.host), patience=60)
        bundle = attest.sign(own.record(image, result=Result.FAILED, attempt=1 + proxies.index(way)), own.key)
        attest.attach(staging, staging.repository.at(image.ref.digest), bundle)

    with ThreadPoolExecutor(len(proxies)) as pool:
        list(pool.map(attach, proxies))
    beside = own.evidence.attestations_of(own.staging, image.ref.digest)
    assert (len(beside.proofs), beside.unlisted) == (len(proxies), ()), turn


def holding_back(proxy: Proxy, ending: str) -> tuple[Event, Event]:
    """Keep the first write of such a path on its way: what tells that it is, and what lets it go on."""
    held, going = Event(), Event()

    def before(method: str, path: str) -> Answer | None:
        if method == "PUT" and path.endswith(ending) and not held.is_set():
            held.set()
            going.wait(30)
        return None

    proxy.before = before
    return held, going


def test_a_list_that_lands_late_takes_no_proof_from_a_tag(bench: Bench, proxy: Proxy) -> None:
    """Nobody attacks: of two who publish one image, the older list of one lands after the other has ended."""
    image, decision = bench.proven()
    held, going = holding_back(proxy, f"/sha256-{image.ref.digest.hex}")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(put, bench.through(proxy, patience=60), image, decision)
        assert held.wait(30)
        assert isinstance(put(bench, image, decision), Publication)
        assert_every_tag_is_proven(bench)
        going.set()
        assert isinstance(slow.result(), Publication)
    assert_every_tag_is_proven(bench)
    assert bench.evidence.attestations_of(bench.destination, image.ref.digest).unlisted == ()


def test_a_write_that_takes_longer_than_our_patience_is_waited_for(bench: Bench, proxy: Proxy) -> None:
    """Patience is for a registry that is away, not for one that works."""

    def slow(method: str, path: str) -> Answer | None:
        if method == "PUT" and "sha256-" in path:
            time.sleep(1)
        return None

    proxy.before = slow
    image, decision = bench.proven()
    assert isinstance(put(bench.through(proxy, patience=0.5), image, decision), Publication)


def test_a_slow_write_of_an_older_image_does_not_stay_on_a_channel(bench: Bench, proxy: Proxy) -> None:
    """It was sent before the newer image was published, and lands when that publisher has gone."""
    old, old_decision = bench.proven("1" * 64)
    new, new_decision = bench.proven("2" * 64, finished=LATER)
    held, going = holding_back(proxy, f"/{CELL.id}")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(put, bench.through(proxy, patience=60), old, old_decision)
        assert held.wait(30)
        assert isinstance(put(bench, new, new_decision), Publication)
        going.set()
        lost = slow.result()
    assert isinstance(lost, Reason)
    assert (lost.code, str(new.ref.digest) in lost.text) == ("tag-race", True)
    assert {tags(bench)[channel] for channel in CHANNELS} == {str(new.ref.digest)}
