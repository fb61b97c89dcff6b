"""An export or import that is ended at any request: nothing false is there, and a second run completes it."""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.layout import Layout
from pipeline.model import Repository
from pipeline.model.errors import MACHINE, RegistryError
from tests.system.publish.carrying import Carrier, at, carrier_of, tags_in
from tests.system.publish.publishing import tags

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")

EVERY = int(os.environ.get("TAGPROOF_KILLS", "29"))
"""Requests between two that are the last; 1 where somebody has the time."""


@pytest.fixture
def carrier(bench: Bench, proxy: Proxy, tmp_path: Path) -> Carrier:
    """One that reaches every registry through a proxy."""
    return carrier_of(bench, tmp_path, host=proxy.host)


def cut(proxy: Proxy, last: int, work: Callable[[], object]) -> bool:
    """Do something while nothing is answered after so many requests; whether it came to its end."""
    proxy.seen.clear()

    def shut(_method: str, _path: str) -> Answer | None:
        return (403, {}, b"") if len(proxy.seen) > last else None

    proxy.before = shut
    try:
        work()
    except RegistryError:
        return False
    finally:
        proxy.before = lambda _method, _path: None
    return True


def fetched(proxy: Proxy) -> set[str]:
    """The blobs that were asked for, by digest."""
    return {path.rpartition("/")[2] for method, path in proxy.seen if method == "GET" and "/blobs/" in path}


def assert_it_is_good(carrier: Carrier) -> None:
    """A folder holds nothing yet, or is a layout in which each tag is accepted and its image is whole."""
    if not (carrier.folder / "index.json").exists():
        return
    layout = Layout.read(carrier.folder)
    for tag in layout.tags():
        manifest = layout.manifest(tag)
        assert manifest
        assert layout.missing(manifest) == ()
        reasons = carrier.judge.accept_in(layout, carrier.here.tagged(tag)).reasons
        assert {reason.code for reason in reasons} <= {"unpublished"}  # its own tag comes with the others


def test_an_export_that_is_ended_anywhere_is_completed_by_another(
    carrier: Carrier, proxy: Proxy, tmp_path: Path
) -> None:
    image, cuts = carrier.published(), 0
    for last in count(1, min(EVERY, 7)):
        own = replace(carrier, folder=tmp_path / str(last))
        if cut(proxy, last, lambda own=own: own.exports(image)):  # type: ignore[misc] # lambda's default
            break
        cuts += 1
        assert_it_is_good(own)
        assert own.exports(image)[0].reasons == ()
        layout = Layout.read(own.folder)
        assert {tag: str(layout.digest_of(tag)) for tag in layout.tags()} == tags(own.bench)
        assert own.evidence_in(layout, image) == own.evidence_in(own.bench.destination, image)
        assert list(own.folder.rglob(".*")) == []
    assert cuts > 3


def test_an_import_that_is_ended_anywhere_leaves_no_tag_without_proof_and_is_completed_by_another(
    carrier: Carrier, proxy: Proxy
) -> None:
    """In every list there is everything afterwards."""
    image, cuts = carrier.published(), 0
    carrier.exports(image)
    for last in count(1, EVERY):
        own = replace(carrier, there=Repository(proxy.host, f"{carrier.there.path}/{last}"))
        if cut(proxy, last, own.imports):
            break
        cuts += 1
        own.assert_every_tag_is_proven()
        assert own.imports()[0].reasons == ()
        there = at(own.bench, own.there)
        assert tags_in(there) == tags(own.bench)
        assert own.bench.evidence.attestations_of(there, image.ref.digest).unlisted == ()
    assert cuts > 3


def test_a_second_run_moves_only_what_is_lacking(carrier: Carrier, proxy: Proxy) -> None:
    """What is in the folder and right is not fetched, and what is in the registry is not pushed."""
    image = carrier.published()
    carrier.exports(image)
    layout = Layout.read(carrier.folder)
    manifest = layout.manifest(image.ref.digest)
    assert manifest
    config, changed, gone = (blob.digest for blob in manifest.blobs)
    layout.path_of(changed).write_bytes(b"x" * 8000)
    layout.path_of(gone).unlink()
    proxy.seen.clear()
    carrier.exports(image)
    assert {str(changed), str(gone)} <= fetched(proxy)
    assert str(config) not in fetched(proxy)
    assert carrier.imports()[0].reasons == ()
    proxy.seen.clear()
    assert carrier.imports()[0].reasons == ()
    assert proxy.writes == []


def test_a_second_run_brings_anew_all_that_was_changed(carrier: Carrier) -> None:
    """Manifests and statements too, though they are listed."""
    image = carrier.published()
    carrier.exports(image)
    files = {path: path.read_bytes() for path in (carrier.folder / "blobs" / "sha256").iterdir()}
    for path, body in files.items():
        path.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    assert carrier.exports(image)[0].reasons == ()
    assert {path: path.read_bytes() for path in files} == files
    layout = Layout.read(carrier.folder)
    assert carrier.evidence_in(layout, image) == carrier.evidence_in(carrier.bench.destination, image)


@pytest.mark.needs("mounts")
def test_a_disk_that_is_full_is_said_in_words(carrier: Carrier) -> None:
    """Before the layers come, by their sizes; and where a file has not all of its bytes."""
    image = carrier.published()
    carrier.folder.mkdir()
    for size, what in (("40k", "are to be written, and "), ("12k", "the disk is full")):
        mount = f'mount -t tmpfs -o size={size} tmpfs "{carrier.folder}" && exec "$@"'
        own = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c", mount, "sh"]
        words = ("export", carrier.here.at(image.ref.digest), "--output", carrier.folder)
        code, out, err = carrier.types(*words, before=tuple(own))
        assert (code, out, what in err) == (MACHINE, "", True), err
        assert "hint: free some room there, or name another folder" in err
