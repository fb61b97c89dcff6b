"""A server that runs already: its lies are found, its clients are spared, and its key is kept nowhere."""

from __future__ import annotations

import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cli import main as command_line
from pipeline.model import Check, Outcome
from pipeline.model import checks_of as checks_of_cell
from pipeline.model.errors import GOOD, MACHINE, REFUSED, USAGE, MachineError, UsageError
from pipeline.stages import ask
from pipeline.suite.deployed import TOGETHER, Deployed
from tests.builders import CUDA_CELL
from tests.system.suite.fake_deployment import LOGPROBS, MODEL, Behaviour, deployment

if TYPE_CHECKING:
    from pathlib import Path

MADE = {"serve", "complete", "chat", "stream", "correct", "batch", "limits"}


def checks_of(
    behaviour: Behaviour, *, model: str | None = None, key: str | None = None, seconds: float = 5
) -> dict[str, Check]:
    """What becomes of each check of such a server."""
    with deployment(behaviour) as url, Deployed(url, model, key, seconds) as server:
        return {check.name: check for check in ask.ask(server, lambda _: None)}


def failed(checks: dict[str, Check]) -> set[str]:
    return {name for name, check in checks.items() if check.outcome is Outcome.FAILED}


def test_all_that_can_be_asked_over_http_is_asked_and_the_rest_says_why_not() -> None:
    checks = checks_of(Behaviour())
    assert {name for name, check in checks.items() if check.outcome is Outcome.PASSED} == MADE
    assert tuple(checks) == checks_of_cell(CUDA_CELL)
    assert all(check.seen for check in checks.values() if check.outcome is Outcome.NOT_RUN)
    assert checks["serve"].facts == {"vllm": "0.32.0", "context": "512", "health": "200"}


@pytest.mark.parametrize(
    ("lie", "caught", "words"),
    [
        ({"health": 503}, "serve", "503"),
        ({"models": 500}, "serve", "500"),
        ({"cards": ({"id": "another"},)}, "serve", "another"),
        ({"cards": ()}, "serve", "none"),
        ({"cards": ({"id": 7},)}, "serve", "id"),
        ({"constant": True}, "correct", "one only"),
        ({"forgets": True}, "correct", ""),
        ({"forgets": True}, "batch", ""),
        ({"forgets": True}, "stream", ""),
        ({"stutters": True}, "correct", ""),
        ({"logprobs": LOGPROBS | {" a": float("nan")}}, "correct", "nan"),
        ({"logprobs": {" a": -0.01}}, "correct", "-0.01"),
        ({"logprobs": dict.fromkeys(LOGPROBS, 0.0)}, "correct", "0.0000, 0.0000"),
        ({"streams": "at once"}, "stream", "1 part"),
        ({"streams": "loses a part"}, "stream", ""),
        ({"refuses": False}, "limits", "200"),
    ],
    ids=str,
)
def test_a_server_that_lies_is_found_by_the_check_that_is_meant_for_it(
    lie: dict[str, Any], caught: str, words: str
) -> None:
    checks = checks_of(Behaviour(**lie), model=MODEL)
    assert caught in failed(checks)
    assert words in checks[caught].seen


def test_of_a_server_that_is_not_up_nothing_more_is_asked() -> None:
    behaviour = Behaviour(health=503)
    checks = checks_of(behaviour)
    assert failed(checks) == {"serve"}
    assert checks["complete"].seen == "the server is not up"
    assert not [path for path, _ in behaviour.asked if "completions" in path]


def test_a_gateway_may_hide_health_and_version() -> None:
    checks = checks_of(Behaviour(health=404, version=""))
    assert failed(checks) == set()
    assert (checks["serve"].facts["health"], checks["serve"].facts["vllm"]) == ("hidden (404)", "not said")


def test_a_model_without_a_chat_template_is_not_asked_to_chat() -> None:
    check = checks_of(Behaviour(has_template=False))["chat"]
    assert (check.outcome, check.seen) == (Outcome.NOT_RUN, "the model has no chat template")


class Hangs(Behaviour):
    """Its engine stands still: /health and the list of models go on being answered."""

    def pieces(self, prompt: str, count: int) -> list[str]:
        time.sleep(2)
        return super().pieces(prompt, count)


@pytest.mark.parametrize("clock", [0.5, 20.0], ids=["ours", "the client's"])
def test_a_server_that_hangs_is_left_alone_whichever_clock_is_first(clock: float) -> None:
    started = time.monotonic()
    with deployment(Hangs()) as url, Deployed(url, None, None, 0.5) as server:
        server.seconds = clock
        checks = {check.name: check for check in ask.ask(server, lambda _: None)}
    assert time.monotonic() - started < 5
    assert failed(checks) == {"complete"}
    assert (checks["complete"].seen, checks["chat"].seen) == (
        "nothing by then",
        "the server no longer answers",
    )


def test_a_deployment_has_few_requests_of_ours_at_a_time() -> None:
    most, lock = [0, 0], threading.Lock()

    class Counts(Behaviour):
        def pieces(self, prompt: str, count: int) -> list[str]:
            with lock:
                most[0] += 1
                most[1] = max(most)
            time.sleep(0.05)
            with lock:
                most[0] -= 1
            return super().pieces(prompt, count)

    assert failed(checks_of(Counts())) == set()
    assert 1 < most[1] <= TOGETHER


def test_its_key_comes_along_with_every_request() -> None:
    behaviour = Behaviour(key="secret")
    assert failed(checks_of(behaviour, key="secret")) == set()
    assert {key for _, key in behaviour.asked} == {"Bearer secret"}
    with pytest.raises(UsageError, match="401"):
        checks_of(Behaviour(key="secret"))
    assert failed(checks_of(Behaviour(key="secret"), key="wrong")) == {"serve"}


def test_of_several_models_one_has_to_be_named_and_an_adapter_is_none_of_them() -> None:
    adapter = {"id": "adapter", "parent": MODEL}
    both = ({"id": MODEL}, {"id": "other"})
    assert failed(checks_of(Behaviour(cards=({"id": MODEL}, adapter)))) == set()
    with pytest.raises(UsageError, match="serves 2 models") as raised:
        checks_of(Behaviour(cards=both))
    assert f"{MODEL}, other" in raised.value.hint
    assert failed(checks_of(Behaviour(cards=both), model=MODEL)) == set()


def test_where_nobody_listens_nothing_is_known() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(MachineError, match="cannot be reached"):
            Deployed(f"http://127.0.0.1:{closed.getsockname()[1]}", None, None, 1)


# -- the command ------------------------------------------------------------------------------------


@pytest.fixture
def matrix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A matrix in a folder of its own, with a home for the key that signs."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    file = tmp_path / "matrix.yaml"
    file.write_text(
        'schema: 1\ntorch: ["2.13.0"]\ncuda: [cpu]\npython: ["3.11"]\nvllm: ["0.32.0"]\n'
        'base: {suite: bookworm, refresh: "2026-11-20"}\npublish: {repository: 127.0.0.1:5999/a/b}\n'
    )
    return file


def test_the_command_says_what_it_saw_and_what_that_leaves_open(
    matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its record is signed, kept beside the matrix, and holds no key."""
    key = matrix.with_name("key")
    key.write_text("secret\n")
    with deployment(Behaviour(key="secret")) as url:
        words = ["verify", "--url", f"{url}/v1/", "--key-file", str(key), "--json", "--matrix", str(matrix)]
        assert command_line.main(words) == GOOD
    told = json.loads(capsys.readouterr().out)
    assert (told["record"]["url"], told["record"]["result"]) == (url, "PASSED")
    assert set(told["certifies"]["checks"]) == MADE
    assert told["certifies"]["hardware"] == ""
    (kept,) = (matrix.parent / ".state" / "deployments").iterdir()
    assert kept.stem == told["record"]["digest"].removeprefix("sha256:")
    assert f".state/deployments/{kept.name}" in told["record"]["replay"]
    files = (path for path in matrix.parent.rglob("*") if path.is_file() and path != key)
    assert [path for path in files if b"secret" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        (Behaviour(constant=True), REFUSED, "run just this again:"),
        (Behaviour(key="secret"), USAGE, "--key-file FILE"),
    ],
    ids=["lies", "wants a key"],
)
def test_its_exit_code_tells_a_failure_from_an_error_of_usage(
    behaviour: Behaviour, code: int, words: str, matrix: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with deployment(behaviour) as url:
        assert command_line.main(["verify", "--url", url, "--matrix", str(matrix)]) == code
    assert words in capsys.readouterr().err


def test_its_exit_code_where_nobody_listens_is_that_of_the_machine(matrix: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        assert command_line.main(["verify", "--url", url, "--matrix", str(matrix)]) == MACHINE
