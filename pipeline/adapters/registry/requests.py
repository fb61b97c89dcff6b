"""Requests for one repository: redirects judged, our authorization where it belongs, and patience."""

from __future__ import annotations

import random
import re
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from pipeline.adapters.registry.answers import ELSEWHERE, LOG_IN, NO_DETOUR, BusyError, trouble
from pipeline.adapters.registry.auth import Login
from pipeline.adapters.registry.origins import Origin, parsed, reached
from pipeline.adapters.registry.transport import PIECE, Transport
from pipeline.adapters.web.deadline import LIST_SECONDS, Deadline
from pipeline.formats.oci import object_in
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pipeline.adapters.registry.answers import Answer
    from pipeline.adapters.registry.transport import Opened
    from pipeline.model import Digest, Repository

T = TypeVar("T")

MANY = 1000
"""The most referrers of one image, and tags of one page, that are read."""

PAGES = 1000
LIST_BYTES = 64 << 20
"""The most pages of one list, and bytes of all of them, that are read."""

HOPS = 5
"""The most redirects of one request."""

PATIENCE = 60.0
PATIENCE_LOOPBACK = 10.0
"""Seconds that a registry may be busy or away before we give up; on loopback it is there or it is not."""

_REPEATABLE = (307, 308)
"""Redirects that ask for the very same request (RFC 9110); the others turn a POST or PUT into a GET."""


class Requests:
    """What is asked of one repository. Every method raises RegistryError where we could not find out."""

    def __init__(self, repository: Repository, patience: float | None) -> None:
        self.repository = repository
        default = PATIENCE_LOOPBACK if repository.is_loopback else PATIENCE
        self.patience = default if patience is None else patience
        scheme = "http" if repository.is_loopback else "https"
        root, self.home = parsed(f"{scheme}://{repository.host}/v2/{repository.path}", f"{repository}")
        self.root = str(root)
        self._transport = Transport(repository.host)
        self._login = Login(repository, self.home, self._transport)

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
        deadline = Deadline()
        where = url if isinstance(url, httpx.URL) else parsed(url, f"{self.repository}")[0]

        def asked() -> Answer:
            with self._reached(
                method, where, headers or {}, content, deadline=deadline, source=source
            ) as opened:
                return opened.read()

        answer = asked()
        if self._is_challenge(answer):
            self._login.renew(answer, source)
            if content is not None and not isinstance(content, bytes):
                raise self._once_more(answer)
            answer = asked()
        if answer.status in ok:
            return answer
        raise trouble(answer, self.repository.host)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The JSON of each page of a list; nothing where the registry knows no such list.

        Raises RegistryError where the list leads elsewhere or in a circle, and where it is longer than what
        is read: a list that is cut says something else.
        """
        url, seen, size = httpx.URL(f"{self.root}{path}"), set[httpx.URL](), 0
        ends = time.monotonic() + LIST_SECONDS
        while True:
            answer = self.patiently(lambda at=url: self.once("GET", at, _LISTED if not seen else (200,)))  # type: ignore[misc] # lambda's default
            if answer.status != httpx.codes.OK:
                return
            page = object_in(answer.body)
            if page is None:
                raise RegistryError(f"{answer.complaint} with no JSON object", hint=ELSEWHERE)
            yield page
            following = _next_page(answer)
            if following is None:
                return
            seen.add(url)
            size += len(answer.body)
            url = reached(following, answer.url, f"{answer.place}: the next page")
            if url in seen or Origin.of(url) != self.home:
                raise RegistryError(
                    f"{answer.place}: the next page is elsewhere, or one that was read", hint=NO_DETOUR
                )
            if len(seen) >= PAGES or size > LIST_BYTES or time.monotonic() > ends:
                raise RegistryError(
                    f"{answer.place}: a list without end: more than {len(seen)} pages of {size} bytes",
                    hint="remove what nobody needs there, or name another repository with --repository",
                )

    def is_well(self) -> bool:
        """Whether the registry as such answers now."""
        try:
            self.once("GET", f"{self.root.partition('/v2/')[0]}/v2/", (200, 401, 403, 404))
        except BusyError:
            return False
        return True

    def resumed(self, digest: Digest, size: int) -> Generator[bytes]:
        """The bytes of a large blob, in pieces; where the connection breaks, from there on once more.

        Nobody hashes them here. More than one piece beyond ``size`` never comes.
        """
        deadline = Deadline()
        at, turn, patience = 0, 0, time.monotonic() + self.patience
        while at <= size:
            try:
                with self._opened(digest, deadline, at) as opened:
                    for piece in _joined(opened.pieces):
                        at, turn, patience = at + len(piece), 0, time.monotonic() + self.patience
                        with deadline.paused():
                            yield piece
                        if at > size:
                            return
            except BusyError as busy:
                turn += 1
                time.sleep(self.pause(busy, turn, patience))
            else:
                return

    @contextmanager
    def _opened(self, digest: Digest, deadline: Deadline, start: int) -> Iterator[Opened]:
        """A large blob from this byte on, while the block lasts; nobody hashes it here."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        expected = httpx.codes.PARTIAL_CONTENT if start else httpx.codes.OK
        url = httpx.URL(f"{self.root}/blobs/{digest}")
        with self._reached("GET", url, headers, None, deadline=deadline, alone=True) as opened:
            if self._is_challenge(opened.head):
                self._login.renew(opened.head)
                raise self._once_more(opened.head)
            if opened.status != expected:
                raise trouble(opened.head, self.repository.host)
            yield opened

    @contextmanager
    def _reached(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
        *,
        deadline: Deadline,
        source: Repository | None = None,
        alone: bool = False,
    ) -> Iterator[Opened]:
        """The answer at the end of all redirects, each of them judged before it is followed.

        Our authorization goes to the registry's own origin, and nowhere once a request has left it.
        """
        is_home = True
        for _ in range(HOPS + 1):
            is_home = is_home and Origin.of(url) == self.home
            ours = self._login.authorization(source) if is_home else {}
            with self._transport.opened(
                method, url, {**ours, **headers}, content, deadline, alone=alone
            ) as opened:
                if not _is_followed(opened, content):
                    yield opened
                    return
                following = reached(opened.headers["Location"], url, opened.head.complaint)
            url = following
        raise RegistryError(f"{opened.head.complaint}: more than {HOPS} redirects", hint=NO_DETOUR)

    def _is_challenge(self, answer: Answer) -> bool:
        """Whether the registry itself asks who we are; nobody else is told."""
        return answer.status == httpx.codes.UNAUTHORIZED and Origin.of(answer.url) == self.home

    def _once_more(self, answer: Answer) -> BusyError:
        """What cannot be sent twice is begun anew, with the authorization that we have now."""
        return BusyError(answer.complaint, hint=LOG_IN.format(host=self.repository.host), after=0, tries=2)


_LISTED = (200, 400, 404, 405, 501)
"""What the first page may answer; all but 200 say that there is no such list."""


def _joined(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """The same in pieces of ``PIECE`` bytes or a little more, and what there was before it broke."""
    held = bytearray()
    try:
        for piece in pieces:
            held += piece
            if len(held) >= PIECE:
                yield bytes(held)
                held.clear()
    except BusyError:
        if held:
            yield bytes(held)
        raise
    if held:
        yield bytes(held)


def _next_page(answer: Answer) -> str | None:
    """The address that a Link header names for the next page (RFC 8288)."""
    for address, parameters in re.findall(r"<([^>]*)>([^<]*)", answer.headers.get("Link", "")):
        if re.search(r';\s*rel\s*=\s*"?next\b', parameters, re.IGNORECASE):
            return str(address)
    return None


def _is_followed(opened: Opened, content: bytes | Iterator[bytes] | None) -> bool:
    """Whether a redirect asks for what can be sent again as it was."""
    if not opened.head.is_redirect:
        return False
    is_reading = opened.method in {"GET", "HEAD"}
    return is_reading or (opened.status in _REPEATABLE and (content is None or isinstance(content, bytes)))
