"""A registry in memory, spoken to by the real client over sockets that need no network.

It keeps what it is given and checks nothing, so that a test can put beside an image whatever anybody could.
Like Distribution 2.8 it knows no referrers of its own. What a real one does is for the system tests.
"""

from __future__ import annotations

import json
import socket
import threading
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from itertools import count
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from pipeline.adapters.registry import Registry
from pipeline.model import Digest, Repository

if TYPE_CHECKING:
    from collections.abc import Generator

_ports = count(50_000)
"""A host of its own for each registry: clients keep connections, by host, to be used again."""


@dataclass
class Kept:
    """One repository: blobs and manifests by digest, and tags with the digest that each names."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    manifests: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class MemoryRegistry:
    """Repositories by path, and every request that changed something, in order."""

    host: str = field(default_factory=lambda: f"127.0.0.1:{next(_ports)}")
    kept: defaultdict[str, Kept] = field(default_factory=lambda: defaultdict(Kept))
    writes: list[tuple[str, str]] = field(default_factory=list)

    def at(self, path: str) -> Registry:
        """The client of one repository; it gives up at once."""
        return Registry(Repository(self.host, path), patience=0.5)


@contextmanager
def memory_registry() -> Generator[MemoryRegistry]:
    """Every host is this registry while the block lasts."""
    registry = MemoryRegistry()
    methods = {f"do_{method}": _Handler.answer_any for method in ("GET", "HEAD", "PUT", "POST", "DELETE")}
    handler = type("Bound", (_Handler,), {"registry": registry, **methods})

    def connected(*_: object) -> socket.socket:
        ours, theirs = socket.socketpair()
        threading.Thread(target=_serve, args=(handler, theirs), daemon=True).start()
        return ours

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.adapters.web.wire._connect", connected)
        yield registry


def _serve(handler: type[BaseHTTPRequestHandler], connection: socket.socket) -> None:
    with connection:
        handler(connection, ("", 0), None)  # type: ignore[arg-type] # it asks nothing of a server


class _Handler(BaseHTTPRequestHandler):
    registry: MemoryRegistry
    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def answer_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        path, _, last = address.path.removeprefix("/v2/").rpartition("/")
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        if self.command not in ("GET", "HEAD"):
            self.registry.writes.append((self.command, self.path))
        name, _, kind = path.removesuffix("/uploads").rpartition("/")
        act = getattr(self, f"_{kind}_{self.command.lower()}".replace("head", "get"), None)
        if act is None:
            self._answer(404)
        else:
            act(self.registry.kept[name], last, asked, body)

    def _manifests_get(self, kept: Kept, name: str, *_: Any) -> None:
        found = kept.manifests.get(kept.tags.get(name, name))
        if found is None:
            self._answer(404)
        else:
            kind, body = found
            self._answer(200, body, Content_Type=kind, Docker_Content_Digest=str(Digest.of(body)))

    def _manifests_put(self, kept: Kept, name: str, _: Any, body: bytes) -> None:
        digest = str(Digest.of(body))
        kept.manifests[digest] = self.headers["Content-Type"], body
        if not name.startswith("sha256:"):
            kept.tags[name] = digest
        self._answer(201, Docker_Content_Digest=digest)

    def _manifests_delete(self, kept: Kept, name: str, *_: Any) -> None:
        if name in kept.tags:
            del kept.tags[name]
        else:
            kept.manifests.pop(name, None)
            kept.tags = {tag: digest for tag, digest in kept.tags.items() if digest != name}
        self._answer(202)

    def _blobs_get(self, kept: Kept, name: str, *_: Any) -> None:
        body = kept.blobs.get(name)
        self._answer(404) if body is None else self._answer(200, body)

    def _blobs_post(self, kept: Kept, _name: str, asked: dict[str, str], _body: bytes) -> None:
        source = self.registry.kept[asked.get("from", "")].blobs
        if (digest := asked.get("mount")) and digest in source:
            kept.blobs[digest] = source[digest]
            self._answer(201)
        else:
            self._answer(202, Location=f"{urlsplit(self.path).path}one")

    def _blobs_put(self, kept: Kept, _name: str, asked: dict[str, str], body: bytes) -> None:
        kept.blobs[asked["digest"]] = body
        self._answer(201)

    def _tags_get(self, kept: Kept, *_: Any) -> None:
        self._answer(200, json.dumps({"tags": sorted(kept.tags)}).encode())

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response_only(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
