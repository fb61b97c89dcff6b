"""The health check of an image with vLLM, against a server of ours whose metrics say what a test wants."""

from __future__ import annotations

import importlib.util
import os
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from pipeline.stages import build

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parents[3] / "images" / build.ALIVE
RUNNING, ITERATIONS = "vllm:num_requests_running", "vllm:iteration_tokens_total_count"
NOW, LONG = 0.0, 60.0
"""Bounds: everything stands still for too long, and nothing does."""


@pytest.fixture
def alive(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The script as a module, which remembers in a folder of the test's own."""
    found = importlib.util.spec_from_file_location("alive", SCRIPT)
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDERS", (str(tmp_path),))
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    return module


class Server(ThreadingHTTPServer):
    """Answers with the metrics of its engines, a status of health, and one of a completion."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.engines: dict[int, dict[str, float]] = {0: {RUNNING: 0.0, ITERATIONS: 7.0}}
        self.more = ""
        self.health = self.completion = 200
        self.silent: frozenset[str] = frozenset()
        self.asked: list[str] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def metrics(self) -> str:
        """As vLLM 0.32.0 writes them."""
        samples = (
            f'{name}{{engine="{engine}",model_name="a model"}} {value}\n'
            for engine, values in self.engines.items()
            for name, value in values.items()
        )
        return "".join(["# HELP vllm:any of them\n", *samples, self.more])


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        self.answer(self.server.health if self.path == "/health" else 200, self.server.metrics())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        self.server.asked.append(f"{self.headers['authorization']} {body}")
        self.answer(self.server.completion, "{}")

    def answer(self, status: int, body: str) -> None:
        """Answer, unless nobody does at this path."""
        if self.path in self.server.silent:
            self.server.ended.wait(20)
            return
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    """One that is well and has nothing to do."""
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.ended.set()
        running.shutdown()


def look(alive: Any, server: Server, seconds: float = NOW, *, wait: float = 5.0, asks: bool = True) -> str:
    """What one call says."""
    try:
        return f"healthy: {alive.look([server.url], seconds, wait, asks=asks)}"
    except alive.UnhealthyError as error:
        return f"unhealthy: {error}"


def test_a_server_without_work_that_gives_a_token_is_healthy(alive: Any, server: Server) -> None:
    assert look(alive, server) == "healthy: no work, and a token if asked"
    assert server.asked == ['None {"model": "a model", "prompt": "1", "max_tokens": 1}']


def test_an_engine_with_work_that_reports_nothing_new_is_unhealthy_after_the_bound(
    alive: Any, server: Server
) -> None:
    server.engines[0][RUNNING] = 3.0
    assert look(alive, server) == "healthy: engine 0 has work and has reported nothing new for 0 s"
    assert look(alive, server, LONG).startswith("healthy: ")
    seen = look(alive, server)
    assert seen.startswith(
        "unhealthy: engine 0 has work and has reported nothing new for 0 s, allowed are 0:"
    )
    assert seen.endswith(" num_requests_running=3.0 iteration_tokens_total_count=7.0")
    assert server.asked == []


def test_an_engine_that_goes_on_is_healthy_again(alive: Any, server: Server) -> None:
    server.engines[0][RUNNING] = 3.0
    look(alive, server)
    assert look(alive, server).startswith("unhealthy: ")
    server.engines[0][ITERATIONS] += 1
    assert look(alive, server).startswith("healthy: ")


def test_an_engine_that_ran_out_of_work_begins_anew(alive: Any, server: Server) -> None:
    server.engines[0][RUNNING] = 3.0
    look(alive, server)
    server.engines[0][RUNNING] = 0.0
    look(alive, server)
    server.engines[0][RUNNING] = 3.0
    assert look(alive, server).startswith("healthy: ")


@pytest.mark.parametrize(
    "name",
    [
        "vllm:num_requests_waiting",
        "vllm:iteration_tokens_total_created",
        "vllm:generation_tokens_total",
        "vllm:prompt_tokens_total",
        "vllm:kv_cache_usage_perc",
        "vllm:prefix_cache_queries_total",
        "vllm:num_preemptions_total",
    ],
)
def test_whatever_the_engine_reports_is_progress(name: str, alive: Any, server: Server) -> None:
    """A part of a long prompt is no iteration; a server that was started again has counted nothing yet."""
    server.engines[0] |= {RUNNING: 1.0, name: 0.25}
    look(alive, server)
    server.engines[0][name] = 0.5
    assert look(alive, server).startswith("healthy: ")


def test_clients_that_give_up_are_no_progress(alive: Any, server: Server) -> None:
    """That is counted without the engine."""
    server.engines[0] |= {RUNNING: 1.0, 'vllm:request_success_total{finished_reason="abort"}': 0.0}
    server.more = 'vllm:request_success_total{engine="0",finished_reason="abort",model_name="a model"} 1.0\n'
    look(alive, server)
    server.more = server.more.replace("1.0", "2.0")
    assert look(alive, server).startswith("unhealthy: ")


def test_of_several_engines_the_one_that_stands_still_is_named(alive: Any, server: Server) -> None:
    server.engines = {0: {RUNNING: 1.0, ITERATIONS: 1.0}, 1: {RUNNING: 1.0, ITERATIONS: 1.0}}
    look(alive, server)
    server.engines[0][ITERATIONS] = 2.0
    assert look(alive, server).startswith("unhealthy: engine 1 has work")


def test_an_engine_that_was_put_to_sleep_may_leave_work_undone(alive: Any, server: Server) -> None:
    server.engines[0][RUNNING] = 1.0
    state = 'vllm:engine_sleep_state{engine="0",model_name="a model",sleep_state="awake"}'
    server.more = f"{state} 1.0\n"
    look(alive, server)
    assert look(alive, server).startswith("unhealthy: ")
    server.more = f"{state} 0.0\n"
    assert look(alive, server).startswith("healthy: no engine reports anything: it sleeps")
    assert server.asked == []


def test_an_engine_that_hangs_without_work_is_found_by_a_question(alive: Any, server: Server) -> None:
    """What it is given then is in none of its reports."""
    server.silent = frozenset({"/v1/completions"})
    assert look(alive, server, wait=0.5) == "healthy: one token was asked for, and has not come for 0 s"
    assert look(alive, server, wait=0.5).startswith(
        "unhealthy: one token was asked for, and has not come for "
    )
    server.engines[0][ITERATIONS] += 1
    assert look(alive, server, wait=0.5).startswith("healthy: ")


def test_who_wants_no_question_is_asked_none(alive: Any, server: Server) -> None:
    assert look(alive, server, asks=False) == "healthy: no work"
    assert server.asked == []


@pytest.mark.parametrize("status", [400, 401, 404])
def test_a_server_that_takes_no_question_is_judged_by_its_reports(
    status: int, alive: Any, server: Server
) -> None:
    """It may want a key, or have a model that completes nothing."""
    server.completion = status
    for _ in range(2):
        expected = f"healthy: no work, and cannot be asked: /v1/completions answers {status}"
        assert look(alive, server) == expected


def test_the_key_of_the_server_is_sent_along(
    alive: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "secret")
    look(alive, server)
    assert server.asked[0].startswith("Bearer secret {")


def test_a_server_that_says_that_its_engine_is_dead_is_unhealthy_at_once(alive: Any, server: Server) -> None:
    server.health = 503
    assert look(alive, server, LONG) == "unhealthy: /health answers 503"


def test_a_server_that_answers_nothing_is_unhealthy_after_the_bound(alive: Any, server: Server) -> None:
    server.silent = frozenset({"/metrics"})
    assert look(alive, server, wait=0.2) == "healthy: the server has not answered for 0 s"
    assert look(alive, server, LONG, wait=0.2).startswith("healthy: the server has not answered for ")
    assert look(alive, server, wait=0.2).startswith("unhealthy: the server has not answered for ")


def test_a_server_without_statistics_is_healthy_and_it_is_said_what_is_not_known(
    alive: Any, server: Server
) -> None:
    server.engines = {}
    assert "told to keep no statistics" in look(alive, server)


def test_where_nothing_listens_nothing_is_healthy(alive: Any, server: Server) -> None:
    server.shutdown()
    server.server_close()
    assert look(alive, server, LONG) == f"unhealthy: no server is listening at {server.url}"
    with pytest.raises(alive.UnhealthyError, match=r"^no server is listening$"):
        alive.look([], LONG, 1.0, asks=True)


def test_where_nothing_can_be_remembered_nothing_is_healthy(
    alive: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be so for ever."""
    monkeypatch.setattr(alive, "FOLDERS", ("/proc", "/nowhere"))
    expected = (
        "unhealthy: nothing can be remembered until the next call: /proc or /nowhere has to be writable"
    )
    assert look(alive, server, LONG) == expected


def test_what_the_first_folder_does_not_take_the_second_does(
    alive: Any, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(alive, "FOLDERS", ("/proc", str(tmp_path)))
    server.engines[0][RUNNING] = 1.0
    look(alive, server)
    assert look(alive, server).startswith("unhealthy: ")


@pytest.mark.parametrize("content", ["", "[]", '{"engine 0": 1}', '{"engine 0": ["", "x"]}', "\0"])
def test_a_memory_that_cannot_be_read_begins_anew(
    content: str, alive: Any, server: Server, tmp_path: Path
) -> None:
    server.engines[0][RUNNING] = 1.0
    look(alive, server)
    (memory,) = tmp_path.iterdir()
    memory.write_text(content)
    assert look(alive, server).startswith("healthy: ")
    assert look(alive, server).startswith("unhealthy: ")


def test_a_memory_of_somebody_else_is_not_read(alive: Any, server: Server, tmp_path: Path) -> None:
    """A link may lie in its place; it is replaced, and what it names stays as it is."""
    server.engines[0][RUNNING] = 1.0
    look(alive, server)
    (memory,) = tmp_path.iterdir()
    theirs = memory.rename(tmp_path / "theirs")
    memory.symlink_to(theirs)
    before = theirs.read_bytes()
    assert look(alive, server).startswith("healthy: ")
    assert (theirs.read_bytes(), memory.is_symlink()) == (before, False)


def test_a_look_that_is_yet_to_come_counts_for_nothing(alive: Any) -> None:
    """The clock began anew with the machine."""
    engines = {"engine 0": (1.0, "same")}
    assert alive.standing_still(engines, {"engine 0": ("same", 500.0)}, 20.0) == {"engine 0": ("same", 20.0)}
    assert alive.standing_still(engines, {"engine 0": ("same", 5.0)}, 20.0) == {"engine 0": ("same", 5.0)}


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the sockets of a process are read from /proc")
def test_the_server_is_found_by_what_listens(alive: Any, server: Server) -> None:
    assert server.url in alive.listening()


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("00000000:1F40", "127.0.0.1:8000"),
        ("0500110A:1F40", "10.17.0.5:8000"),
        ("00000000000000000000000000000000:0050", "[::1]:80"),
        ("B80D0120000000000000000001000000:01BB", "[2001:db8::1]:443"),
    ],
)
@pytest.mark.skipif(sys.byteorder == "big", reason="the fields are those of a little-endian machine")
def test_an_address_is_read_as_the_kernel_writes_it(field: str, address: str, alive: Any) -> None:
    assert alive.address_of(field) == address


def test_a_server_with_tls_is_asked_though_nobody_vouches_for_it(
    alive: Any, server: Server, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate(tmp_path / "server.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    both = [server.url, server.url.replace("http:", "https:")]
    assert alive.look(both, LONG, 5.0, asks=True) == "no work, and a token if asked"


def certificate(file: Path) -> Path:
    """A certificate of 127.0.0.1 by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1))
    signed = made.serial_number(1).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + signed.public_bytes(serialization.Encoding.PEM))
    return file


def call(server: Server, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """The program as the image starts it."""
    environment = {"ALIVE_URL": server.url, **settings}
    command = [sys.executable, "-IS", str(SCRIPT), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def forgotten(server: Server) -> Iterator[None]:
    """What calls of the program itself remember of this server is gone afterwards."""
    yield
    for folder in ("/dev/shm", "/tmp"):  # noqa: S108 - where the program remembers
        Path(folder, f"alive-{os.geteuid()}-http-127-0-0-1-{server.server_port}").unlink(missing_ok=True)


@pytest.mark.usefixtures("forgotten")
def test_the_program_says_one_line_and_its_exit_code_is_the_verdict(server: Server) -> None:
    done = call(server)
    assert (done.returncode, done.stdout, done.stderr) == (0, "healthy: no work, and a token if asked\n", "")
    server.engines[0][RUNNING] = 1.0
    assert call(server, "--seconds", "0").returncode == 0
    done = call(server, ALIVE_SECONDS="0")
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (1, 1, "")
    assert done.stdout.startswith("unhealthy: engine 0 ")
    assert call(server, "--seconds", "60", ALIVE_SECONDS="0").returncode == 0


@pytest.mark.usefixtures("forgotten")
def test_a_variable_spares_the_question(server: Server) -> None:
    assert call(server, ALIVE_ASK="0").stdout == "healthy: no work\n"
    assert call(server, "--no-ask").stdout == "healthy: no work\n"
    assert server.asked == []
