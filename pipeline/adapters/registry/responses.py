"""What a registry answers to one request, and what that means."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass

import httpx

from pipeline.adapters.web.retries import TRANSIENT, TransientError, retry_after
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
class Response:
    """What came back for one request."""

    method: str
    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def request(self) -> str:
        """What was asked of which host."""
        port = f":{self.url.port}" if self.url.port else ""
        return f"{self.method} {shown(f'{self.url.host}{port}{self.url.path}')}"

    @property
    def error_code(self) -> str:
        """The registry's code for what is wrong, such as ``MANIFEST_UNKNOWN``, or nothing."""
        return self._error("code")

    @property
    def summary(self) -> str:
        """Request, status, and the registry's own error where it gave any."""
        error = ", ".join(filter(None, (self.error_code, self._error("message"))))
        return f"{self.request} answered {self.status}" + (f" ({error})" if error else "")

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

    def _error(self, member: str) -> str:
        with suppress(ValueError, KeyError, IndexError, TypeError, RecursionError):
            return shown(json.loads(self.body)["errors"][0][member])
        return ""


def error_for(response: Response, host: str) -> Exception:
    """The error for an unexpected status: a TransientError where another try may help."""
    status, what = response.status, response.summary
    if response.is_full:
        return RegistryError(f"{what}: its disk is full", hint=NO_ROOM)
    if status in TRANSIENT:
        return TransientError(what, retry_after=retry_after(response.headers))
    if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return RegistryError(what, hint=LOG_IN.format(host=host))
    if status == httpx.codes.METHOD_NOT_ALLOWED:
        return RegistryError(what, hint=READ_ONLY)
    if response.is_redirect:
        return RegistryError(f"{what}, which would take us elsewhere", hint=NO_DETOUR)
    return RegistryError(what, hint=ELSEWHERE)


def digest_in(text: str, response: Response) -> Digest:
    """The digest that a header names. Raises RegistryError where it names none."""
    try:
        return Digest(text)
    except ValueError as error:
        raise RegistryError(
            f"{response.summary} with the digest '{shown(text, 80)}'", hint=ELSEWHERE
        ) from error


def check_digest(expected: Digest, actual: Digest, response: Response) -> None:
    """Raises ContentError where the bytes are not those that were asked for."""
    if expected != actual:
        raise ContentError(
            f"{response.summary} with other bytes: expected {expected}, got {actual}",
            hint="the registry or something before it changed them; do not use it until that is explained",
        )
