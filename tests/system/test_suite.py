"""The suite on bare metal: a real environment passes it whole; servers that misbehave are found out."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import fetch, lock, matrix, places, verify, wheels
from pipeline.nouns import CHECKS, Expected, Outcome, PythonTarget, Trial
from pipeline.suite import tiny_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.nouns import Check, Lock

ROOT = Path(__file__).resolve().parents[2]
SERVER = """
import os, signal, subprocess, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self): self.answer(200)
    def do_POST(self): self.rfile.read(int(self.headers["content-length"])); self.answer(200)
    def log_message(self, *_): pass
    def answer(self, status):
        body = os.environ.get("BODY", "").encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

{behaviour}
port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
EXITS = "sys.exit('RuntimeError: Error 803: system has unsupported display driver')"
SILENT = "Handler.answer = lambda self, status: time.sleep(60)"
BUSY = "answer = Handler.answer; Handler.answer = lambda self, status: answer(self, 503)"
DRIPS = """
def drip(self, status):
    while True: self.wfile.write(b'H'); self.wfile.flush(); time.sleep(0.2)
Handler.answer = drip
"""
CONSTANT = ""
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
LITTERS = """
subprocess.Popen(['sh', '-c', 'sleep 300; :', *sys.argv])
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
"""
COMPLETION = """{"id": "1", "object": "text_completion", "created": 1, "model": "under-test", "choices": [
{"index": 0, "text": "Paris", "finish_reason": "length", "token_ids": [80, 97, 114, 105, 115]}],
"usage": {"prompt_tokens": 1, "completion_tokens": 16, "total_tokens": 17}}"""


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The tiny model in the test's own folder, which thus stands in every server's arguments."""
    tiny_model.write(tmp_path / "model")
    return str(tmp_path / "model")


def _saboteur(folder: Path, behaviour: str) -> Path:
    """An interpreter whose vLLM is a server of ours, and which has no torch."""
    package = folder / "packages" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    (package / "api_server.py").write_text(SERVER.replace("{behaviour}", behaviour))
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={folder}/packages exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def _trial(python: Path, model: str, **changes: Any) -> Trial:
    expected = Expected(torch="2.13.0+cpu", cuda=None, python="3.11", vllm="0.32.0", pins={})
    target = PythonTarget(python=str(python))
    short = {"healthy_seconds": 6.0, "answer_seconds": 3.0, "shutdown_seconds": 1.0}
    trial = Trial(cell="saboteur", run="system-test", target=target, expected=expected, model=model)
    return trial.model_copy(update=short | changes)


def _prove(trial: Trial, tmp_path: Path) -> dict[str, Check]:
    """Every check by its name."""
    named: list[str] = []
    checks, _ = verify.prove(trial, progress=named.append, log=tmp_path / "server.log")
    assert named == list(CHECKS)
    return {check.name: check for check in checks}


def _left(folder: Path) -> list[str]:
    """The processes that name this folder in their arguments and still live."""
    listed = subprocess.run(["ps", "-ww", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


@pytest.mark.parametrize(
    ("behaviour", "seen"),
    [
        (EXITS, "exited with code 1: RuntimeError: Error 803: system has unsupported display driver"),
        (SILENT, "nothing by then"),
        (BUSY, "status 503"),
        (DRIPS, "nothing by then"),
    ],
    ids=["exits", "silent", "busy", "drips"],
)
def test_a_server_that_never_becomes_healthy_is_refused_in_time(
    behaviour: str, seen: str, model: str, tmp_path: Path
) -> None:
    """The deadline holds whatever it does; what depends on it has failed too; nothing is left behind."""
    started = time.monotonic()
    checks = _prove(_trial(_saboteur(tmp_path, behaviour), model), tmp_path)
    assert time.monotonic() - started < 30
    assert checks["serve"].outcome is Outcome.FAILED
    assert seen in checks["serve"].seen
    for name in CHECKS[4:]:
        assert (checks[name].outcome, checks[name].seen) == (Outcome.FAILED, "server not up")
    assert _left(tmp_path) == []


def test_a_server_that_answers_a_constant_is_healthy_and_not_correct(model: str, tmp_path: Path) -> None:
    """Fluent nonsense passes a look at the status, and nothing that reads the answer."""
    trial = _trial(_saboteur(tmp_path, CONSTANT), model, env={"BODY": COMPLETION})
    checks = _prove(trial, tmp_path)
    passed = [name for name, check in checks.items() if check.outcome is Outcome.PASSED]
    assert passed == ["serve", "complete", "shutdown"]
    assert checks["limits"].expected == "4xx for a prompt over the context length"
    assert checks["limits"].seen == "200"
    assert _left(tmp_path) == []


@pytest.mark.parametrize(
    ("behaviour", "expected", "seen"),
    [(STUBBORN, "exit code 0 or 143 within 1 s", "137"), (LITTERS, "nothing left behind", "sh (")],
    ids=["ignores SIGTERM", "leaves a child"],
)
def test_a_server_that_does_not_end_cleanly_is_refused(
    behaviour: str, expected: str, seen: str, model: str, tmp_path: Path
) -> None:
    """What it leaves is named, and ended by us."""
    check = _prove(_trial(_saboteur(tmp_path, behaviour), model), tmp_path)["shutdown"]
    assert check.outcome is Outcome.FAILED
    assert check.expected == expected
    assert seen in check.seen
    assert _left(tmp_path) == []


def test_an_interruption_takes_the_server_down(model: str, tmp_path: Path) -> None:
    """Ctrl-C while the server loads leaves no process behind."""
    python = _saboteur(tmp_path, SILENT)
    trial = _trial(python, model, healthy_seconds=120.0)
    (tmp_path / "trial.json").write_text(trial.model_dump_json())
    script = (
        "import pathlib, sys; from pipeline import verify; from pipeline.nouns import Trial\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "trial = Trial.model_validate_json((folder / 'trial.json').read_bytes())\n"
        "verify.prove(trial, progress=print, log=folder / 'server.log')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stderr=subprocess.PIPE)
    try:
        _await(lambda: any("api_server" in line for line in _left(tmp_path)))
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=40)
    finally:
        process.kill()
        process.communicate()
    assert b"KeyboardInterrupt" in stderr
    assert _left(tmp_path) == []


def _await(look: Callable[[], bool]) -> None:
    """Wait for something to be so; at most a minute."""
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# -- a real environment -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Lock]]:
    """A virtual environment with exactly the packages of a CPU cell's lock, for the Python that runs us."""
    cells = matrix.load(ROOT / "matrix.yaml").specs
    spec = next(spec for spec in cells if not spec.cell.needs_gpu)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    spec = replace(spec, cell=replace(spec.cell, python=running))
    folders = lock.folders_of(())
    pins = lock.read(spec, ROOT / "locks") or lock.make(spec, default_cuda=None, folders=folders)
    cache = places.wheels()
    fetch.fetch(
        spec, pins.pins, cache, folders, lambda _: nullcontext(SimpleNamespace(advance=lambda _: None))
    )
    folder = tmp_path_factory.mktemp("environment")
    files = [str(wheels.path_of(pin, cache)) for pin in pins.pins]
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", folder], check=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*install, "--no-index", "--python", python, *files], check=True)
    yield python, pins
    shutil.rmtree(folder)


def test_a_real_environment_passes_the_whole_suite(
    locked: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Real inference through vLLM's own server, against the lock that the environment was made from."""
    python, pins = locked
    expected = verify.expected(pins.cell, pins, {})
    defaults = {
        name: Trial.model_fields[name].default
        for name in _trial(python, model).model_dump()
        if "_sec" in name
    }
    serve = () if _can_compile() else ("--enforce-eager",)
    checks = _prove(_trial(python, model, expected=expected, serve=serve, **defaults), tmp_path)
    assert [check for check in checks.values() if check.outcome is not Outcome.PASSED] == []


def test_an_environment_is_known_by_what_is_installed_in_it(locked: tuple[Path, Lock]) -> None:
    """Without a lock its own metadata says which cell it amounts to."""
    python, pins = locked
    found = verify.environment(python)
    assert found.cell == pins.cell
    assert found.expected.pins == pins.versions
    assert verify.subject(python) == found.subject


def _can_compile() -> bool:
    """Whether this machine has what torch.compile needs; an image of ours always has."""
    return bool(shutil.which("g++")) and (Path(sysconfig.get_path("include")) / "Python.h").is_file()
