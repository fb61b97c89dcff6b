"""A registry that lies or fails, and other publishers: no tag lacks its proof, and a loser says so."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.registry import Registry, limits
from pipeline.model import Publication, Reason, Result
from pipeline.model.errors import RegistryError
from tests.system.publish.publishing import (
    CELL,
    CHANNELS,
    LATER,
    LATEST,
    assert_every_tag_is_proven,
    put,
    tags,
    unreadable_after_write,
)

if TYPE_CHECKING:
    from tests.system.conftest import Answer, Bench, Proxy, Server

pytestmark = pytest.mark.needs("registry")


# -- a registry that lies, and other publishers -------------------------------------------------------


def test_a_channel_that_was_taken_but_cannot_be_read_is_set_back(bench: Bench, proxy: Proxy) -> None:
    """A 201 may be a lie; the previous digest is restored, and the run fails."""
    old, old_decision = bench.proven("1" * 64)
    put(bench, old, old_decision)
    new, decision = bench.proven("2" * 64, finished=LATER)
    proxy.after = unreadable_after_write(proxy, CELL.id)
    with pytest.raises(RegistryError, match=f"names {old.ref.digest} again"):
        put(bench.through(proxy), new, decision)
    assert tags(bench)[CELL.id] == str(old.ref.digest)


def test_a_new_tag_that_was_taken_but_cannot_be_read_is_left_on_the_proven_image(
    bench: Bench, proxy: Proxy
) -> None:
    """Its manifest is never removed: the tags of another publisher may name it by now."""
    image, decision = bench.proven()
    proxy.after = unreadable_after_write(proxy, image.immutable_tag)
    with pytest.raises(RegistryError, match="it did not exist before"):
        put(bench.through(proxy), image, decision)
    assert tags(bench) == {image.immutable_tag: str(image.ref.digest)}
    assert_every_tag_is_proven(bench)


def test_a_channel_whose_read_back_has_other_bytes_is_set_back(bench: Bench, proxy: Proxy) -> None:
    """The right digest in the header and other bytes in the body."""
    old, old_decision = bench.proven("1" * 64)
    put(bench, old, old_decision)
    new, decision = bench.proven("2" * 64, finished=LATER)

    def swap(method: str, path: str, answer: Answer) -> Answer:
        status, headers, body = answer
        ours = headers.get("Docker-Content-Digest") == str(new.ref.digest)
        swapped = method == "GET" and path.endswith(f"/{CELL.id}") and ours
        return (status, headers, body + b" ") if swapped else answer

    proxy.after = swap
    with pytest.raises(RegistryError, match="other bytes"):
        put(bench.through(proxy), new, decision)
    assert tags(bench)[CELL.id] == str(old.ref.digest)


def test_a_destination_that_loses_the_record_gets_no_tag(bench: Bench, proxy: Proxy) -> None:
    """The record was taken and is not given back: nothing more is written."""
    image, decision = bench.proven()

    def lose(method: str, path: str, answer: Answer) -> Answer:
        assert decision.proof
        lost = method == "GET" and decision.proof.manifest.hex in path
        return (404, {}, b"{}") if lost else answer

    proxy.after = lose
    with pytest.raises(RegistryError, match="does not give it back"):
        put(bench.through(proxy), image, decision)
    assert tags(bench) == {}


def test_of_two_publishers_the_one_that_was_overwritten_says_so(bench: Bench) -> None:
    """Another image lands on the channel between our write and our reading."""
    image, decision = bench.proven()
    other = bench.image("2" * 64)
    manifest = bench.staging.manifest(other.ref.digest)
    assert manifest

    def interfere(step: str) -> None:
        if step == "tag latest written":
            bench.destination.mount_or_copy_blobs(manifest.blobs, bench.staging)
            bench.destination.put_manifest(manifest, "latest")

    result = put(bench, image, decision, on_step=interfere)
    assert isinstance(result, Reason)
    assert result.code == "tag-race"
    assert tags(bench)["latest"] == str(other.ref.digest)


def test_a_channel_that_moved_since_it_was_looked_at_is_left_alone(bench: Bench) -> None:
    """Another image lands on the channel after we decided and before we write."""
    image, decision = bench.proven()
    other, other_decision = bench.proven("2" * 64, finished=LATER)

    def interfere(step: str) -> None:
        if step == "manifest stored":
            put(bench, other, other_decision)

    result = put(bench, image, decision, on_step=interfere)
    assert isinstance(result, Reason)
    assert result.code == "tag-race"
    assert tags(bench)["latest"] == str(other.ref.digest)


def test_two_publishers_of_the_same_image_both_succeed(bench: Bench) -> None:
    """They do the same things at the same time, so neither loses."""
    image, decision = bench.proven()
    start = Barrier(4)

    def one(_: int) -> Publication | Reason:
        start.wait()
        return put(bench, image, decision)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(one, range(4)))
    assert all(isinstance(result, Publication | Reason) for result in results)
    assert tags(bench) == dict.fromkeys((image.immutable_tag, *CHANNELS), str(image.ref.digest))
    assert [result for result in results if isinstance(result, Reason)] == []


# -- trouble ------------------------------------------------------------------------------------------


def test_a_read_only_registry_is_an_error_and_keeps_its_tags(own_bench: Bench, own_server: Server) -> None:
    """Nothing is written, and the message names the way out."""
    bench = own_bench
    put(bench, *bench.proven())
    image, decision = bench.proven("2" * 64, finished=LATER)
    before = tags(bench)
    own_server.stop()
    own_server.start(read_only=True)
    with pytest.raises(RegistryError, match=r"405(.|\n)*--repository"):
        put(bench, image, decision)
    assert tags(bench) == before


def test_a_registry_that_is_down_is_an_error(own_bench: Bench, own_server: Server) -> None:
    """It is asked for a while, then named."""
    bench = own_bench
    image, decision = bench.proven()
    own_server.stop()
    places = (bench.staging.repository, bench.destination.repository)
    staging, destination = (Registry(place, patience=0.3) for place in places)
    with pytest.raises(RegistryError, match=f"{own_server.host} does not answer"):
        put(replace(bench, staging=staging, destination=destination), image, decision)


def test_a_failure_that_is_signed_while_the_tags_are_written_takes_them_back(bench: Bench) -> None:
    """A channel that named a good image names that again."""
    old, old_decision = bench.proven("1" * 64)
    put(bench, old, old_decision)
    image, decision = bench.proven("2" * 64, finished=LATER)

    def fail(step: str) -> None:
        if step == "tag latest written":
            bench.prove(image, finished=LATEST, result=Result.FAILED)

    refused = put(bench, image, decision, on_step=fail)
    assert isinstance(refused, Reason)
    assert (refused.code, "latest: it names" in refused.text) == ("not-allowed", True)
    assert set(tags(bench).values()) == {str(old.ref.digest)}
    assert_every_tag_is_proven(bench)


def test_a_layer_that_the_destination_is_known_not_to_take_is_told_before_anything_is_sent(
    bench: Bench, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some registries end the upload of ten gigabytes after all of it was sent."""
    monkeypatch.setattr(limits, "LIMITS", (limits.Limit("127[.0-9:]*", 7999, "here"),))
    image, decision = bench.proven()
    refused = put(bench.through(proxy), image, decision)
    assert isinstance(refused, Reason)
    assert (refused.code, proxy.writes) == ("layer-too-large", [])
