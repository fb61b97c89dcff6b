"""What serving a model of production's size costs on this machine: start-up, speed, memory."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from pipeline.adapters import gpu
from pipeline.suite import large_model
from pipeline.suite.expect import Mismatch, poll
from pipeline.suite.trial_run import last_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.suite.target import Server, Target

SERVED = "large"
TOGETHER = 64
"""Requests that run at the same time."""
_PROMPT = "Say which wheel was compiled for which CUDA. " * 4
_STEPS = 256
"""Tokens of an answer."""
_GLANCE_SECONDS = 5.0
_SETTLE_SECONDS = 20.0
"""A driver takes a moment to give back the memory of a process that has ended."""
_WEIGHTS_BYTES = 15_000_000_000
"""A little less than 8 billion parameters take in 16 bits each."""
_SPARE_BYTES = 64 << 20
"""By how much the memory in use on a GPU may differ before and after."""


@dataclass(frozen=True)
class ServingCost:
    """How long a start takes, how fast it answers, and the memory of the GPUs.

    Seconds are from the start to health, with empty caches (cold) and with what the first start left in them
    (warm). Tokens per second are of one request, and of many together. Bytes are those in use on all GPUs,
    0 where there is none: before the first start, under load, after the end.
    """

    cold_seconds: float
    warm_seconds: float
    alone_per_second: float
    together_per_second: float
    bytes_before: int
    bytes_loaded: int
    bytes_after: int

    @property
    def is_on_gpu(self) -> bool:
        """Whether a GPU held the weights, at the least."""
        return self.bytes_loaded > self.bytes_before + _WEIGHTS_BYTES

    @property
    def is_given_back(self) -> bool:
        """Whether no memory of a GPU was kept."""
        return self.bytes_after <= self.bytes_before + _SPARE_BYTES


def measure(
    target: Target, arguments: tuple[str, ...], *, healthy_seconds: float, steps: int = _STEPS
) -> ServingCost:
    """Start a server twice, load it, and end it.

    ``arguments`` go to the server, ``healthy_seconds`` are the most that a start may take. Raises Mismatch
    where the server ends, is not healthy in time, or gives another answer than it was asked for.
    """
    before = gpu.bytes_in_use()
    with _healthy(target, arguments, healthy_seconds) as (_, cold):
        pass
    with _healthy(target, arguments, healthy_seconds) as (client, warm), ThreadPoolExecutor(TOGETHER) as pool:
        _answer(client, steps)  # the first request of all pays for what is made on demand
        alone = _rate(1, steps, pool, client)
        together = _rate(TOGETHER, steps, pool, client)
        loaded = gpu.bytes_in_use()
    poll(_SETTLE_SECONDS, lambda: gpu.bytes_in_use() <= before + _SPARE_BYTES)
    return ServingCost(cold, warm, alone, together, before, loaded, gpu.bytes_in_use())


@contextmanager
def _healthy(
    target: Target, arguments: tuple[str, ...], seconds: float
) -> Iterator[tuple[httpx.Client, float]]:
    """A client of a healthy server, and the seconds that its start took; the server ends with the block."""
    words = ("--model", target.model, "--served-model-name", SERVED, *large_model.SERVE, *arguments)
    started = time.monotonic()
    server = target.serve(words)
    try:
        _await_health(server, started + seconds)
        took = time.monotonic() - started
        with httpx.Client(base_url=server.base_url, trust_env=False, timeout=seconds) as client:
            yield client, took
    finally:
        server.stop(seconds=30)


def _await_health(server: Server, deadline: float) -> None:
    while time.monotonic() < deadline:
        if ended := server.ended():
            raise Mismatch("a server that keeps running", f"it {ended}: {last_line(server.log())}")
        try:
            if httpx.get(f"{server.base_url}/health", trust_env=False, timeout=_GLANCE_SECONDS).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise Mismatch("a healthy server in time", f"none; its log ends: {last_line(server.log())}")


def _rate(count: int, steps: int, pool: ThreadPoolExecutor, client: httpx.Client) -> float:
    """Tokens per second of so many requests that are sent together."""
    started = time.monotonic()
    made = sum(pool.map(lambda number: _answer(client, steps, number), range(count)))
    return made / (time.monotonic() - started)


def _answer(client: httpx.Client, steps: int, number: int = 0) -> int:
    """Ask for so many tokens; how many there were. Raises Mismatch for any other number of them.

    Prompts differ from their first token on, so that none finds another's in the prefix cache.
    """
    prompt = f"{number}. {_PROMPT}"
    question = {"model": SERVED, "prompt": prompt, "max_tokens": steps, "ignore_eos": True, "temperature": 0}
    response = client.post("/v1/completions", json=question)
    try:
        made = int(response.json()["usage"]["completion_tokens"])
    except (ValueError, KeyError, TypeError) as error:
        raise Mismatch(f"{steps} tokens", f"status {response.status_code}: {response.text[:300]}") from error
    if made != steps:
        raise Mismatch(f"{steps} tokens", f"{made}")
    return made
