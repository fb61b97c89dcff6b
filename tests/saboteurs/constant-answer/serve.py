#!/opt/venv/bin/python
"""Answers every completion with the same words, whatever the prompt."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ANSWER = "I am quite sure of it."
USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}


class Constant(BaseHTTPRequestHandler):
    """The OpenAI protocol, without a model behind it."""

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [{"id": "tiny", "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        choice = {"index": 0, "finish_reason": "length", "text": ANSWER, "token_ids": [1, 2, 3]}
        choice["message"] = {"role": "assistant", "content": ANSWER}
        body = {"id": "1", "object": "text_completion", "created": 1, "model": asked.get("model", "")}
        self._answer({**body, "choices": [choice], "usage": USAGE})

    def _answer(self, value: dict[str, object]) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("0.0.0.0", 8000), Constant).serve_forever()  # noqa: S104 - inside the container
