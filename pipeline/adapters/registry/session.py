"""Requests for one repository: redirects judged, our authorization where it belongs, and retries."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from pipeline.adapters.registry.auth import Authorizer
from pipeline.adapters.registry.origins import Origin, endpoint, parse, resolve
from pipeline.adapters.registry.responses import ELSEWHERE, LOG_IN, NO_DETOUR, error_for
from pipeline.adapters.registry.transport import CHUNK, Transport
from pipeline.adapters.web.deadline import LIST_SECONDS, Bounds
from pipeline.adapters.web.retries import RetryPolicy, TransientError
from pipeline.formats.oci import object_in
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from pipeline.adapters.registry.responses import Response
    from pipeline.adapters.registry.transport import OpenResponse
    from pipeline.adapters.web.deadline import Deadline
    from pipeline.model import Digest, Repository

T = TypeVar("T")

MAX_PAGES = 1000
"""Of one list."""

MAX_LIST_BYTES = 64 << 20
"""Of all pages of one list together."""

MAX_REDIRECTS = 5
"""Of one request."""

PATIENCE = 60.0
PATIENCE_LOOPBACK = 10.0
"""Seconds that a registry may be busy or away before we give up; on loopback it is there or it is not."""

_SAME_REQUEST = (307, 308)
"""Redirects that ask for the very same request (RFC 9110); the others turn a POST or PUT into a GET."""

_LISTED = (200, 400, 404, 405, 501)
"""What the first page may answer; all but 200 say that there is no such list."""


class Session:
    """What is asked of one repository. Every method raises RegistryError where we could not find out."""

    def __init__(self, repository: Repository, patience: float | None, bounds: Bounds | None = None) -> None:
        self.repository = repository
        self._bounds = bounds or Bounds()
        default = PATIENCE_LOOPBACK if repository.is_loopback else PATIENCE
        self.retries = RetryPolicy(seconds=default if patience is None else patience)
        scheme = "http" if repository.is_loopback else "https"
        address = f"{scheme}://{endpoint(repository.host, repository.path)}"
        root, self.home = parse(address, f"{repository}")
        self.root = str(root)
        self._transport = Transport(repository.host)
        self._authorizer = Authorizer(repository, self.home, self._transport, self._bounds)

    def ask(
        self,
        method: str,
        path: str,
        *,
        ok: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        source: Repository | None = None,
    ) -> Response:
        """A response with one of the expected statuses, after as many retries as it takes."""
        return self.retry(lambda: self.once(method, f"{self.root}{path}", ok, headers=headers, source=source))

    def retry(self, operation: Callable[[], T]) -> T:
        """The result of an operation that raises TransientError while the registry is busy or away."""
        try:
            return replace(self.retries, seconds=min(self.retries.seconds, self._bounds.left)).run(operation)
        except TransientError as error:
            raise _final(error) from error

    def once(
        self,
        method: str,
        url: str | httpx.URL,
        ok: tuple[int, ...],
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        source: Repository | None = None,
    ) -> Response:
        """A response with one of the expected statuses, to one request; to two where it had to authorize."""
        deadline = self._bounds.deadline()
        target = url if isinstance(url, httpx.URL) else parse(url, f"{self.repository}")[0]

        def send() -> Response:
            with self._followed(
                method, target, headers or {}, content, deadline=deadline, source=source
            ) as opened:
                return opened.read()

        response = send()
        if self._is_challenge(response):
            self._authorizer.renew(response, source)
            if content is not None and not isinstance(content, bytes):
                raise self._begin_anew(response)
            response = send()
        if response.status in ok:
            return response
        raise error_for(response, self.repository.host)

    def pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The JSON of each page of a list; nothing where the registry knows no such list.

        Raises RegistryError where the list leads elsewhere or in a circle, and where it is longer than what
        is read: a list that is cut says something else.
        """
        url, read, size = httpx.URL(f"{self.root}{path}"), set[httpx.URL](), 0
        ends = time.monotonic() + LIST_SECONDS
        while True:
            response = self.retry(lambda at=url: self.once("GET", at, (200,) if read else _LISTED))  # type: ignore[misc] # lambda's default
            if response.status != httpx.codes.OK:
                return
            page = object_in(response.body)
            if page is None:
                raise RegistryError(f"{response.summary} with no JSON object", hint=ELSEWHERE)
            yield page
            following = _next_page(response)
            if following is None:
                return
            read.add(url)
            size += len(response.body)
            url = resolve(following, response.url, f"{response.request}: the next page")
            if url in read or Origin.of(url) != self.home:
                raise RegistryError(
                    f"{response.request}: the next page is elsewhere, or one that was read", hint=NO_DETOUR
                )
            if len(read) >= MAX_PAGES or size > MAX_LIST_BYTES or time.monotonic() > ends:
                raise RegistryError(
                    f"{response.request}: a list without end: more than {len(read)} pages of {size} bytes",
                    hint="remove what nobody needs there, or name another repository with --repository",
                )

    def is_well(self) -> bool:
        """Whether the registry as such answers now."""
        try:
            self.once("GET", f"{self.root.partition('/v2/')[0]}/v2/", (200, 401, 403, 404))
        except TransientError:
            return False
        return True

    def download(self, digest: Digest, size: int) -> Generator[bytes]:
        """The bytes of a large blob, in chunks; where the connection breaks, they go on from there.

        They are not hashed here. More than one chunk beyond ``size`` never comes.
        """
        deadline = self._bounds.deadline()
        start, attempt, began = 0, 0, time.monotonic()
        while start <= size:
            try:
                with self._open_blob(digest, deadline, start) as opened:
                    for chunk in _joined(opened.chunks):
                        start, attempt, began = start + len(chunk), 0, time.monotonic()
                        with deadline.paused():
                            yield chunk
                        if start > size:
                            return
            except TransientError as error:
                attempt += 1
                pause = self.retries.pause(attempt, time.monotonic() - began, error)
                if pause is None:
                    raise _final(error) from error
                time.sleep(pause)
            else:
                return

    @contextmanager
    def _open_blob(self, digest: Digest, deadline: Deadline, start: int) -> Iterator[OpenResponse]:
        """A large blob from this byte on, while the block lasts."""
        headers = {"Range": f"bytes={start}-"} if start else {}
        expected = httpx.codes.PARTIAL_CONTENT if start else httpx.codes.OK
        url = httpx.URL(f"{self.root}/blobs/{digest}")
        with self._followed("GET", url, headers, None, deadline=deadline, alone=True) as opened:
            if self._is_challenge(opened.head):
                self._authorizer.renew(opened.head)
                raise self._begin_anew(opened.head)
            if opened.status != expected:
                raise error_for(opened.head, self.repository.host)
            yield opened

    @contextmanager
    def _followed(
        self,
        method: str,
        url: httpx.URL,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
        *,
        deadline: Deadline,
        source: Repository | None = None,
        alone: bool = False,
    ) -> Iterator[OpenResponse]:
        """The response at the end of all redirects, each of them judged before it is followed.

        Our authorization goes to the registry's own origin, and nowhere once a request has left it.
        """
        is_home = True
        for _ in range(MAX_REDIRECTS + 1):
            is_home = is_home and Origin.of(url) == self.home
            authorization = self._authorizer.header(source) if is_home else {}
            with self._transport.open(
                method, url, {**authorization, **headers}, content, deadline, alone=alone
            ) as opened:
                if not _is_followed(opened, content):
                    yield opened
                    return
                following = resolve(opened.headers["Location"], url, opened.head.summary)
            url = following
        raise RegistryError(f"{opened.head.summary}: more than {MAX_REDIRECTS} redirects", hint=NO_DETOUR)

    def _is_challenge(self, response: Response) -> bool:
        """Whether the registry itself asks who we are; no other host is told."""
        return response.status == httpx.codes.UNAUTHORIZED and Origin.of(response.url) == self.home

    def _begin_anew(self, challenge: Response) -> TransientError:
        """The error for a request that cannot be sent twice: its operation begins anew, now authorized."""
        hint = LOG_IN.format(host=self.repository.host)
        return TransientError(challenge.summary, hint=hint, retry_after=0, max_attempts=2)


def _final(error: TransientError) -> RegistryError:
    """The error for a failure that did not pass."""
    return RegistryError(error.what, hint=error.hint or ELSEWHERE)


def _joined(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same in chunks of ``CHUNK`` bytes or a little more, and what there was before it broke."""
    held = bytearray()
    try:
        for chunk in chunks:
            held += chunk
            if len(held) >= CHUNK:
                yield bytes(held)
                held.clear()
    except TransientError:
        if held:
            yield bytes(held)
        raise
    if held:
        yield bytes(held)


def _next_page(response: Response) -> str | None:
    """The address that a Link header names for the next page (RFC 8288)."""
    for address, parameters in re.findall(r"<([^>]*)>([^<]*)", response.headers.get("Link", "")):
        if re.search(r';\s*rel\s*=\s*"?next\b', parameters, re.IGNORECASE):
            return str(address)
    return None


def _is_followed(opened: OpenResponse, content: bytes | Iterator[bytes] | None) -> bool:
    """Whether a redirect asks for what can be sent again as it was."""
    if not opened.head.is_redirect:
        return False
    is_reading = opened.method in {"GET", "HEAD"}
    return is_reading or (opened.status in _SAME_REQUEST and (content is None or isinstance(content, bytes)))
