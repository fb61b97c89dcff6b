"""What a server says of itself at /metrics: its work, its requests, its cache."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.suite.expect import Late, Mismatch, poll

if TYPE_CHECKING:
    from pipeline.suite.live_server import LiveServer

SETTLE_SECONDS = 30.0


def settle(server: LiveServer) -> None:
    """Wait until nothing runs or waits, and no cache block is in use. Raises Late if one still does."""
    poll(SETTLE_SECONDS, lambda: _in_use(server) == (0, 0))
    if (in_use := _in_use(server)) != (0, 0):
        expected = "(requests running or waiting, share of cache blocks in use) when idle: (0, 0)"
        raise Late(expected, f"{in_use}")


def _in_use(server: LiveServer) -> tuple[float, float]:
    body = server.get("/metrics")
    requests = value(body, "vllm:num_requests_running") + value(body, "vllm:num_requests_waiting")
    return requests, value(body, "vllm:kv_cache_usage_perc")


def running(server: LiveServer) -> float:
    """How many requests the engine was answering, by its last report."""
    return value(server.get("/metrics"), "vllm:num_requests_running")


def work_done(server: LiveServer) -> tuple[float, float]:
    """Tokens generated, and steps of the engine, since the server's start."""
    body = server.get("/metrics")
    return value(body, "vllm:generation_tokens_total"), value(body, "vllm:iteration_tokens_total_count")


def preemptions(server: LiveServer) -> float:
    """How often a request had to give its cache blocks to another, since the server's start."""
    return value(server.get("/metrics"), "vllm:num_preemptions_total")


def prefix_hits(server: LiveServer) -> float:
    """How many tokens of prompts were found in the cache, since the server's start."""
    return value(server.get("/metrics"), "vllm:prefix_cache_hits_total")


def value(body: str, name: str) -> float:
    """A number of the metrics, summed over engines. Raises Mismatch if it is missing."""
    values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", body, re.MULTILINE)
    if not values:
        raise Mismatch(f"{name} in /metrics", "no such metric")
    return sum(map(float, values))
