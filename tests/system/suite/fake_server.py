"""An environment whose vLLM is a server of ours, which misbehaves as told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SERVER = """
import os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODELS = '{"object": "list", "data": [{"id": "under-test", "object": "model", "max_model_len": 512}]}'
SAID = {"/metrics": os.environ.get("METRICS"), "/v1/models": MODELS}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self): self.answer(200, SAID.get(self.path))
    def do_POST(self): self.rfile.read(int(self.headers["content-length"])); self.answer(200)
    def log_message(self, *_): pass
    def answer(self, status, body=None):
        body = (body or os.environ.get("BODY", "")).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

{behaviour}
port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def saboteur(folder: Path, behaviour: str) -> Path:
    """An interpreter whose vLLM is a server of ours, and which has no torch."""
    package = folder / "packages" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (package / "api_server.py").write_text(SERVER.replace("{behaviour}", behaviour))
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/packages exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python
