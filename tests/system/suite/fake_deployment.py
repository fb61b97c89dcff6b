"""A server that runs already: it answers as a small model might, and lies as told.

Its model is a function of the prompt: each piece of an answer comes from a hash, so that other prompts have
other answers, and the same prompt the same one.
"""

from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL, CONTEXT = "served", 512
LOGPROBS = {" a": -0.01, " b": -5.0, " c": -6.0, " d": -7.0, " e": -8.0}


@dataclass
class Behaviour:
    """How it answers. ``asked`` is what was asked of it: each a path, and the key that came along."""

    key: str = ""
    health: int = 200
    models: int = 200
    version: str = "0.32.0"
    cards: tuple[dict[str, Any], ...] = ({"id": MODEL, "max_model_len": CONTEXT, "parent": None},)
    has_template: bool = True
    refuses: bool = True
    constant: bool = False
    forgets: bool = False
    stutters: bool = False
    logprobs: dict[str, float] = field(default_factory=lambda: dict(LOGPROBS))
    streams: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)

    def pieces(self, prompt: str, count: int) -> list[str]:
        """The answer to a prompt, in pieces."""
        if self.stutters:
            return [" the"] * count
        seed = "" if self.constant else f"{prompt}{len(self.asked) if self.forgets else ''}"
        return [f" {byte:x}" for byte in hashlib.shake_256(seed.encode()).digest(count)]


@contextmanager
def deployment(behaviour: Behaviour) -> Iterator[str]:
    """Its address, while the block lasts."""
    handler = type("Handler", (_Handler,), {"behaviour": behaviour})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    behaviour: Behaviour
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        its = self.behaviour
        self._note()
        if its.key and self.headers.get("authorization") != f"Bearer {its.key}":
            self._answer(401, {"error": "Unauthorized"})
        elif self.path == "/health":
            self._answer(its.health)
        elif self.path == "/version":
            self._answer(200, {"version": its.version})
        else:
            self._answer(its.models, {"data": list(its.cards)})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self._note()
        if (status := self._refusal(body)) != 200:
            self._answer(status, {"error": {"message": "no", "type": "BadRequestError"}})
            return
        asked = json.loads(body)
        if self.path == "/v1/chat/completions":
            self._chat(asked)
        elif asked.get("stream"):
            self._stream(asked)
        else:
            self._complete(asked)

    def log_message(self, *_: object) -> None:
        """Nothing: a test's output is its own."""

    def _note(self) -> None:
        self.behaviour.asked.append((self.path, self.headers.get("authorization", "")))

    def _refusal(self, body: bytes) -> int:
        try:
            asked = json.loads(body)
        except ValueError:
            return 400
        if not self.behaviour.refuses:
            return 200
        if asked["model"] != MODEL:
            return 404
        return 400 if len(asked.get("prompt", "")) > CONTEXT else 200

    def _complete(self, asked: dict[str, Any]) -> None:
        pieces = self.behaviour.pieces(str(asked["prompt"]), asked["max_tokens"])
        logprobs = {"tokens": pieces, "top_logprobs": [self.behaviour.logprobs] * len(pieces)}
        choice = {"index": 0, "text": "".join(pieces), "finish_reason": "length", "logprobs": logprobs}
        self._answer(200, {"id": "1", "object": "text_completion", "created": 1, "model": asked["model"],
                           "choices": [choice], "usage": _usage(asked["prompt"], pieces)})  # fmt: skip

    def _chat(self, asked: dict[str, Any]) -> None:
        if not self.behaviour.has_template:
            self._answer(400, {"error": {"message": "there is no chat template", "type": "BadRequestError"}})
            return
        pieces = self.behaviour.pieces(str(asked["messages"]), asked["max_completion_tokens"])
        choice = {"index": 0, "finish_reason": "length",
                  "message": {"role": "assistant", "content": "".join(pieces)}}  # fmt: skip
        self._answer(200, {"id": "1", "object": "chat.completion", "created": 1, "model": asked["model"],
                           "choices": [choice], "usage": _usage("a b", pieces)})  # fmt: skip

    def _stream(self, asked: dict[str, Any]) -> None:
        pieces = self.behaviour.pieces(str(asked["prompt"]), asked["max_tokens"])
        if self.behaviour.streams == "at once":
            pieces = ["".join(pieces)]
        elif self.behaviour.streams == "loses a part":
            pieces = [*pieces[:3], *pieces[4:]]
        parts = [{"id": "1", "object": "text_completion", "created": 1, "model": asked["model"],
                  "choices": [{"index": 0, "text": piece, "finish_reason": None}]}
                 for piece in pieces]  # fmt: skip
        text = "".join(f"data: {json.dumps(part)}\n\n" for part in parts) + "data: [DONE]\n\n"
        self._send(200, text.encode(), "text/event-stream")

    def _answer(self, status: int, document: Any = None) -> None:
        self._send(status, b"" if document is None else json.dumps(document).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _usage(prompt: Any, pieces: list[str]) -> dict[str, int]:
    asked = len(prompt.split()) if isinstance(prompt, str) else len(prompt)
    return {"prompt_tokens": asked, "completion_tokens": len(pieces), "total_tokens": asked + len(pieces)}
