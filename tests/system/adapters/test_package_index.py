"""An index that lies, dawdles, packs and leads astray: each request ends, in bounds, in an error of ours."""

from __future__ import annotations

import gzip
import json
import time
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.package_index import Index, IndexFile, client, pages
from pipeline.adapters.web import retries
from pipeline.adapters.web.retries import RetryPolicy
from pipeline.model import Reason
from pipeline.model.errors import FactsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Reply = Callable[[BaseHTTPRequestHandler], None]

PAGE = json.dumps({"name": "torch", "meta": {"api-version": "1.1"}, "files": []}).encode()
JSON = "application/vnd.pypi.simple.v1+json"
FILE = "torch-2.13.0-cp310-cp310-manylinux_2_28_x86_64.whl"


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(retries, "DOWNLOADS", RetryPolicy(seconds=60, attempts=2, first_pause=0))


@contextmanager
def index(reply: Reply, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Index, str]]:
    """An index that answers every request so, and its address, while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(ConnectionError):
                reply(self)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{address}/simple")
    try:
        with Index() as found:
            yield found, address
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def send(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200, **headers: str) -> None:
    """Answer with these headers, whose names have ``_`` for ``-``."""
    handler.send_response(status)
    for name, value in {"Content_Type": JSON, "Content_Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def listed(address: str) -> IndexFile:
    """A file of which nothing is known."""
    return IndexFile(FILE, f"{address}/{FILE}", "a" * 64, None, None, "", yanked=False)


def test_an_encoding_that_nobody_asked_for_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it was packed: nothing of it is unpacked. And nobody asks for any."""
    asked = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.headers["Accept-Encoding"])
        send(handler, gzip.compress(gzip.compress(bytes(1 << 20))), Content_Encoding="gzip, gzip")

    with index(reply, monkeypatch) as (found, address):
        with pytest.raises(FactsError, match="an encoding that was not asked for: gzip, gzip"):
            found.files("torch")
        with pytest.raises(FactsError, match="answered 200"):
            found.part(listed(address), 0, 10)
    assert asked == ["identity"] * 2


def test_more_than_was_asked_for_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page without end, and a range of a few bytes that brings gigabytes."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(206 if "Range" in handler.headers else 200)
        handler.send_header("Content-Type", JSON)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 20))

    monkeypatch.setattr(pages, "MAX_PAGE", 4 << 20)
    with index(reply, monkeypatch) as (found, address):
        with pytest.raises(FactsError, match=f"has more than the {4 << 20} bytes"):
            found.files("torch")
        with pytest.raises(FactsError, match="has more than the 10 bytes"):
            found.part(listed(address), 0, 10)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: "]
)
def test_a_byte_now_and_then_is_given_up(head: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though something comes within each timeout; of the body, and of a header."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.05)

    monkeypatch.setattr("pipeline.adapters.web.deadline.BASE_SECONDS", 0.4)
    began = time.monotonic()
    with (
        index(reply, monkeypatch) as (found, _),
        pytest.raises(FactsError, match=r"cannot be read: \w*Timeout"),
    ):
        found.files("torch")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("where", ["/simple/torch/", "/elsewhere/{}"])
def test_redirects_in_a_circle_or_without_end_are_an_error(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def reply(handler: BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        send(handler, b"", 302, Location=where.format(len(asked)))

    with index(reply, monkeypatch) as (found, _), pytest.raises(FactsError, match="a circle of them"):
        found.files("torch")
    assert len(asked) == client.HOPS + 1


@pytest.mark.parametrize(
    "where", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[::1", "//", "http:///x"]
)
def test_redirects_to_odd_places_are_an_error(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def reply(handler: BaseHTTPRequestHandler) -> None:
        send(handler, b"", 307, Location=where)

    with index(reply, monkeypatch) as (found, _), pytest.raises(FactsError):
        found.files("torch")


def test_the_body_of_a_redirect_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have no end."""

    def reply(handler: BaseHTTPRequestHandler) -> None:
        if handler.path == "/page":
            send(handler, PAGE)
            return
        handler.send_response(302)
        handler.send_header("Location", "/page")
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 20))

    with index(reply, monkeypatch) as (found, _):
        files = found.files("torch")
    assert isinstance(files, Reason)
    assert "lists no file" in files.text


@pytest.mark.parametrize(
    ("url", "sha256"),
    [("file:///etc/passwd", "a" * 64), ("ftp://x.example/x", "a" * 64), ("/x", f"../../{'a' * 58}")],
)
def test_a_page_that_leads_astray_is_malformed(
    url: str, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To another scheme than the page's, or by a hash that is a path."""
    entry = {"filename": FILE, "url": url, "hashes": {"sha256": sha256}}
    body = json.dumps({**json.loads(PAGE), "files": [entry]}).encode()
    with index(lambda handler: send(handler, body), monkeypatch) as (found, _):
        files = found.files("torch")
    assert isinstance(files, Reason)
    assert "is malformed" in files.text
