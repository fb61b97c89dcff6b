"""The suite on bare metal: each server that misbehaves is found out, and nothing of it is left."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.model import Outcome, checks_of
from pipeline.model.errors import UsageError
from tests.builders import CPU_CELL
from tests.system.suite.fake_server import saboteur
from tests.system.suite.trials import left, prove, trial_of

if TYPE_CHECKING:
    from collections.abc import Callable


ROOT = Path(__file__).resolve().parents[3]
EXITS = "sys.exit('RuntimeError: Error 803: system has unsupported display driver')"
SILENT = "Handler.answer = lambda self, *_: time.sleep(60)"
BUSY = "answer = Handler.answer; Handler.answer = lambda self, *_: answer(self, 503)"
DRIPS = """
def drip(self, *_):
    while True: self.wfile.write(b'H'); self.wfile.flush(); time.sleep(0.2)
Handler.answer = drip
"""
CONSTANT = ""
FALLS_BACK = (
    "print('Initializing a V1 LLM engine with config: dtype=torch.float16, max_seq_len=512', flush=True)"
)
STUBBORN = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
LITTERS = """
subprocess.Popen(['sh', '-c', 'sleep 300; :', *sys.argv])
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
"""
COMPLETION = """{"id": "1", "object": "text_completion", "created": 1, "model": "under-test", "choices": [
{"index": 0, "text": "Paris", "finish_reason": "length", "token_ids": [80, 97, 114, 105, 115]}],
"usage": {"prompt_tokens": 1, "completion_tokens": 16, "total_tokens": 17}}"""


OF_AN_IMAGE = {"offline", "any_user", "read_only"}
"""What a process on this machine cannot be kept from."""


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
    checks = prove(trial_of(saboteur(tmp_path, behaviour), model), tmp_path)
    assert time.monotonic() - started < 30
    assert checks["serve"].outcome is Outcome.FAILED
    assert seen in checks["serve"].seen
    for name in checks_of(CPU_CELL)[4:]:
        if name not in OF_AN_IMAGE:
            assert (checks[name].outcome, checks[name].seen) == (Outcome.FAILED, "server not up")
    found = checks["serve"].diagnosis
    assert (found.id if found else "") == ("compat-or-mismatch" if behaviour is EXITS else "")
    assert left(tmp_path) == []


def test_a_server_that_answers_a_constant_is_healthy_and_not_correct(model: str, tmp_path: Path) -> None:
    """Fluent nonsense passes a look at the status, and nothing that reads the answer."""
    trial = trial_of(saboteur(tmp_path, CONSTANT), model, env={"BODY": COMPLETION})
    checks = prove(trial, tmp_path)
    passed = [name for name, check in checks.items() if check.outcome is Outcome.PASSED]
    assert passed == ["serve", "complete", "shutdown"]
    assert checks["limits"].expected == "4xx for a prompt over the context length"
    assert checks["limits"].seen == "200"
    assert left(tmp_path) == []


def test_a_server_that_calculates_in_another_number_type_is_found(model: str, tmp_path: Path) -> None:
    """It may fall back without a word to the client; its log names the type."""
    trial = trial_of(saboteur(tmp_path, FALLS_BACK), model, env={"BODY": COMPLETION})
    serve = prove(trial, tmp_path)["serve"]
    assert (serve.outcome, serve.expected) == (Outcome.FAILED, "dtype bfloat16 in the server's log")
    assert (serve.seen, serve.facts["dtype"], serve.facts["attention"]) == ("float16", "float16", "not said")


@pytest.mark.parametrize(
    ("behaviour", "expected", "seen"),
    [(STUBBORN, "exit code 0 or 143 within 1 s", "137"), (LITTERS, "nothing left behind", "sh (")],
    ids=["ignores SIGTERM", "leaves a child"],
)
def test_a_server_that_does_not_end_cleanly_is_refused(
    behaviour: str, expected: str, seen: str, model: str, tmp_path: Path
) -> None:
    """What it leaves is named, and ended by us."""
    check = prove(trial_of(saboteur(tmp_path, behaviour), model), tmp_path)["shutdown"]
    assert check.outcome is Outcome.FAILED
    assert check.expected == expected
    assert seen in check.seen
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interruption_takes_the_server_down(number: signal.Signals, model: str, tmp_path: Path) -> None:
    """Ctrl-C while the server loads leaves no process behind; nor does SIGKILL, a moment later."""
    python = saboteur(tmp_path, SILENT)
    trial = trial_of(python, model, healthy_seconds=120.0)
    (tmp_path / "trial.json").write_text(trial.model_dump_json())
    script = (
        "import pathlib, sys; from pipeline.stages import verify; from pipeline.model import Trial\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "trial = Trial.model_validate_json((folder / 'trial.json').read_bytes())\n"
        "verify.prove(trial, progress=print, log=folder / 'server.log')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stderr=subprocess.PIPE)
    try:
        _await(lambda: any("api_server" in line for line in left(tmp_path)))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=40)
    finally:
        process.kill()
        process.communicate()
    if number == signal.SIGINT:
        assert b"KeyboardInterrupt" in stderr
        assert left(tmp_path) == []
    _await(lambda: not left(tmp_path))


def test_the_log_of_a_server_is_not_written_through_a_link(model: str, tmp_path: Path) -> None:
    """A checkout may hold one in the place of its log."""
    (tmp_path / "other").write_text("precious")
    (tmp_path / "server.log").symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match=r"server\.log: a link to"):
        prove(trial_of(saboteur(tmp_path, CONSTANT), model), tmp_path)
    assert (tmp_path / "other").read_text() == "precious"


def _await(look: Callable[[], bool]) -> None:
    """Wait for something to be so; at most a minute."""
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)
