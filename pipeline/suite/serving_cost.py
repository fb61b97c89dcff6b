"""What serving a model of production's size costs on this machine: start-up, speed, memory."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adapters import gpu
from pipeline.suite import large_model
from pipeline.suite.device import SETTLE_SECONDS, SPARE_BYTES
from pipeline.suite.expect import Mismatch, expect, poll
from pipeline.suite.live_server import LiveServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.model import Trial
    from pipeline.suite.targets.target import Target

SERVED = "large"
TOGETHER = 64
"""Requests that run at the same time."""
_PROMPT = "Say which wheel was compiled for which CUDA. " * 4
_STEPS = 256
"""Tokens of an answer."""
_WEIGHTS_BYTES = 15_000_000_000
"""A little less than 8 billion parameters take in 16 bits each."""


@dataclass(frozen=True)
class ServingCost:
    """How long a start takes, how fast it answers, and the memory of the GPUs.

    Seconds are from the start to health, with empty caches (cold) and with what the first start left in them
    (warm). Tokens per second are of one request, and of many together. Bytes are those in use on all GPUs,
    0 where there is none: before the first start, under load, after the end. ``choices`` are what vLLM chose
    for this machine, by its log.
    """

    cold_seconds: float
    warm_seconds: float
    alone_per_second: float
    together_per_second: float
    bytes_before: int
    bytes_loaded: int
    bytes_after: int
    choices: Mapping[str, str]

    @property
    def is_on_gpu(self) -> bool:
        """Whether a GPU held the weights, at the least."""
        return self.bytes_loaded > self.bytes_before + _WEIGHTS_BYTES

    @property
    def is_given_back(self) -> bool:
        """Whether no memory of a GPU was kept."""
        return self.bytes_after <= self.bytes_before + SPARE_BYTES


def measure(trial: Trial, target: Target, log: Path) -> ServingCost:
    """Start a server of the trial's model twice, load it, and end it.

    The logs go beside ``log``, one for each start. Raises Mismatch where the server ends, is not healthy in
    time, or gives another answer than it was asked for.
    """
    before = gpu.bytes_in_use()
    with _healthy(trial, target, log.with_suffix(f".cold{log.suffix}")) as (_, cold):
        pass
    with (
        _healthy(trial, target, log.with_suffix(f".warm{log.suffix}")) as (live, warm),
        ThreadPoolExecutor(TOGETHER) as pool,
    ):
        _answer(live)  # the first request of all pays for what is made on demand
        alone = _rate(live, 1, pool)
        together = _rate(live, TOGETHER, pool)
        loaded, choices = gpu.bytes_in_use(), live.choices()
    poll(SETTLE_SECONDS, lambda: gpu.bytes_in_use() <= before + SPARE_BYTES)
    return ServingCost(cold, warm, alone, together, before, loaded, gpu.bytes_in_use(), choices)


@contextmanager
def _healthy(trial: Trial, target: Target, log: Path) -> Iterator[tuple[LiveServer, float]]:
    """A healthy server, and the seconds that its start took; the server ends with the block."""
    words = ("--model", target.model, "--served-model-name", SERVED, *large_model.SERVE, *trial.serve)
    server = target.serve(words, log)
    live = LiveServer(trial, server, "bfloat16")
    try:
        yield live, live.await_health()
    finally:
        live.close()
        server.stop(trial.shutdown_seconds)


def _rate(live: LiveServer, count: int, pool: ThreadPoolExecutor) -> float:
    """Tokens per second of so many requests that are sent together."""
    started = time.monotonic()
    made = sum(pool.map(lambda number: _answer(live, number), range(count)))
    return made / (time.monotonic() - started)


def _answer(live: LiveServer, number: int = 0) -> int:
    """Ask for an answer; its tokens. Raises Mismatch where there are more or fewer than were asked for.

    Prompts differ from their first token on, so that none finds another's in the prefix cache.
    """
    prompt = f"{number}. {_PROMPT}"
    question = {"model": SERVED, "prompt": prompt, "max_tokens": _STEPS, "ignore_eos": True, "temperature": 0}
    response = live.post("/v1/completions", json.dumps(question).encode())
    try:
        made = int(response.json()["usage"]["completion_tokens"])
    except (ValueError, KeyError, TypeError) as error:
        raise Mismatch(f"{_STEPS} tokens", f"status {response.status_code}: {response.text[:300]}") from error
    expect("tokens of an answer:", _STEPS, made)
    return made
