"""What a registry answers to one request, and what that means."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass

import httpx

from pipeline.formats.oci import ContentError
from pipeline.model import Digest, shown
from pipeline.model.errors import RegistryError

ELSEWHERE = "start the registry, or name another with --repository"
READ_ONLY = (
    "the registry is read-only or forbids this; allow writing there, or name another with --repository"
)
LOG_IN = "log in with `docker login {host}`, or name another registry with --repository"
NO_DETOUR = "ask who runs the registry: this request must be answered where it is sent to"
NO_ROOM = "free some room on the registry's disk, then run the same command again"

_REDIRECTS = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    method: str
    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def place(self) -> str:
        """What was asked of whom."""
        port = f":{self.url.port}" if self.url.port else ""
        return f"{self.method} {shown(f'{self.url.host}{port}{self.url.path}')}"

    @property
    def code(self) -> str:
        """The registry's own word for what is wrong, such as ``MANIFEST_UNKNOWN``, or nothing."""
        return self._error("code")

    @property
    def complaint(self) -> str:
        """Status, and the registry's words for it where it gave any."""
        said = ", ".join(filter(None, (self.code, self._error("message"))))
        return f"{self.place} answered {self.status}" + (f" ({said})" if said else "")

    @property
    def is_error(self) -> bool:
        """Whether the body is at most words about what went wrong."""
        return self.status >= httpx.codes.BAD_REQUEST

    @property
    def is_encoded(self) -> bool:
        """Whether the body is packed, which is never asked for: unpacked it might be of any size."""
        return self.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", "")

    @property
    def is_redirect(self) -> bool:
        """Whether what was asked for is elsewhere."""
        return self.status in _REDIRECTS and "Location" in self.headers

    @property
    def is_full(self) -> bool:
        """Whether the registry's disk is full."""
        return self.status == httpx.codes.INSUFFICIENT_STORAGE or b"no space left" in self.body

    def _error(self, name: str) -> str:
        with suppress(ValueError, KeyError, IndexError, TypeError, RecursionError):
            return shown(json.loads(self.body)["errors"][0][name])
        return ""


class BusyError(Exception):
    """The registry may answer better in ``after`` seconds; ``tries`` bounds how often we ask."""

    def __init__(
        self, what: str, *, hint: str = ELSEWHERE, after: float | None = None, tries: int = 1000
    ) -> None:
        super().__init__(what)
        self.what, self.hint, self.after, self.tries = what, hint, after, tries


def trouble(answer: Answer, host: str) -> Exception:
    """What an unexpected status means."""
    status, what = answer.status, answer.complaint
    if answer.is_full:
        return RegistryError(f"{what}: its disk is full", hint=NO_ROOM)
    if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
        return BusyError(what, after=_seconds(answer.headers.get("Retry-After")))
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return RegistryError(what, hint=LOG_IN.format(host=host))
    if status == httpx.codes.METHOD_NOT_ALLOWED:
        return RegistryError(what, hint=READ_ONLY)
    if answer.is_redirect:
        return RegistryError(f"{what}, which would take us elsewhere", hint=NO_DETOUR)
    return RegistryError(what, hint=ELSEWHERE)


def _seconds(header: str | None) -> float | None:
    """What Retry-After says, where it says seconds."""
    return float(header) if header and re.fullmatch(r"\s*[0-9]+\s*", header, re.ASCII) else None


def digest_in(text: str, answer: Answer) -> Digest:
    """The digest that a header names. Raises RegistryError where it names none."""
    try:
        return Digest(text)
    except ValueError as error:
        raise RegistryError(
            f"{answer.complaint} with the digest '{shown(text, 80)}'", hint=ELSEWHERE
        ) from error


def compare(wanted: Digest, seen: Digest, answer: Answer) -> None:
    """Raises ContentError where what was seen is not what was asked for."""
    if wanted != seen:
        raise ContentError(
            f"{answer.complaint} with other bytes: expected {wanted}, got {seen}",
            hint="the registry or something before it changed them; do not use it until that is explained",
        )
