"""The probe of the modes on a vLLM that misbehaves: what a job dies of is told, and no other one's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.suite import probes

if TYPE_CHECKING:
    from pathlib import Path

VLLM = """
import os, signal, subprocess, sys, time
from types import SimpleNamespace

class ModelRegistry:
    register_model = staticmethod(lambda name, model: None)

class SamplingParams(SimpleNamespace):
    pass

def crash(): os.kill(os.getpid(), signal.SIGSEGV)
def leave(): os._exit(0)
def hang(): subprocess.Popen(["sleep", "303.5"]); time.sleep(300)
def refuse():
    try: raise ValueError("no kernel")
    except ValueError as error: raise RuntimeError("no engine") from error

class LLM:
    left_behind = 0

    def __init__(self, model):
        print("starting", model, flush=True)
        getattr(sys.modules["vllm"], model, lambda: None)()

    def embed(self, prompts, use_tqdm):
        LLM.left_behind += 1
        vector = [float(token) for token in prompts[0]["prompt_token_ids"]] + [LLM.left_behind]
        return [SimpleNamespace(outputs=SimpleNamespace(embedding=vector))]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a vLLM whose engine does what its model is named."""
    for module in ("v1/engine/llm_engine", "v1/engine/core", "model_executor/models/llama"):
        file = tmp_path / f"vllm/{module}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("LlamaForCausalLM = None\n")
    (tmp_path / "vllm/__init__.py").write_text(VLLM)
    return tmp_path


def told(home: Path, *models: str, **changes: Any) -> Any:
    """What the probe tells of a job for each of these."""
    jobs = [
        {"name": model, "seconds": 30, "does": "embed", "engine": {"model": model}, "prompts": [[4, 2]]}
        | changes
        for model in models
    ]
    command = [sys.executable, "-c", probes.source("modes"), json.dumps(jobs)]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    return probes.result(done.stdout)


def test_what_a_job_leaves_behind_is_not_the_next_ones(home: Path) -> None:
    results = told(home, "first", "second")
    assert [results[name]["answer"] for name in ("first", "second")] == [[[4.0, 2.0, 1]]] * 2


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("crash", "ended by signal 11"),
        ("leave", "exit code 0 without a word"),
        ("refuse", "RuntimeError: no engine\nValueError: no kernel"),
    ],
)
def test_a_job_that_dies_is_told_and_the_next_one_answers(model: str, error: str, home: Path) -> None:
    """With the end of its log; a refusal with what it came from, which may be the reason."""
    results = told(home, model, "next")
    assert results[model]["error"] == error
    assert f"starting {model}" in results[model]["log"]
    assert "answer" in results["next"]


def test_a_job_that_never_ends_is_ended_in_time_with_what_it_started(home: Path) -> None:
    started = time.monotonic()
    results = told(home, "hang", "next", seconds=1)
    assert time.monotonic() - started < 20
    assert results["hang"]["error"] == "no end within 1 s"
    assert "answer" in results["next"]
    sleeping = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "sleep 303.5" not in sleeping.splitlines()


def test_a_prompt_may_be_the_name_of_a_file(home: Path) -> None:
    (home / "prompt.json").write_text("[7, 8, 9]")
    assert told(home, "reads", prompts=["prompt.json"])["reads"]["answer"] == [[7.0, 8.0, 9.0, 1]]
