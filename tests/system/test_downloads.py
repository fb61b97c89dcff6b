"""Downloads against a real server on loopback: resumed or repeated, never half used, never another file."""

from __future__ import annotations

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar

import pytest

from pipeline import wheels
from pipeline.errors import WheelError
from pipeline.nouns import Pin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY = bytes(range(256)) * 4096
PIN = Pin("six", "1.0", hashlib.sha256(BODY).hexdigest(), "six-1.0-py3-none-any.whl", len(BODY))


class Server(BaseHTTPRequestHandler):
    """Serves the body; breaks off as often and as early as it is told."""

    body: ClassVar[bytes] = BODY
    break_after: ClassVar[list[int]] = []
    knows_ranges: ClassVar[bool] = True
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        type(self).asked.append(wanted)
        start = int(found[1]) if self.knows_ranges and (found := re.match(r"bytes=(\d+)-", wanted)) else 0
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(self.body) - start))
        self.end_headers()
        stop = start + self.break_after.pop(0) if self.break_after else len(self.body)
        self.wfile.write(self.body[start:stop])

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def url() -> Iterator[str]:
    Server.body, Server.break_after, Server.knows_ranges, Server.asked = BODY, [], True, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/{PIN.filename}"
        server.shutdown()


def download(url: str, cache: Path) -> int:
    arrived: list[int] = []
    wheels.download([PIN], {PIN.sha256: url}, cache, arrived.append)
    return sum(arrived)


def test_a_download_lands_in_the_cache_under_its_hash(url: str, tmp_path: Path) -> None:
    assert download(url, tmp_path) == len(BODY)
    assert wheels.path_of(PIN, tmp_path).read_bytes() == BODY


def test_an_interrupted_download_is_resumed_where_it_broke_off(url: str, tmp_path: Path) -> None:
    Server.break_after = [300_000]
    assert download(url, tmp_path) == len(BODY)
    assert len(Server.asked) == 2
    assert re.fullmatch(r"bytes=\d+-", Server.asked[1])
    assert wheels.path_of(PIN, tmp_path).read_bytes() == BODY


def test_where_the_server_knows_no_ranges_it_is_repeated(url: str, tmp_path: Path) -> None:
    Server.break_after, Server.knows_ranges = [300_000], False
    assert download(url, tmp_path) == len(BODY)
    assert wheels.path_of(PIN, tmp_path).read_bytes() == BODY


def test_a_file_of_another_hash_is_refused_and_removed(url: str, tmp_path: Path) -> None:
    Server.body = BODY[:-1] + b"!"
    with pytest.raises(WheelError, match="locked is sha256:"):
        download(url, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_server_that_always_breaks_off_leaves_no_wheel(url: str, tmp_path: Path) -> None:
    Server.break_after = [1000] * 10
    with pytest.raises(WheelError, match="could not be fetched"):
        download(url, tmp_path)
    assert wheels.missing([PIN], tmp_path) == (PIN,)
