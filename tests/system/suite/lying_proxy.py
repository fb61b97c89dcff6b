"""A proxy before a server that is right, which lies in one way: so each promise is seen to be missed."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOPS = {"transfer-encoding", "content-length", "connection", "content-encoding", "date", "server", "host"}
"""Headers that belong to one connection, or to the length of the body."""


@dataclass(frozen=True)
class Lie:
    """What is changed of a request, of the body of its answer, and of the answer's status."""

    asked: Callable[[bytes], bytes] = lambda body: body
    told: Callable[[bytes], bytes] = lambda body: body
    status: Callable[[int], int] = lambda status: status
    adds_key: str = ""
    """Paths that begin so are asked with the server's key, whoever asks."""


@contextmanager
def lying(base_url: str, lie: Lie, key: str) -> Iterator[str]:
    """The address of a proxy before this server, which has this key."""
    client = httpx.Client(base_url=base_url, trust_env=False, timeout=240)

    class Handler(BaseHTTPRequestHandler):
        def pass_on(self) -> None:
            asked = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOPS}
            if lie.adds_key and self.path.startswith(lie.adds_key):
                headers["authorization"] = f"Bearer {key}"
            answer = client.request(self.command, self.path, content=lie.asked(asked), headers=headers)
            told = lie.told(answer.content)
            self.send_response(lie.status(answer.status_code))
            for name, value in answer.headers.items():
                if name.lower() not in HOPS:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = do_TRACE = pass_on  # noqa: N815 - as http.server calls them

        def log_message(self, *_: Any) -> None:
            """Nothing is written to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        client.close()
