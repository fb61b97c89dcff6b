"""The registry client on a real Distribution."""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
import subprocess
import tracemalloc
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.registry import OCI_INDEX, OCI_MANIFEST, Descriptor, Manifest, Registry
from pipeline.model import Digest, ImageRef, Repository
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Answer, Bench, Proxy, Server

pytestmark = pytest.mark.needs("registry")

KIND = "application/vnd.example.note+json"


def behind(proxy: Proxy, registry: Registry, *, patience: float = 5.0) -> Registry:
    """The same repository, through the proxy."""
    return Registry(Repository(proxy.host, registry.repository.path), patience=patience)


# -- reading ------------------------------------------------------------------------------------------


def test_what_is_absent_is_none_and_no_error(bench: Bench) -> None:
    """A repository that does not exist has no tags, manifests, blobs or referrers."""
    nothing = Digest(f"sha256:{'0' * 64}")
    empty = bench.destination
    assert (empty.digest_of("latest"), empty.manifest("latest"), empty.blob_size(nothing)) == (None,) * 3
    assert (empty.tags(), empty.referrers(nothing, KIND).descriptors) == ((), ())
    assert not empty.intact(empty.repository.at(nothing))


def test_the_configuration_of_an_image_is_read(bench: Bench) -> None:
    """Labels come from the configuration blob, by digest."""
    assert bench.staging.config(bench.image("7" * 64).ref).labels == {"x": "7" * 64}


def test_an_index_is_no_image(bench: Bench) -> None:
    """An index changes with every build; the message says to name a platform's manifest."""
    inner = bench.staging.manifest(bench.image().ref.digest)
    assert inner
    document = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [inner.descriptor.plain]}
    digest = bench.staging.put_manifest(Manifest(json.dumps(document).encode(), OCI_INDEX))
    with pytest.raises(RegistryError, match="index of several images"):
        bench.staging.config(bench.staging.repository.at(digest))


def test_every_page_of_tags_is_read(bench: Bench, proxy: Proxy) -> None:
    """The list comes in pages; this registry is asked for small ones."""
    manifest = bench.staging.manifest(bench.image().ref.digest)
    assert manifest
    names = tuple(f"t{number}" for number in range(5))
    for name in names:
        bench.staging.put_manifest(manifest, name)

    def pages(_method: str, path: str) -> Answer | None:
        if "/tags/list" not in path:
            return None
        first = "last=" not in path
        link = {"Link": f'<{path}&last=t2>; rel="next"'} if first else {}
        return 200, link, json.dumps({"tags": names[:3] if first else names[3:]}).encode()

    proxy.before = pages
    assert behind(proxy, bench.staging).tags() == bench.staging.tags() == names


def test_an_image_that_lost_a_layer_is_not_intact(own_bench: Bench, own_server: Server) -> None:
    """The manifest is there, a blob is not."""
    ref = own_bench.image().ref
    assert own_bench.staging.intact(ref)
    manifest = own_bench.staging.manifest(ref.digest)
    assert manifest
    lost = manifest.layers[0].digest.hex
    shutil.rmtree(own_server.data / "docker/registry/v2/blobs/sha256" / lost[:2] / lost)
    assert not own_bench.staging.intact(ref)


@pytest.mark.parametrize("what", ["manifests", "blobs"])
def test_other_bytes_under_a_digest_are_refused(bench: Bench, proxy: Proxy, what: str) -> None:
    """Whoever changes a body on the way, by one byte, is found out."""
    ref = bench.image().ref
    proxy.after = lambda method, path, answer: (
        (answer[0], answer[1], answer[2] + b" ") if method == "GET" and f"/{what}/" in path else answer
    )
    with pytest.raises(RegistryError, match="with other bytes"):
        behind(proxy, bench.staging).config(ref)


def test_a_body_without_end_is_refused(bench: Bench, proxy: Proxy) -> None:
    """Only so much is read as a manifest may have."""
    ref = bench.image().ref
    proxy.after = lambda _method, _path, answer: (answer[0], answer[1], b" " * (5 << 20))
    with pytest.raises(RegistryError, match="more than 4194304 bytes"):
        behind(proxy, bench.staging).manifest(ref.digest)


# -- a busy registry ----------------------------------------------------------------------------------


def failing(proxy: Proxy, times: int, status: int, headers: dict[str, str]) -> None:
    """Answer the first requests with this."""

    def before(_method: str, _path: str) -> Answer | None:
        return (status, headers, b"") if len(proxy.seen) <= times else None

    proxy.before = before


@pytest.mark.parametrize(("status", "headers"), [(503, {}), (429, {"Retry-After": "0"}), (500, {})])
def test_a_busy_registry_is_asked_again(
    bench: Bench, proxy: Proxy, status: int, headers: dict[str, str]
) -> None:
    """Three bad answers, then the good one."""
    ref = bench.image().ref
    failing(proxy, 3, status, headers)
    assert behind(proxy, bench.staging).digest_of(str(ref.digest)) == ref.digest
    assert len(proxy.seen) == 4


def test_patience_ends(bench: Bench, proxy: Proxy) -> None:
    """A registry that asks for more time than we have is an error at once, not after that time."""
    failing(proxy, 1000, 429, {"Retry-After": "3600"})
    with pytest.raises(RegistryError, match="answered 429"):
        behind(proxy, bench.staging).tags()
    assert len(proxy.seen) == 1


def test_a_connection_that_breaks_is_made_again(bench: Bench, proxy: Proxy) -> None:
    """The registry hangs up twice."""

    def hang_up(_method: str, _path: str) -> None:
        if len(proxy.seen) <= 2:
            raise ConnectionResetError

    proxy.before = hang_up
    assert behind(proxy, bench.staging).tags() == ()


def test_a_full_disk_is_named(bench: Bench, proxy: Proxy) -> None:
    """Not repeated, as more of the same will not help."""
    body = json.dumps({"errors": [{"code": "UNKNOWN", "detail": "write: no space left on device"}]}).encode()
    proxy.before = lambda method, _path: (500, {}, body) if method == "POST" else None
    with pytest.raises(RegistryError, match="disk is full"):
        behind(proxy, bench.staging).put_blob(b"x")


def test_a_blob_that_is_denied_once_is_looked_for_and_the_manifest_sent_again(
    bench: Bench, proxy: Proxy
) -> None:
    """Under load a registry denies blobs that it has."""
    manifest = bench.staging.manifest(bench.image().ref.digest)
    assert manifest
    body = json.dumps({"errors": [{"code": "MANIFEST_BLOB_UNKNOWN", "message": "no"}]}).encode()
    proxy.before = lambda method, _path: (
        (400, {}, body) if method == "PUT" and len(proxy.writes) == 1 else None
    )
    behind(proxy, bench.staging).put_manifest(manifest, "again")
    assert bench.staging.digest_of("again") == manifest.digest
    assert all(method == "PUT" for method, _ in proxy.writes)


# -- blobs --------------------------------------------------------------------------------------------


def big_blob(registry: Registry, size: int) -> Descriptor:
    """A blob of zeros and a random end."""
    blob = registry.put_blob(bytes(size) + secrets.token_bytes(32))
    return Descriptor("application/octet-stream", blob.digest, blob.size)


def test_a_mount_that_is_refused_is_a_copy(bench: Bench, proxy: Proxy) -> None:
    """A 202 is an upload, not a mount: it is cancelled, and the blob is streamed."""
    blob = big_blob(bench.staging, 100_000)

    def refuse(method: str, path: str, answer: Answer) -> Answer:
        if method == "POST" and "mount=" in path:
            place = f"/v2/{bench.destination.repository.path}/blobs/uploads/none?_state=none"
            return 202, {"Location": place}, b""
        return answer

    proxy.after = refuse
    proxy.before = lambda method, path: (201, {}, b"") if method == "POST" and "mount=" in path else None
    destination = behind(proxy, bench.destination)
    source = behind(proxy, bench.staging)
    assert not destination.mount(blob.digest, source.repository)
    assert [method for method, _ in proxy.writes] == ["POST", "DELETE"]
    destination.mount_or_copy_blob(blob, source)
    assert bench.destination.blob_size(blob.digest) == blob.size


def test_an_unknown_blob_is_not_mounted(bench: Bench) -> None:
    """The real registry answers 202 here."""
    assert not bench.destination.mount(Digest(f"sha256:{'0' * 64}"), bench.staging.repository)


def test_a_blob_goes_from_one_registry_to_another_in_little_memory(bench: Bench, own_bench: Bench) -> None:
    """64 MiB through a few."""
    blob = big_blob(bench.staging, 64 << 20)
    tracemalloc.start()
    try:
        own_bench.destination.mount_or_copy_blob(blob, bench.staging)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert own_bench.destination.blob_size(blob.digest) == blob.size
    assert peak < 16 << 20


def test_a_copy_whose_source_gives_other_bytes_is_refused(
    bench: Bench, own_bench: Bench, proxy: Proxy
) -> None:
    """The destination hashes what it takes; nothing stays there."""
    blob = big_blob(bench.staging, 1000)
    proxy.after = lambda method, _path, answer: (
        (answer[0], answer[1], b"x" + answer[2][1:]) if method == "GET" else answer
    )
    with pytest.raises(RegistryError, match="answered 400"):
        own_bench.destination.copy_blob(blob, behind(proxy, bench.staging))
    assert not own_bench.destination.has_blob(blob.digest)


# -- referrers ----------------------------------------------------------------------------------------


def test_eight_who_attach_at_once_all_stay(bench: Bench) -> None:
    """Without the referrers API all write one list, and this registry lets the last one win."""
    subject = bench.staging.manifest(bench.image().ref.digest)
    assert subject
    start = Barrier(8)

    def attach(number: int) -> Digest:
        start.wait()
        return bench.staging.attach(subject.descriptor, KIND, json.dumps(number).encode(), {})

    with ThreadPoolExecutor(8) as pool:
        attached = set(pool.map(attach, range(8)))
    assert {one.digest for one in bench.staging.referrers(subject.digest, KIND).descriptors} == attached


def test_both_lists_of_referrers_are_read(bench: Bench, proxy: Proxy) -> None:
    """What the API says and what the fallback tag says, each once."""
    subject = bench.staging.manifest(bench.image().ref.digest)
    assert subject
    bench.staging.attach(subject.descriptor, KIND, b"1", {})
    listed = bench.staging.referrers(subject.digest, KIND).descriptors
    more = Descriptor(OCI_MANIFEST, Digest(f"sha256:{'9' * 64}"), 7, KIND)
    page = json.dumps({"manifests": [listed[0].plain, more.plain, {"digest": "nonsense"}, 5]}).encode()
    proxy.before = lambda _method, path: (200, {}, page) if "/referrers/" in path else None
    found = behind(proxy, bench.staging).referrers(subject.digest, KIND).descriptors
    assert {one.digest for one in found} == {listed[0].digest, more.digest}


def test_no_list_is_written_where_the_registry_keeps_referrers(bench: Bench, proxy: Proxy) -> None:
    """It says so by OCI-Subject."""
    subject = bench.staging.manifest(bench.image().ref.digest)
    assert subject
    proxy.after = lambda method, path, answer: (
        (answer[0], answer[1] | {"OCI-Subject": str(subject.digest)}, answer[2])
        if method == "PUT" and "/manifests/" in path
        else answer
    )
    behind(proxy, bench.staging).attach(subject.descriptor, KIND, b"1", {})
    assert bench.staging.tags() == ()


# -- logging in ---------------------------------------------------------------------------------------


@pytest.fixture
def logged_in(proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Docker knows user and password for the proxy's registry."""
    secret = b64encode(b"user:password").decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {proxy.host: {"auth": secret}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return iter(())


class Door:
    """Lets only those in who have a token; tokens expire when told."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy, self.tokens = proxy, 0
        self.open = True

    def __call__(self, _method: str, path: str) -> Answer | None:
        if path.startswith("/token?"):
            self.tokens, self.open = self.tokens + 1, True
            return 200, {}, json.dumps({"token": f"t{self.tokens}"}).encode()
        if self.open and self.tokens:
            return None
        realm = f'Bearer realm="http://{self.proxy.host}/token",service="here",scope="repository:x:pull,push"'
        return 401, {"WWW-Authenticate": realm}, b""


@pytest.mark.usefixtures("logged_in")
def test_a_token_is_fetched_once_and_renewed_when_it_expires(bench: Bench, proxy: Proxy) -> None:
    """Two requests, one token; after it has expired, a second one, in the middle of the work."""
    door = Door(proxy)
    proxy.before = door
    registry = behind(proxy, bench.staging)
    registry.tags()
    registry.tags()
    assert door.tokens == 1
    door.open = False
    registry.put_blob(b"after it expired")
    assert door.tokens == 2


@pytest.mark.usefixtures("logged_in")
def test_a_login_that_is_refused_says_how_to_log_in(bench: Bench, proxy: Proxy) -> None:
    """One renewal, then an error, not a loop."""
    proxy.before = lambda _method, _path: (401, {"WWW-Authenticate": 'Basic realm="here"'}, b"")
    with pytest.raises(RegistryError, match=f"docker login {proxy.host}"):
        behind(proxy, bench.staging).tags()
    assert len(proxy.seen) == 2


# -- as others see it ---------------------------------------------------------------------------------


@pytest.mark.needs("oras", "skopeo")
def test_oras_and_skopeo_resolve_the_tag_to_the_digest(bench: Bench) -> None:
    """Two independent clients."""
    ref = bench.image().ref
    manifest = bench.staging.manifest(ref.digest)
    assert manifest
    bench.staging.put_manifest(manifest, "latest")
    tag = str(ref.repository.tagged("latest"))
    oras = subprocess.run(
        ["oras", "resolve", "--plain-http", tag], capture_output=True, text=True, check=True
    ).stdout.strip()
    raw = subprocess.run(
        ["skopeo", "inspect", "--raw", "--tls-verify=false", f"docker://{tag}"],
        capture_output=True,
        check=True,
    ).stdout
    assert oras == f"sha256:{hashlib.sha256(raw).hexdigest()}" == str(ref.digest)
    assert ImageRef.parse(f"{ref.repository}@{oras}") == ref
