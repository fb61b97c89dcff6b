"""The check of the health check, on a server of ours whose engine is a process that can be stopped."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from pipeline.adapters.recipe import IMAGES
from pipeline.model import PythonTarget
from pipeline.suite import golden
from pipeline.suite.checks import check_alive
from pipeline.suite.expect import Mismatch, NotRun
from pipeline.suite.live_server import LiveServer
from pipeline.suite.targets.process import run_python
from tests.builders import CPU_CELL

if TYPE_CHECKING:
    from collections.abc import Iterator

ENGINE = "import time\nwhile True: print('step', flush=True); time.sleep(0.02)"
SERVER = """
import json, signal, subprocess, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, ANSWERS, SPOILS = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3] == "spoils"
engine = subprocess.Popen([NAME, "-c", sys.argv[4]], executable=sys.executable, stdout=subprocess.PIPE)
steps, running, pause = 0, 0, 0.0

def count():
    global steps, pause
    last = time.monotonic()
    for _ in engine.stdout:
        pause, last, steps = max(pause, time.monotonic() - last), time.monotonic(), steps + 1

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        labels = '{engine="0",model_name="under-test"}'
        values = {"vllm:num_requests_running": running, "vllm:iteration_tokens_total_count": steps}
        self.answer("".join(f"{name}{labels} {value}\\n" for name, value in values.items()))
    def do_POST(self):
        global running
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        running += 1
        until = steps + 10
        while steps < until: time.sleep(0.01)
        running -= 1
        tokens = ANSWERS.get(asked["prompt"], [1])
        if SPOILS and pause > 1: tokens = tokens[:-1]
        choice = {"index": 0, "text": "x", "finish_reason": "length", "token_ids": tokens}
        kind = {"id": "1", "object": "text_completion", "created": 1, "model": "under-test"}
        self.answer(json.dumps(kind | {"choices": [choice]}))
    def answer(self, body):
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_): pass

threading.Thread(target=count, daemon=True).start()
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
print(server.server_port, flush=True)
try: server.serve_forever()
finally: engine.kill()
"""


class Beside:
    """What the check asks of a started server: its address, and Python beside it."""

    def __init__(self, port: int, folder: Path) -> None:
        self.base_url, self._folder = f"http://127.0.0.1:{port}", folder

    def http(self) -> httpx2.BaseTransport:
        """Over loopback."""
        return httpx2.HTTPTransport()

    def python(self, source: str, *args: str, seconds: float) -> Any:
        """Run it in the server's folder."""
        return run_python(Path(sys.executable), source, *args, env={}, folder=self._folder, seconds=seconds)


@pytest.fixture
def started(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, LiveServer]]:
    """A trial and its server, whose engine has this name and may be spoiled by a stop."""
    name, spoils = getattr(request, "param", ("VLLM::EngineCore", ""))
    answers = golden.read().answers
    given = {answer.prompt: list(answer.tokens) for answer in answers}
    words = [sys.executable, "-c", SERVER, name, json.dumps(given), spoils, ENGINE]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        port = int(process.stdout.readline())
        trial = SimpleNamespace(
            cell=CPU_CELL, target=PythonTarget(python=sys.executable), answer_seconds=20.0
        )
        live = LiveServer(trial, Beside(port, tmp_path), "bfloat16")  # type: ignore[arg-type]
        sure = {"logprobs": [[0.0, -9.0]] * golden.STEPS}
        run = SimpleNamespace(
            trial=trial,
            golden=golden.read(),
            steps=golden.STEPS,
            prompts=tuple(given),
            reference=lambda: {"answers": [{"tokens": tokens} | sure for tokens in given.values()]},
        )
        try:
            yield run, live
        finally:
            live.close()
            live.client.close()
            process.terminate()
            assert not list(Path("/dev/shm").glob(f"alive-*-{port}"))  # noqa: S108 - it is only read


def check(started: tuple[Any, LiveServer]) -> dict[str, str]:
    """The facts of the check. Raises what it raises."""
    facts: dict[str, str] = {}
    check_alive.check_alive(*started, facts.__setitem__)
    return facts


def test_a_health_check_that_tells_a_stopped_engine_from_a_busy_one_passes(
    started: tuple[Any, LiveServer],
) -> None:
    facts = check(started)
    assert facts["health-endpoint"] == "status 200"
    assert facts["said"].startswith("unhealthy: ")


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("print('healthy: for ever')", "exit code 1 of the health check while the engine is stopped"),
        (
            "import sys; print('unhealthy'); sys.exit(1)",
            "exit code 0 of the health check of a server without",
        ),
        ("raise SystemExit(3)", "a line of the health check within 30 s"),
    ],
    ids=["always healthy", "never healthy", "crashes"],
)
def test_a_health_check_that_looks_at_nothing_is_found(
    source: str,
    expected: str,
    started: tuple[Any, LiveServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "alive.py").write_text(source)
    monkeypatch.setattr(check_alive, "IMAGES", tmp_path)
    monkeypatch.setattr(check_alive, "_LATE_SECONDS", 2.0)
    with pytest.raises(Mismatch, match=expected):
        check(started)


HASTY = """if __name__ == "__main__":
    if not (seen := Path("seen")).exists():
        seen.touch()
    elif float(sys.argv[2]) < 3:
        print("unhealthy: too soon")
        sys.exit(1)
"""


def test_a_bound_that_a_busy_server_trips_is_widened(
    started: tuple[Any, LiveServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (IMAGES / "alive.py").read_text("utf-8")
    (tmp_path / "alive.py").write_text(source.replace('if __name__ == "__main__":\n', HASTY))
    monkeypatch.setattr(check_alive, "IMAGES", tmp_path)
    assert check(started)["unhealthy-after"].endswith("allowed are 4.0")


@pytest.mark.parametrize("started", [("VLLM::EngineCore", "spoils")], indirect=True)
def test_answers_that_a_stop_has_cut_short_are_found(started: tuple[Any, LiveServer]) -> None:
    with pytest.raises(Mismatch, match=r"prompt \d"):
        check(started)


@pytest.mark.parametrize("started", [("engine", "")], indirect=True)
def test_where_no_engine_is_seen_nothing_is_passed(started: tuple[Any, LiveServer]) -> None:
    with pytest.raises(NotRun, match="no process of the server's is called EngineCore"):
        check(started)
