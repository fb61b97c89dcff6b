"""A package index on loopback, which sends what it is told to, or never comes to an end."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.model import Pin


@dataclass
class Index:
    """A package index on loopback. Each wheel is the body it is told, or never comes to its end."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def environment(self) -> dict[str, str]:
        return {"UV_DEFAULT_INDEX": f"http://127.0.0.1:{self.port}/simple", "PIP_FIND_LINKS": ""}


@contextmanager
def serving(offered: Iterable[Pin]) -> Iterator[Index]:
    """An index that offers these wheels, while the block lasts."""
    state, ended = Index(), threading.Event()
    pins = {pin.filename: pin for pin in offered}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            name = self.path.strip("/").rpartition("/")[2]
            state.asked.append(name)
            if name.endswith(".metadata"):
                pin = pins[name.removesuffix(".metadata")]
                text = f"Metadata-Version: 2.1\nName: {pin.name}\nVersion: {pin.version}\n"
                self._answer(text.encode(), "text/plain")
            elif name in state.bodies:
                self._answer(state.bodies[name], "application/octet-stream")
            elif name in pins:
                self._answer(b"PK", "application/octet-stream", length=pins[name].size)
                ended.wait()
            else:
                offers = [pin for pin in pins.values() if pin.name == name]
                links = (
                    f'<a href="/{p.filename}#sha256={p.sha256}" data-core-metadata="true">{p.filename}</a>'
                    for p in offers
                )
                self._answer(f"<html><body>{''.join(links)}</body></html>".encode(), "text/html")

        def _answer(self, body: bytes, kind: str, length: int | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    state.port = listening.server_port
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield state
    ended.set()
    listening.shutdown()
    listening.server_close()
