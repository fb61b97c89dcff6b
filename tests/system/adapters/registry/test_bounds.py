"""Time and memory: whatever a registry sends, and however slowly, a request ends, within its bounds."""

from __future__ import annotations

import gc
import gzip
import json
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.registry import OCI_MANIFEST, Descriptor, Manifest, Registry
from pipeline.adapters.web import deadline
from pipeline.model import Digest, Repository
from pipeline.model.errors import RegistryError
from tests.raw_server import Asked, RawServer, answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Answer, Bench

ZEROS = bytes(64)
NOTHING = Digest.of(ZEROS)


def registry(server: RawServer, patience: float = 0.3) -> Registry:
    return Registry(Repository(server.host, "x"), patience=patience)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second instead of a minute, so that a test need not wait for it."""
    monkeypatch.setattr(deadline, "BASE_SECONDS", 1.0)


# -- time ---------------------------------------------------------------------------------------------


def dripping(head: bytes, body: bytes, pause: float = 0.1) -> Callable[[Asked], Iterator[bytes]]:
    """All of the head at once, then a byte at a time."""

    def reply(_asked: Asked) -> Iterator[bytes]:
        yield head
        for number in range(len(body)):
            time.sleep(pause)
            yield body[number : number + 1]

    return reply


HEAD = b"HTTP/1.1 200 x\r\n"
DRIPS = {
    "a body with a length": (HEAD + b"Content-Length: 1000\r\n\r\n", b" " * 1000),
    "a body in chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 1000),
    "a body until the end": (HEAD + b"\r\n", b" " * 1000),
    "headers": (HEAD, b"X: y\r\n" * 1000),
    "a header without end": (HEAD + b"X: ", b"y" * 1000),
    "a status": (b"HTTP/1.1 ", b"2" * 1000),
    "answers before the answer": (b"", b"HTTP/1.1 102 x\r\n\r\n" * 1000),
    "the size of a chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"0" * 1000),
    "what follows the last chunk": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 1000),
    "an error": (b"HTTP/1.1 500 x\r\nContent-Length: 1000\r\n\r\n", b" " * 1000),
    "a challenge": (
        b'HTTP/1.1 401 x\r\nWWW-Authenticate: Bearer realm="x"\r\nContent-Length: 1000\r\n\r\n',
        b" " * 1000,
    ),
}


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("drip", DRIPS)
def test_an_answer_that_drips_ends(home: RawServer, drip: str) -> None:
    """Each byte comes soon enough, and the whole of it never would."""
    home.reply = dripping(*DRIPS[drip])
    began = time.monotonic()
    with pytest.raises(RegistryError):
        registry(home).manifest("latest")
    assert time.monotonic() - began < 4


@pytest.mark.usefixtures("hurried")
def test_answers_before_the_answer_give_no_time(home: RawServer) -> None:
    """As fast as they can be sent: only bytes of a body count for progress."""

    def reply(_asked: Asked) -> Iterator[bytes]:
        while True:
            yield b"HTTP/1.1 102 x\r\n\r\n" * 1000

    home.reply = reply
    began = time.monotonic()
    with pytest.raises(RegistryError):
        registry(home).manifest("latest")
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("hurried")
def test_a_layer_that_drips_ends(home: RawServer) -> None:
    """Though every byte is progress, after which a broken connection would be made again."""
    home.reply = dripping(HEAD + b"Content-Length: 100000\r\n\r\n", b" " * 1000)
    began = time.monotonic()
    layer = Descriptor("x", NOTHING, 100_000)
    with pytest.raises(RegistryError), registry(home).stream(layer) as pieces:
        list(pieces)
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("hurried")
def test_a_layer_that_comes_byte_by_byte_over_many_connections_ends(home: RawServer) -> None:
    """One byte, and the connection breaks; the next is one byte further."""
    home.reply = lambda asked: answer(
        206 if "range" in asked.headers else 200, {"Content-Length": "100000"}, b" "
    )
    began = time.monotonic()
    layer = Descriptor("x", NOTHING, 100_000)
    with pytest.raises(RegistryError), registry(home).stream(layer) as pieces:
        list(pieces)
    assert time.monotonic() - began < 10


@pytest.mark.needs("registry")
@pytest.mark.usefixtures("hurried")
def test_a_layer_whose_reader_takes_its_time_comes_in_full(bench: Bench) -> None:
    """What the reader does between two pieces does not count."""
    body = bytes(3 << 20)
    blob = bench.staging.put_blob(body)
    seen = 0
    with bench.staging.stream(blob) as pieces:
        for piece in pieces:
            time.sleep(0.6)
            seen += len(piece)
    assert seen == len(body)


@pytest.mark.usefixtures("hurried")
def test_an_upload_that_nobody_takes_ends(home: RawServer) -> None:
    """The registry reads nothing of it, or says nothing to it."""

    def reply(asked: Asked) -> Iterator[bytes]:
        if asked.method == "HEAD":
            yield answer(404)
        elif asked.method == "POST":
            yield answer(202, {"Location": "/upload"})
        else:
            time.sleep(20)
            yield b""

    home.reply = reply
    began = time.monotonic()
    with pytest.raises(RegistryError):
        registry(home).put_blob(b"x")
    assert time.monotonic() - began < 8


def test_the_time_of_a_request_is_bounded_by_its_size() -> None:
    """A manifest within two minutes, 8 GB within a day: whoever is slower will not end this week."""
    small, large = deadline.Deadline(), deadline.Deadline()
    small.moved(4 << 20)
    large.moved(8 * 10**9)
    assert small.left() < 120
    assert large.left() < 24 * 3600


# -- memory -------------------------------------------------------------------------------------------


BOMB = gzip.compress(gzip.compress(bytes(1 << 30), 9), 9)
UNASKED = ["gzip, gzip", "gzip", "GZIP", "deflate", "br", "zstd", "x-gzip", "identity, gzip"]


@pytest.mark.parametrize("encoding", UNASKED)
@pytest.mark.parametrize("status", [200, 500])
def test_an_encoding_that_was_not_asked_for_is_refused(home: RawServer, encoding: str, status: int) -> None:
    """It is never unpacked: a few kilobytes would become gigabytes."""
    home.reply = lambda _asked: answer(status, {"Content-Encoding": encoding}, BOMB)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ours = registry(home)
    for attempt in (
        lambda: ours.manifest("latest"),
        lambda: ours.blob(NOTHING),
        ours.tags,
        lambda: ours.digest_of("latest"),
    ):
        with pytest.raises(RegistryError):
            attempt()
    with pytest.raises(RegistryError), ours.stream(Descriptor("x", NOTHING, 5)) as pieces:
        list(pieces)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_layer_longer_than_it_should_be_is_not_read_to_its_end(home: RawServer) -> None:
    """Of a body without end comes little more than the manifest says."""

    def reply(_asked: Asked) -> Iterator[bytes]:
        yield HEAD + b"\r\n"
        while True:
            yield bytes(1 << 20)

    home.reply = reply
    with registry(home).stream(Descriptor("x", NOTHING, 5 << 20)) as pieces:
        assert 5 << 20 < sum(map(len, pieces)) < 8 << 20


# -- lists --------------------------------------------------------------------------------------------


def page(link: str, body: bytes = b'{"tags": ["a"]}') -> Answer:
    return 200, {"Link": link}, body


@pytest.mark.parametrize(
    "link",
    [
        "<{path}>; rel=next",
        '<{path}>; rel="next"',
        '</v2/x/tags/list?n=1>; title="a, b"; rel="next"',
        "<http://127.0.0.1:1/v2/x/tags/list>; rel=next",
        "<http://192.0.2.7/v2/x/tags/list>; rel=next",
        "<//192.0.2.7/v2/x/tags/list>; rel=next",
        "<http://[::1>; rel=next",
        "<http://127.0.0.1:70000/>; rel=next",
        "<\u0661>; rel=next",
    ],
)
def test_a_list_that_leads_elsewhere_or_in_a_circle_is_an_error(home: RawServer, link: str) -> None:
    """Never what was there so far."""

    def reply(asked: Asked) -> bytes:
        text = link.format(path=asked.target).encode().decode("latin-1")
        return answer(200, {"Link": text}, b'{"tags": ["a"]}')

    home.reply = reply
    with pytest.raises(RegistryError):
        registry(home).tags()
    assert len(home.asked) <= 3


def test_a_list_without_end_is_an_error(home: RawServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each page is another one, and there is always a next."""
    monkeypatch.setattr("pipeline.adapters.registry.session.MAX_PAGES", 20)
    home.reply = lambda _asked: answer(
        200, {"Link": f'</v2/x/tags/list?last={len(home.asked)}>; rel="next"'}, b'{"tags": ["a"]}'
    )
    with pytest.raises(RegistryError, match="a list without end"):
        registry(home).tags()
    assert len(home.asked) == 20


@pytest.mark.parametrize("status", [400, 404, 405, 501])
def test_a_list_whose_second_page_is_gone_is_an_error(home: RawServer, status: int) -> None:
    """That there is no such list is said by the first page, or not at all."""
    home.reply = lambda asked: (
        answer(status)
        if "last" in asked.target
        else answer(200, {"Link": '</v2/x/tags/list?last=a>; rel="next"'}, b'{"tags": ["a"]}')
    )
    with pytest.raises(RegistryError, match=f"answered {status}"):
        registry(home).tags()


@pytest.mark.parametrize("link", ["", "nonsense", "</x>; rel=prev", "<>", "next", "</x>; title=next"])
def test_a_link_to_no_next_page_ends_the_list(home: RawServer, link: str) -> None:
    """Other links than that may stand there."""
    home.reply = lambda _asked: answer(200, {"Link": link}, b'{"tags": ["a"]}')
    assert registry(home).tags() == ("a",)


# -- streams ------------------------------------------------------------------------------------------


@pytest.mark.needs("registry")
def test_a_stream_that_is_forgotten_holds_nobody_up(bench: Bench) -> None:
    """Half read, and in a circle that only the collector of garbage finds, in the midst of other work."""
    blob = bench.staging.put_blob(bytes(2 << 20))
    done = threading.Event()

    def forget() -> None:
        for _ in range(50):
            held = bench.staging.stream(blob)
            pieces = held.__enter__()
            next(pieces)
            circle: list[object] = [held, pieces]
            circle.append(circle)

    def work() -> None:
        for _ in range(3):
            forget()
            for _ in range(40):
                assert bench.staging.has_blob(blob.digest)
        done.set()

    before = gc.get_threshold()
    gc.set_threshold(1, 1, 1)
    try:
        threading.Thread(target=work, daemon=True).start()
        assert done.wait(60)
    finally:
        gc.set_threshold(*before)


DAMAGED = """
import sys
from contextlib import suppress
from pipeline.model.errors import TagproofError
from pipeline.adapters.image_files.remote import open_remote
from pipeline.model import ImageRef

ref = ImageRef.parse(sys.argv[1])
failed = 0
for _ in range(500):
    try:
        with open_remote(ref.repository, ref.digest) as image:
            for _ in image.walk(lambda node: True):
                pass
    except TagproofError:
        failed += 1
print(failed)
"""


@pytest.mark.needs("registry")
def test_five_hundred_images_with_a_damaged_layer_end_in_one_process(bench: Bench) -> None:
    """Each is an error, and none of them holds up the next."""
    layers = [bench.staging.put_blob(gzip.compress(bytes(300_000) + bytes([n]))[:-50]) for n in range(2)]
    config = bench.staging.put_blob(b'{"rootfs": {"type": "layers", "diff_ids": []}, "os": "linux"}')
    kind = "application/vnd.oci.image"
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {**config.plain, "mediaType": f"{kind}.config.v1+json"},
        "layers": [{**one.plain, "mediaType": f"{kind}.layer.v1.tar+gzip"} for one in layers],
    }
    digest = bench.staging.put_manifest(Manifest(json.dumps(document).encode(), OCI_MANIFEST))
    ref = str(bench.staging.repository.at(digest))
    ended = subprocess.run(
        [sys.executable, "-c", DAMAGED, ref],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        cwd=Path(__file__).parents[4],
    )
    assert (ended.stdout.strip(), ended.returncode) == ("500", 0), ended.stderr
