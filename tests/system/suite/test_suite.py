"""The suite on bare metal: real environments pass it whole; what misbehaves is found out."""

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

from pipeline import matrix
from pipeline.adapters import paths, wheel_cache
from pipeline.model import Expectations, Outcome, PythonTarget, Trial, checks_of
from pipeline.model.errors import UsageError
from pipeline.stages import fetch, lock, verify
from pipeline.suite import check_environment, tiny_model
from pipeline.suite.expect import Mismatch
from pipeline.suite.trial_run import TrialRun
from tests.builders import CPU_CELL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.model import Check, Lock, Spec

ROOT = Path(__file__).resolve().parents[3]
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
    cell = CPU_CELL
    expected = Expectations(cell=cell, torch="2.13.0+cpu", pins=())
    target = PythonTarget(python=str(python))
    short = {"healthy_seconds": 6.0, "answer_seconds": 3.0, "shutdown_seconds": 1.0}
    trial = Trial(cell=cell, run="system-test", target=target, expected=expected, model=model)
    return trial.model_copy(update=short | changes)


def _prove(trial: Trial, tmp_path: Path) -> dict[str, Check]:
    """Every check by its name."""
    named: list[str] = []
    checks, _ = verify.prove(trial, progress=named.append, log=tmp_path / "server.log")
    assert named == list(checks_of(trial.cell.vllm))
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
    for name in checks_of("0.32.0")[4:]:
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


def test_a_server_that_calculates_in_another_number_type_is_found(model: str, tmp_path: Path) -> None:
    """It may fall back without a word to the client; its log names the type."""
    trial = _trial(_saboteur(tmp_path, FALLS_BACK), model, env={"BODY": COMPLETION})
    serve = _prove(trial, tmp_path)["serve"]
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
        "import pathlib, sys; from pipeline.stages import verify; from pipeline.model import Trial\n"
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


def test_the_log_of_a_server_is_not_written_through_a_link(model: str, tmp_path: Path) -> None:
    """A checkout may hold one in the place of its log."""
    (tmp_path / "other").write_text("precious")
    (tmp_path / "server.log").symlink_to(tmp_path / "other")
    with pytest.raises(UsageError, match=r"server\.log: a link to"):
        _prove(_trial(_saboteur(tmp_path, CONSTANT), model), tmp_path)
    assert (tmp_path / "other").read_text() == "precious"


def _await(look: Callable[[], bool]) -> None:
    """Wait for something to be so; at most a minute."""
    deadline = time.monotonic() + 60
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# -- real environments ------------------------------------------------------------------------------


def _shipped(cell: str) -> Spec:
    """A CPU cell of the shipped matrix, for the Python that runs us."""
    spec = next(spec for spec in matrix.load(ROOT / "matrix.yaml").specs if spec.cell.id == cell)
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return replace(spec, cell=replace(spec.cell, python=running))


def _install(spec: Spec, folder: Path) -> tuple[Path, Lock]:
    """A virtual environment with exactly the packages of the cell's lock."""
    folders = lock.folders_of(())
    pins = lock.read(spec, ROOT / "locks") or lock.make(spec, builds={"torch": "cpu"}, folders=folders)
    cache = paths.wheels()
    fetch.fetch(
        spec, pins.pins, cache, folders, lambda _: nullcontext(SimpleNamespace(advance=lambda _: None))
    )
    files = [str(wheel_cache.path_of(pin, cache)) for pin in pins.pins]
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "--clear", folder], check=True)
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--offline", "--no-deps"]
    subprocess.run([*install, "--no-index", "--python", python, *files], check=True)
    return python, pins


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Lock]]:
    """An environment with vLLM."""
    folder = tmp_path_factory.mktemp("environment")
    yield _install(_shipped("vllm0.32.0-torch2.13.0-cpu-py3.11"), folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def pytorch_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Lock]]:
    """An environment with PyTorch and what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("pytorch")
    yield _install(_shipped("torch2.13.0-cpu-py3.11"), folder)
    shutil.rmtree(folder)


def _patient(python: Path, pins: Lock, model: str, **changes: Any) -> Trial:
    """A trial against a lock, with the deadlines that images get."""
    seconds = {name: field.default for name, field in Trial.model_fields.items() if "_sec" in name}
    expected = Expectations(
        cell=pins.cell,
        torch=pins.versions["torch"],
        pins=tuple(pins.versions.items()),
        excused=pins.excused,
    )
    return _trial(python, model, cell=pins.cell, expected=expected, **(seconds | changes))


def _not_passed(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.outcome is not Outcome.PASSED}


@pytest.mark.needs("index")
def test_a_real_environment_passes_the_whole_suite(
    locked: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Real inference through vLLM's own server, against the lock that the environment was made from."""
    serve = () if _can_compile() else ("--enforce-eager",)
    checks = _prove(_patient(*locked, model, serve=serve), tmp_path)
    assert [check for check in checks.values() if check.outcome is not Outcome.PASSED] == []
    assert (checks["serve"].facts["dtype"], checks["serve"].facts["cuda-graphs"]) == ("bfloat16", "NONE")
    assert checks["correct"].facts["tokens-compared"] == checks["exact"].facts["tokens-compared"]
    coarse, exact = (float(checks[name].facts["logprob-deviation"]) for name in ("correct", "exact"))
    assert exact < 0.001 < coarse


@pytest.mark.needs("index")
@pytest.mark.parametrize("kind", ["locked", "pytorch_alone"])
def test_an_environment_is_known_by_what_is_installed_in_it(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Without a lock its own metadata says which cell it amounts to."""
    python, pins = request.getfixturevalue(kind)
    found = verify.environment(python)
    assert found.cell == pins.cell
    assert dict(found.expected.pins or ()) == pins.versions
    assert verify.environment(python).subject == found.subject


def _can_compile() -> bool:
    """Whether this machine has what torch.compile needs; an image of ours always has."""
    return bool(shutil.which("g++")) and (Path(sysconfig.get_path("include")) / "Python.h").is_file()


# -- PyTorch alone ----------------------------------------------------------------------------------


@pytest.mark.needs("index")
def test_an_environment_with_pytorch_alone_passes_the_checks_of_its_kind(
    pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Real inference with nothing but torch. Without a compiler here, what needs one fails, and only that."""
    checks = _prove(_patient(*pytorch_alone, model), tmp_path)
    assert _not_passed(checks) == (set() if _can_compile() else {"compile"})
    assert _left(tmp_path) == []


@pytest.mark.needs("index")
@pytest.mark.parametrize(
    ("elsewhere", "cause"),
    [
        (None, r"cpu-build: torch 2\.13\.0\+cpu is a CPU build: torch\.version\.cuda is None"),
        ("torch-2.5.1", r"mixed-installation: .*torch 2\.13\.0\+cpu in .*torch 2\.5\.1 in .* by conda"),
    ],
)
def test_a_build_for_the_cpu_in_a_cell_for_cuda_is_named_as_the_cause(
    elsewhere: str | None, cause: str, pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Alone, and where another installation of torch is found beside it."""
    python, pins = pytorch_alone
    if elsewhere:
        info = tmp_path / f"{elsewhere}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.5.1\n")
        (info / "INSTALLER").write_text("conda\n")
    trial = _patient(python, pins, model, env={"PYTHONPATH": str(tmp_path)})
    trial_run = TrialRun(
        trial.model_copy(update={"cell": replace(pins.cell, cuda="cu130")}), tmp_path / "log"
    )
    try:
        with pytest.raises(Mismatch, match=cause):
            check_environment.check_cuda(trial_run)
    finally:
        trial_run.close()


@pytest.mark.needs("index")
def test_other_weights_than_the_golden_answers_were_made_with_are_found(
    pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Answers that agree with each other are still wrong."""
    weights = Path(model) / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-4096:] = bytes(4096)
    weights.write_bytes(body)
    checks = _prove(_patient(*pytorch_alone, model), tmp_path)
    assert _not_passed(checks) == {"correct", "compile", "exact"}
    assert "golden" in checks["correct"].expected


MIXES_ROWS = """
import torch
attend = torch.nn.functional.scaled_dot_product_attention
def mixed(query, key, value, **more):
    return attend(query, key, value.roll(1, 0), **more)
torch.nn.functional.scaled_dot_product_attention = mixed
"""
COARSE = """
import torch
linear = torch.nn.functional.linear
def coarse(left, right):
    return linear(left.bfloat16(), right.bfloat16()).to(left.dtype)
torch.nn.functional.linear = coarse
"""
COMPILES_NOTHING = """
import torch
torch.compile = lambda function, **_: function
"""


@pytest.mark.needs("index")
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (MIXES_ROWS, {"batch": "beside others", "compile": "golden"}),
        (COMPILES_NOTHING, {"compile": "code made by a compiler"}),
        (COARSE, {"exact": "log-probabilities"}),
    ],
    ids=["mixes up what it answers together", "compiles nothing", "calculates float32 as bfloat16"],
)
def test_a_pytorch_that_misbehaves_is_found(
    behaviour: str, expected: dict[str, str], pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Each prompt alone is answered rightly, so ``correct`` passes."""
    python, pins = pytorch_alone
    (tmp_path / "sitecustomize.py").write_text(behaviour)
    saboteur = tmp_path / "python"
    saboteur.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {python} "$@"\n')
    saboteur.chmod(0o755)
    checks = _prove(_patient(saboteur, pins, model), tmp_path)
    assert _not_passed(checks) == set(expected)
    assert all(words in checks[name].expected for name, words in expected.items())


@pytest.mark.needs("index")
def test_a_compiler_that_fails_is_found(pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path) -> None:
    """All that runs without one still passes."""
    checks = _prove(_patient(*pytorch_alone, model, env={"CXX": "/bin/false"}), tmp_path)
    assert _not_passed(checks) == {"compile"}
    assert "InvalidCxxCompiler" in checks["compile"].seen
