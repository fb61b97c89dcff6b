"""One policy says which failures may pass, and how often and after what pauses a request is made again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from pipeline.adapters.web.retries import (
    MAX_PAUSE_SECONDS,
    TRANSIENT,
    RetryPolicy,
    TransientError,
    retry_after,
)

AT_ONCE = RetryPolicy(seconds=5, attempts=3, first_pause=0)


@dataclass
class Server:
    """Fails so many times, then answers."""

    failures: int
    attempts: int = 0
    max_attempts: int | None = None

    def ask(self) -> str:
        self.attempts += 1
        if self.attempts <= self.failures:
            raise TransientError("busy", max_attempts=self.max_attempts)
        return "answer"

    async def ask_async(self) -> str:
        return self.ask()


def test_what_passes_is_tried_again() -> None:
    server = Server(failures=2)
    assert AT_ONCE.run(server.ask) == "answer"
    assert server.attempts == 3


def test_what_does_not_pass_ends_in_its_last_failure() -> None:
    server = Server(failures=10)
    with pytest.raises(TransientError, match="busy"):
        AT_ONCE.run(server.ask)
    assert server.attempts == 3


def test_a_failure_may_be_given_up_sooner_than_the_policy_would() -> None:
    server = Server(failures=10, max_attempts=2)
    with pytest.raises(TransientError):
        AT_ONCE.run(server.ask)
    assert server.attempts == 2


def test_what_is_awaited_is_tried_as_often() -> None:
    server, stubborn = Server(failures=2), Server(failures=10)
    assert asyncio.run(AT_ONCE.run_async(server.ask_async)) == "answer"
    with pytest.raises(TransientError, match="busy"):
        asyncio.run(AT_ONCE.run_async(stubborn.ask_async))
    assert (server.attempts, stubborn.attempts) == (3, 3)


def test_pauses_double_are_jittered_and_bounded() -> None:
    policy = RetryPolicy(seconds=1e9, first_pause=1)
    pauses = [policy.pause(attempt, 0, TransientError("")) for attempt in range(1, 8)]
    for pause, longest in zip(pauses, (1, 2, 4, 8, 8, 8, 8), strict=True):
        assert pause is not None
        assert longest / 2 <= pause <= longest <= MAX_PAUSE_SECONDS


def test_no_attempt_begins_after_the_time_is_over() -> None:
    """Nor is a pause begun that would not end before that."""
    policy = RetryPolicy(seconds=10, first_pause=1)
    assert policy.pause(1, 8.9, TransientError("")) is not None
    assert policy.pause(1, 9.6, TransientError("")) is None
    assert policy.pause(1, 0, TransientError("", retry_after=3600)) is None


def test_a_server_that_names_a_pause_gets_it() -> None:
    pause = RetryPolicy(seconds=10, first_pause=1).pause(1, 0, TransientError("", retry_after=3))
    assert pause is not None
    assert 3 <= pause <= 3.1


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0),
        (" 12 ", 12),
        ("-1", None),
        ("1e5", None),
        ("²", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_where_it_names_seconds(header: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": header}) == seconds
    assert retry_after({}) is None


@pytest.mark.parametrize("status", [200, 307, 400, 401, 403, 404, 405, 501, 507])
def test_a_last_word_is_not_asked_for_again(status: int) -> None:
    """A full disk, a refusal and what is not there stay so."""
    assert status not in TRANSIENT
