"""An answer that comes in parts, while other things are done to its server."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pipeline.suite.expect import Mismatch, Task, expect_that
from pipeline.suite.serving import SERVED

if TYPE_CHECKING:
    from pipeline.suite.live_server import LiveServer


class Stream:
    """An answer of some tokens that is streamed, in a thread of its own."""

    def __init__(self, server: LiveServer, prompt: str, length: int) -> None:
        self._server, self._prompt, self._length, self._tokens = server, prompt, length, 0
        self._reason: str | None = None
        self._task = Task(self._read)

    def _read(self) -> None:
        question: Any = {"temperature": 0, "max_tokens": self._length, "stream": True}
        extra = {"ignore_eos": True, "return_token_ids": True}
        for part in self._server.client.completions.create(
            model=SERVED, prompt=self._prompt, extra_body=extra, **question
        ):
            for choice in part.choices:
                self._tokens += len(getattr(choice, "token_ids", None) or [])
                self._reason = choice.finish_reason or self._reason

    def runs(self) -> bool:
        """Whether its answer is not whole yet."""
        return not self._task.ended()

    def await_begin(self) -> None:
        """Wait until its first token is there. Raises Mismatch if it is not in time."""
        deadline = time.monotonic() + self._server.trial.answer_seconds
        while not self._tokens:
            if time.monotonic() > deadline or self._task.ended():
                self._task.result(0, "a stream that begins")
                raise Mismatch("a stream that begins", "none of its tokens")
            time.sleep(0.01)

    def expect_whole(self, seconds: float) -> None:
        """Expect the whole answer. Raises Mismatch if a part is missing."""
        whole = f"{self._length} tokens of a stream that was accepted"
        try:
            self._task.result(seconds, whole)
        except Exception as error:
            if isinstance(error, Mismatch):
                raise
            raise Mismatch(whole, f"{self._tokens}, then {type(error).__name__}: {error}") from error
        expect_that(
            f"{whole}, finish_reason length",
            (self._tokens, self._reason) == (self._length, "length"),
            f"{self._tokens}, finish_reason {self._reason}",
        )
