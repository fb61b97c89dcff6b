"""A blob that is broken, or not what it should be: healed, or an error, and nothing is left of it."""

from __future__ import annotations

import json
import re
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.registry import OCI_MANIFEST, ContentError, Descriptor, Manifest, Registry
from pipeline.model import Repository
from pipeline.model.errors import RegistryError
from tests.raw_server import RawServer, answer
from tests.system.adapters.registry.test_bounds import registry

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Answer, Bench, Proxy, Server


@pytest.mark.needs("registry")
def test_a_blob_that_a_full_disk_left_empty_is_healed(own_bench: Bench, own_server: Server) -> None:
    """Its link names nothing, so a HEAD of it fails for ever: it counts as absent, and is stored again."""
    body = b"kept elsewhere"
    blob = own_bench.staging.put_blob(body)
    own_bench.destination.put_blob(b"another")
    links = own_server.data / "docker/registry/v2/repositories" / own_bench.destination.repository.path
    link = links / "_layers/sha256" / blob.digest.hex / "link"
    link.parent.mkdir(parents=True)
    link.write_bytes(b"")
    began = time.monotonic()
    assert not own_bench.destination.has_blob(blob.digest)
    own_bench.destination.mount_or_copy_blob(blob, own_bench.staging)
    assert own_bench.destination.blob(blob.digest) == body
    assert time.monotonic() - began < 15


@pytest.mark.needs("registry")
def test_ten_blobs_that_are_broken_take_no_longer_than_one(bench: Bench, proxy: Proxy) -> None:
    """A publication of such an image is over in seconds, too."""
    image = bench.image()
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    many = Manifest(
        json.dumps(
            manifest.document
            | {"layers": [{**bench.staging.put_blob(bytes([n])).plain, "mediaType": "x"} for n in range(10)]}
        ).encode(),
        OCI_MANIFEST,
    )
    proxy.before = lambda method, path: (500, {}, b"") if method == "HEAD" and "/blobs/" in path else None
    began = time.monotonic()
    broken = Registry(Repository(proxy.host, bench.staging.repository.path)).missing(many)
    assert len(broken) == 11
    assert time.monotonic() - began < 15


@pytest.mark.needs("registry")
def test_a_registry_that_is_away_has_lost_nothing(bench: Bench, proxy: Proxy) -> None:
    """Where nothing else of it answers either, a blob is not absent: nobody knows."""
    blob = bench.staging.put_blob(b"x")
    proxy.before = lambda _method, _path: (503, {}, b"")
    with pytest.raises(RegistryError, match="answered 503"):
        Registry(Repository(proxy.host, bench.staging.repository.path), patience=2).has_blob(blob.digest)


@pytest.mark.needs("registry")
@pytest.mark.parametrize("size", [4_999_999, 5_000_001, 100, 0, 5_000_000_000])
@pytest.mark.parametrize("length", [5_000_000, 10])
def test_a_layer_of_another_length_is_copied_to_nowhere(
    bench: Bench, own_bench: Bench, own_server: Server, size: int, length: int
) -> None:
    """It is an error of ours, and no upload is left that was begun and not ended."""
    blob = bench.staging.put_blob(bytes(length))
    wrong = Descriptor(blob.media_type, blob.digest, size)
    own_bench.destination.put_blob(b"so that there is such a repository")
    with pytest.raises(ContentError, match="its manifest says"):
        own_bench.destination.copy_blob(wrong, bench.staging)
    assert not own_bench.destination.has_blob(blob.digest)
    assert unfinished(own_server, own_bench.destination) == []


def unfinished(server: Server, registry: Registry) -> list[Path]:
    """The uploads that were begun there and are neither ended nor cancelled."""
    folder = server.data / "docker/registry/v2/repositories" / registry.repository.path
    return [*(folder / "_uploads").glob("*/data")]


@pytest.mark.needs("registry")
@pytest.mark.parametrize(
    ("sent", "claimed"),
    [(4_999_000, 4_999_000), (5_001_000, 5_001_000), (4_999_000, 5_000_000), (0, 0), (0, 5_000_000)],
)
def test_a_source_that_lies_or_breaks_off_leaves_no_upload(
    own_server: Server, bench: Bench, proxy: Proxy, sent: int, claimed: int
) -> None:
    """It names the right size, and sends fewer or more, or ends before it has sent what it announced."""
    blob = bench.staging.put_blob(secrets.token_bytes(5_000_000))
    proxy.whole_length = True

    def lie(method: str, _path: str, found: Answer) -> Answer:
        body = (b"x" + found[2]).ljust(sent)[:sent]
        return (found[0], found[1] | {"Content-Length": str(claimed)}, body) if method == "GET" else found

    proxy.after = lie
    lying = Registry(Repository(proxy.host, bench.staging.repository.path), patience=0.5)
    destination = Registry(Repository(own_server.host, "x"), patience=0.5)
    destination.put_blob(b"so that there is such a repository")
    with pytest.raises(RegistryError, match=r"its manifest says|does not answer"):
        destination.copy_blob(blob, lying)
    assert not destination.has_blob(blob.digest)
    assert unfinished(own_server, destination) == []


@pytest.mark.parametrize("after", ["\u00b2", "9" * 400, "9" * 5000, "-1", "1e9", "soon", "\u0661", "0x10"])
def test_any_time_to_retry_after_is_an_error_or_a_time(home: RawServer, after: str) -> None:
    """What is no number of seconds, or more of them than we have patience for."""
    text = after.encode().decode("latin-1")
    home.reply = lambda _asked: answer(503, {"Retry-After": text})
    with pytest.raises(RegistryError, match="answered 503"):
        registry(home).manifest("latest")


@pytest.mark.needs("registry")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_layer_that_is_sent_elsewhere_in_mid_upload_is_an_error(
    bench: Bench, proxy: Proxy, status: int
) -> None:
    """What streams cannot be sent twice."""
    blob = bench.staging.put_blob(bytes(100_000))
    proxy.before = lambda method, path: (
        (status, {"Location": f"{path}&again=1"}, b"") if method == "PATCH" else None
    )
    destination = Registry(Repository(proxy.host, bench.destination.repository.path), patience=1)
    with pytest.raises(RegistryError, match=f"answered {status}, which would take us elsewhere"):
        destination.copy_blob(blob, bench.staging)
    assert proxy.writes[-1][0] == "DELETE"


@pytest.mark.needs("registry")
@pytest.mark.parametrize("form", ["{path}", "http://{host}{path}", "//{host}{path}"])
def test_an_upload_goes_where_it_is_told_in_any_form(bench: Bench, proxy: Proxy, form: str) -> None:
    """Relative, absolute, or without a scheme; with a query of its own."""

    def move(method: str, _path: str, found: Answer) -> Answer:
        if method != "POST":
            return found
        path = re.sub(r"^http://[^/]+", "", found[1]["Location"])
        return found[0], found[1] | {"Location": form.format(host=proxy.host, path=path)}, found[2]

    proxy.after = move
    destination = Registry(Repository(proxy.host, bench.destination.repository.path), patience=1)
    blob = destination.put_blob(b"told")
    assert bench.destination.blob(blob.digest) == b"told"
