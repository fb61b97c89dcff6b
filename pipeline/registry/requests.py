"""Requests for one repository: with our authorization, and with patience while the registry is busy."""

from __future__ import annotations

import json
import random
import re
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from pipeline.errors import RegistryError
from pipeline.registry.answers import ELSEWHERE, LOG_IN, BusyError, trouble
from pipeline.registry.login import Login
from pipeline.registry.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.nouns import Digest, Repository
    from pipeline.registry.answers import Answer

T = TypeVar("T")

MANY = 1000
"""The most referrers of one image, and tags of one page, that are read."""

PATIENCE = 60.0
PATIENCE_LOOPBACK = 10.0
"""Seconds that a registry may be busy or away before we give up; on loopback it is there or it is not."""


class Requests:
    """What is asked of one repository. Every method raises RegistryError where we could not find out."""

    def __init__(self, repository: Repository, patience: float | None) -> None:
        self.repository = repository
        self.patience = patience or (PATIENCE_LOOPBACK if repository.is_loopback else PATIENCE)
        scheme = "http" if repository.is_loopback else "https"
        self.root = f"{scheme}://{repository.host}/v2/{repository.path}"
        self._transport = Transport(repository)
        self._login = Login(repository, self._transport, self.root)

    def ask(
        self,
        method: str,
        path: str,
        *,
        ok: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        source: Repository | None = None,
    ) -> Answer:
        """One answer with one of the expected statuses, after as much patience as it takes."""

        def once() -> Answer:
            return self.once(method, f"{self.root}{path}", ok, headers=headers, source=source)

        return self.patiently(once)

    def patiently(self, operation: Callable[[], T]) -> T:
        """Repeat an operation while the registry is busy or away, for at most our patience."""
        deadline = time.monotonic() + self.patience
        for turn in count(1):
            try:
                return operation()
            except BusyError as busy:
                time.sleep(self.pause(busy, turn, deadline))
        raise AssertionError("count() ended")

    @staticmethod
    def pause(busy: BusyError, turn: int, deadline: float) -> float:
        """Seconds to wait before the next turn. Raises RegistryError where there is none."""
        growing = min(8.0, 0.1 * 2 ** min(turn, 10)) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        pause: float = growing if busy.after is None else busy.after + growing / 10
        if turn >= busy.tries or time.monotonic() + pause > deadline:
            raise RegistryError(busy.what, hint=busy.hint) from busy
        return pause

    def once(
        self,
        method: str,
        url: str | httpx.URL,
        ok: tuple[int, ...],
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        source: Repository | None = None,
    ) -> Answer:
        """One answer, with at most one renewal of our authorization."""
        answer = self._authorized(method, url, headers or {}, content, source)
        if answer.status == httpx.codes.UNAUTHORIZED:
            self._login.renew(answer, source)
            if content is not None and not isinstance(content, bytes):
                raise BusyError(answer.complaint, hint=LOG_IN.format(host=self.repository.host), tries=2)
            answer = self._authorized(method, url, headers or {}, content, source)
        if answer.status in ok:
            return answer
        raise trouble(answer, self.repository.host)

    def _authorized(
        self,
        method: str,
        url: str | httpx.URL,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
        source: Repository | None,
    ) -> Answer:
        return self._transport.send(
            method, url, {**self._login.authorization(url, source), **headers}, content
        )

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The JSON of each page of a list; nothing where the registry knows no such list."""
        url: httpx.URL | None = httpx.URL(f"{self.root}{path}")
        for _ in range(MANY):
            if url is None:
                return
            at = url
            answer = self.patiently(
                lambda at=at: self.once("GET", at, (200, 400, 404, 405, 501))  # type: ignore[misc]
            )
            if answer.status != httpx.codes.OK:
                return
            try:
                page = json.loads(answer.body)
            except (ValueError, RecursionError):
                page = None
            if not isinstance(page, dict):
                raise RegistryError(f"{answer.complaint} with no JSON object", hint=ELSEWHERE)
            yield page
            following = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', answer.headers.get("Link", ""))
            url = answer.url.join(following[1]) if following else None

    @contextmanager
    def open(self, digest: Digest, *, start: int = 0) -> Iterator[Iterator[bytes]]:
        """A large blob from this byte on, in pieces, while the block lasts; nobody hashes it here."""
        url = f"{self.root}/blobs/{digest}"
        self.once("HEAD", url, (200,))  # renews our authorization where that is needed
        headers = self._login.authorization(url)
        expected = httpx.codes.OK
        if start:
            headers["Range"] = f"bytes={start}-"
            expected = httpx.codes.PARTIAL_CONTENT
        with self._transport.stream(url, headers, expected=expected) as pieces:
            yield pieces
