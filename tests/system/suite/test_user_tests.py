"""A user's own tests and prompts, run by the suite: what becomes of each, and what stays as it is."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.model import Outcome, Trial
from pipeline.stages import verify
from pipeline.suite import golden
from tests.builders import PYTORCH_CELL
from tests.system.suite.answering_server import BEHAVIOUR
from tests.system.suite.fake_server import saboteur
from tests.system.suite.trials import left, others, trial_of

if TYPE_CHECKING:
    from pipeline.model import Check, Lock

ROOT = Path(__file__).resolve().parents[3]
TESTS = """
import pytest

@pytest.fixture
def broken():
    raise RuntimeError("no such thing")

@pytest.fixture
def leaves(request):
    yield
    assert request.node.name == "another"

def test_good(cell, image, server, client):
    assert (cell.vllm, server.model, server.key) == ("0.32.0", "under-test", "none")
    assert image.endswith("/python")
    assert client.models.list().data[0].id == server.model
    assert str(client.base_url) == f"{server.url}/v1/"

def test_bad():
    answer = "Lyon"
    assert answer == "Paris", "the capital"

def test_skipped():
    pytest.skip("not on a Friday")

@pytest.mark.xfail(reason="known since May")
def test_known(): assert False

@pytest.mark.xfail(strict=True)
def test_mended(): pass

def test_error(server): raise ValueError(server.model)
def test_broken(broken): pass
def test_leaves(leaves): pass
def test_hangs(): import time; time.sleep(60)
def test_left_out(broken): pass
def test_exits(): raise SystemExit(0)
def test_last(): pass
"""


def prove(trial: Trial, tmp_path: Path) -> dict[str, Check]:
    """Every check by its name, in the order of the record."""
    checks, _ = verify.prove(trial, progress=lambda _: None, log=tmp_path / "server.log")
    return {check.name: check for check in checks}


@pytest.fixture(scope="module")
def checks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Check]:
    """What became of one test of each kind; the server is ours, and healthy."""
    folder = tmp_path_factory.mktemp("users")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_a.py").write_text(TESTS)
    (folder / "model").mkdir()
    (folder / "model" / "config.json").write_text("{}")
    (folder / "model" / "model.safetensors").touch()
    left_out = others() | {"user:test_a::test_left_out": "it is for GPUs"}
    trial = trial_of(
        saboteur(folder, BEHAVIOUR), str(folder / "model"), tests=str(folder / "tests"), left_out=left_out
    )
    found = prove(trial, folder)
    assert left(folder) == []
    assert [path.name for path in (folder / "tests").iterdir()] == ["test_a.py"]
    return found


def test_they_come_after_our_checks_of_the_server_of_production_and_before_its_end(
    checks: dict[str, Check],
) -> None:
    names = list(checks)
    users = [at for at, name in enumerate(names) if name.startswith("user:")]
    assert (names[users[0] - 1], names[users[-1] + 1]) == ("memory", "drain")
    assert len(users) == users[-1] - users[0] + 1 == 12


@pytest.mark.parametrize(
    ("name", "outcome", "expected", "seen"),
    [
        ("good", Outcome.PASSED, "", ""),
        ("last", Outcome.PASSED, "", ""),
        ("bad", Outcome.FAILED, 'assert answer == "Paris", "the capital"', r"the capital\n.*test_a.py:21."),
        ("skipped", Outcome.NOT_RUN, "", "not on a Friday"),
        ("known", Outcome.NOT_RUN, "", "failed, as it is marked: known since May"),
        ("mended", Outcome.FAILED, "a failure, as the test is marked", "it passed"),
        ("error", Outcome.FAILED, "no error", r"ValueError: under-test \(test_a.py:32\)"),
        ("broken", Outcome.FAILED, "no error", r"RuntimeError: no such thing \(test_a.py:6\)"),
        ("leaves", Outcome.FAILED, 'assert request.node.name == "another"', ".*test_leaves.*"),
        ("hangs", Outcome.FAILED, "an end of the test within 6 s", "none by then"),
        ("left_out", Outcome.NOT_RUN, "", "left out: it is for GPUs"),
        ("exits", Outcome.FAILED, "no error", r"SystemExit: 0 \(test_a.py:37\)"),
    ],
)  # fmt: skip
def test_each_says_what_became_of_it(
    checks: dict[str, Check], name: str, outcome: Outcome, expected: str, seen: str
) -> None:
    check = checks[f"user:test_a::test_{name}"]
    assert (check.outcome, check.expected) == (outcome, expected)
    assert re.fullmatch(seen, check.seen, re.DOTALL)


def test_tests_of_a_server_that_is_not_up_have_failed(model: str, tmp_path: Path) -> None:
    """And those that need none still run."""
    (tmp_path / "tests").mkdir()
    text = "def test_asks(client): pass\ndef test_looks(image): pass\n"
    (tmp_path / "tests" / "test_a.py").write_text(text)
    trial = trial_of(saboteur(tmp_path, "sys.exit('RuntimeError: no')"), model, tests=str(tmp_path / "tests"))
    found = prove(trial.model_copy(update={"left_out": others()}), tmp_path)
    assert "server" in found["user:test_a::test_asks"].expected
    assert found["user:test_a::test_asks"].outcome is Outcome.FAILED
    assert found["user:test_a::test_looks"].outcome is Outcome.PASSED


def test_a_test_that_ends_the_suite_hides_nothing_that_comes_after_it(model: str, tmp_path: Path) -> None:
    """What left no line has failed: of theirs and of ours."""
    (tmp_path / "tests").mkdir()
    text = "import os\ndef test_ends(): os._exit(0)\ndef test_later(): pass\n"
    (tmp_path / "tests" / "test_a.py").write_text(text)
    trial = trial_of(saboteur(tmp_path, BEHAVIOUR), model, tests=str(tmp_path / "tests"), left_out=others())
    found = prove(trial, tmp_path)
    absent = {name for name, check in found.items() if check.seen == "did not run"}
    assert {"user:test_a::test_ends", "user:test_a::test_later", "drain", "shutdown"} <= absent
    assert left(tmp_path) == []


def test_ctrl_c_while_a_test_runs_ends_all(model: str, tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    begun = tmp_path / "begun"
    (tmp_path / "tests" / "test_a.py").write_text(
        f"import pathlib, time\ndef test_it(server): pathlib.Path({str(begun)!r}).touch(); time.sleep(90)\n"
    )
    trial = trial_of(
        saboteur(tmp_path, BEHAVIOUR),
        model,
        tests=str(tmp_path / "tests"),
        left_out=others(),
        healthy_seconds=120.0,
    )
    (tmp_path / "trial.json").write_text(trial.model_dump_json())
    script = (
        "import pathlib, sys; from pipeline.stages import verify; from pipeline.model import Trial\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "trial = Trial.model_validate_json((folder / 'trial.json').read_bytes())\n"
        "verify.prove(trial, progress=print, log=folder / 'server.log')\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, tmp_path], stderr=subprocess.PIPE)
    try:
        deadline = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        started = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=40)
    finally:
        process.kill()
    assert b"KeyboardInterrupt" in stderr
    assert time.monotonic() - started < 15
    assert left(tmp_path) == []


# -- the page ----------------------------------------------------------------------------------------


def _written(heading: str, starts: str) -> str:
    """The block of docs/suite.md under a heading that starts with these words."""
    part = (
        (ROOT / "docs" / "suite.md").read_text("utf-8").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    )
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", part, flags=re.MULTILINE)
    texts = ["\n".join(line[4:] for line in block.splitlines()).strip("\n") for block in blocks]
    return next(text for text in texts if text.startswith(starts)) + "\n"


def test_the_tests_and_prompts_of_the_page_pass(model: str, tmp_path: Path) -> None:
    (tmp_path / "tests" / "images").mkdir(parents=True)
    written = _written("Tests of your own", "import json")
    (tmp_path / "tests" / "images" / "test_answers.py").write_text(written)
    asked = tmp_path / "capitals.jsonl"
    asked.write_text(_written("Tests of your own", '{"prompt"'))
    trial = trial_of(
        saboteur(tmp_path, BEHAVIOUR),
        model,
        tests=str(tmp_path / "tests" / "images"),
        prompts=(str(asked),),
        left_out=others(),
    )
    found = prove(trial, tmp_path)
    outcomes = {name: check.outcome for name, check in found.items() if name.startswith("user:")}
    assert outcomes == {
        "user:capitals.jsonl": Outcome.PASSED,
        "user:test_answers::test_it_is_the_release_that_we_deploy": Outcome.PASSED,
        "user:test_answers::test_it_goes_on_with_any_word[Paris]": Outcome.PASSED,
        "user:test_answers::test_it_goes_on_with_any_word[Lyon]": Outcome.PASSED,
    }


def test_answers_that_are_others_are_named_by_file_and_line(model: str, tmp_path: Path) -> None:
    right, wrong, later = (tmp_path / f"{name}.jsonl" for name in ("right", "wrong", "later"))
    right.write_text('{"prompt": "a", "max_tokens": 4, "text": "Paris"}\n')
    wrong.write_text(right.read_text() + '\n{"prompt": "a", "max_tokens": 4, "one_of": ["Lyon", "Nice"]}\n')
    later.write_text(right.read_text())
    trial = trial_of(
        saboteur(tmp_path, BEHAVIOUR),
        model,
        prompts=tuple(map(str, (right, wrong, later))),
        left_out=others() | {"user:later.jsonl": "later"},
    )
    found = prove(trial, tmp_path)
    check = found["user:wrong.jsonl"]
    assert (check.outcome, check.expected) == (Outcome.FAILED, "line 3: 'Lyon' or 'Nice'")
    assert check.seen == "line 3: 'Paris'"
    assert found["user:right.jsonl"].outcome is Outcome.PASSED
    assert (found["user:later.jsonl"].outcome, found["user:later.jsonl"].seen) == (
        Outcome.NOT_RUN,
        "left out: later",
    )


# -- real ones ---------------------------------------------------------------------------------------


@pytest.mark.needs("index")
def test_a_real_server_answers_a_users_tests_and_prompts(
    locked: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Right golden answers of the tiny model pass; one with another token fails, and nothing else does."""
    python, pins = locked
    answers, steps = golden.read().answers, 8
    right, wrong = tmp_path / "right.jsonl", tmp_path / "wrong.jsonl"
    lines = [
        {"prompt": answer.prompt, "max_tokens": steps, "tokens": list(answer.tokens[:steps])}
        for answer in answers
    ]
    right.write_text("".join(json.dumps(line) + "\n" for line in lines))
    lines[1]["tokens"] = [*answers[1].tokens[: steps - 1], answers[1].tokens[steps - 1] ^ 1]
    wrong.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        "def test_it_streams(client, server):\n"
        "    parts = client.completions.create(\n"
        "        model=server.model, prompt='Hi', max_tokens=4, temperature=0, stream=True)\n"
        "    assert ''.join(part.choices[0].text for part in parts)\n"
        "def test_it_is_wrong(client, server):\n"
        "    answer = client.completions.create(model=server.model, prompt='Hi', max_tokens=4)\n"
        "    assert answer.choices[0].text == 'impossible: five letters of four'\n"
    )
    trial = trial_of(
        python,
        model,
        cell=pins.cell,
        tests=str(tmp_path / "tests"),
        prompts=(str(right), str(wrong)),
        left_out=others(pins.cell, "serve"),
        healthy_seconds=600.0,
        answer_seconds=60.0,
        shutdown_seconds=30.0,
        serve=("--enforce-eager",),
    )
    found = prove(trial, tmp_path)
    outcomes = {name: check.outcome for name, check in found.items() if check.outcome is not Outcome.NOT_RUN}
    assert outcomes == {
        "serve": Outcome.PASSED,
        "user:right.jsonl": Outcome.PASSED,
        "user:wrong.jsonl": Outcome.FAILED,
        "user:test_a::test_it_streams": Outcome.PASSED,
        "user:test_a::test_it_is_wrong": Outcome.FAILED,
    }
    assert found["user:wrong.jsonl"].expected.startswith("line 2: tokens [")
    assert left(tmp_path) == []


@pytest.mark.needs("index")
def test_without_vllm_the_tests_that_ask_no_server_run_last(
    pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text(
        "import subprocess\n"
        "def test_asks(server): pass\n"
        "def test_it_counts(image, cell):\n"
        "    said = subprocess.check_output([image, '-c', 'import torch; print(torch.arange(5).sum())'])\n"
        "    assert (said, cell.vllm) == (b'tensor(10)\\n', None)\n"
    )
    cell = PYTORCH_CELL
    changes = {"tests": str(tmp_path / "tests"), "left_out": others(cell), "healthy_seconds": 300.0}
    found = prove(trial_of(pytorch_alone[0], model, cell=cell, **changes), tmp_path)
    assert list(found)[-1] == "user:test_a::test_it_counts"
    assert found["user:test_a::test_it_counts"].outcome is Outcome.PASSED
    assert "user:test_a::test_asks" not in found
