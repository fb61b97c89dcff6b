"""Who we are: the challenges of a registry, the tokens of its token service, and Docker's own login.

A login goes to the registry's own origin and to the token service that the registry names, to nobody else.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import httpx

from pipeline.adapters.registry.answers import ELSEWHERE, LOG_IN, NO_DETOUR, Answer, trouble
from pipeline.adapters.registry.origins import LONGEST, Origin, parsed
from pipeline.adapters.web.deadline import Deadline
from pipeline.model import PROJECT, shown
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.registry.transport import Transport
    from pipeline.model import Repository

_CHALLENGE = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s",]+))')
_TOKEN = re.compile(r"[\x21-\x7e]+")
"""What may stand in a header (RFC 6750 allows less)."""


@dataclass(frozen=True)
class Credentials:
    """What `docker login` stored for a host: user and password, or an identity token; or nothing."""

    name: str = ""
    password: str = field(default="", repr=False)
    identity: str = field(default="", repr=False)

    @property
    def basic(self) -> dict[str, str]:
        """As a header; none without a user."""
        pair = b64encode(f"{self.name}:{self.password}".encode("utf-8", "surrogateescape")).decode()
        return {"Authorization": f"Basic {pair}"} if self.name else {}


class Login:
    """Our authorization for one repository, and for another of the same registry that is read from."""

    def __init__(self, repository: Repository, home: Origin, transport: Transport) -> None:
        self.repository = repository
        self.home = home
        self._transport = transport
        self._granted = _granted(home)

    def authorization(self, source: Repository | None = None) -> dict[str, str]:
        """Our authorization, as a header for the registry's own origin; none where it has not asked."""
        granted = self._granted.get(self._scope(source))
        return {"Authorization": granted} if granted else {}

    def renew(self, answer: Answer, source: Repository | None = None) -> None:
        """Have an authorization that answers this challenge of the registry's own.

        Raises RegistryError where there is none, BusyError where the token service is busy or away.
        """
        self._granted[self._scope(source)] = self._authorize(answer, source)

    def _scope(self, source: Repository | None) -> str:
        return f"{self.repository.path} {source.path if source else ''}"

    def _authorize(self, answer: Answer, source: Repository | None) -> str:
        """What to say in Authorization, by what the registry asks for and what Docker's own login knows."""
        kind, _, rest = answer.headers.get("WWW-Authenticate", "").strip().partition(" ")
        if len(rest) > LONGEST:
            raise RegistryError(f"{answer.complaint} with a challenge that is too long", hint=ELSEWHERE)
        known = self._credentials()
        if kind.lower() == "basic" and known.basic:
            return known.basic["Authorization"]
        if kind.lower() != "bearer":
            raise RegistryError(answer.complaint, hint=LOG_IN.format(host=self.repository.host))
        asked = {name.lower(): quoted or word for name, quoted, word in _CHALLENGE.findall(rest)}
        scopes = [asked.get("scope") or f"repository:{self.repository.path}:pull"]
        if source:
            scopes.append(f"repository:{source.path}:pull")
        return f"Bearer {self._token(self._realm(asked), asked.get('service', ''), scopes, known)}"

    def _realm(self, asked: Mapping[str, str]) -> httpx.URL:
        """The token service: elsewhere by https only, by http where it and the registry are this machine."""
        realm, origin = parsed(asked.get("realm", ""), f"the token service of {self.home}")
        if origin.scheme != "https" and not (origin.is_loopback and self.home.is_loopback):
            raise RegistryError(
                f"{self.home} sends our login to {shown(realm)}, which is not https",
                hint="name another registry with --repository",
            )
        return realm

    def _token(self, realm: httpx.URL, service: str, scopes: list[str], known: Credentials) -> str:
        """A token of the token service. What is sent there is for it alone, so no redirect is followed."""
        answer = self._asked_for_token(realm, service, scopes, known)
        if answer.is_redirect:
            raise RegistryError(
                f"{answer.complaint}: a token service must not pass a login on", hint=NO_DETOUR
            )
        if answer.status != httpx.codes.OK:
            raise trouble(answer, self.repository.host)
        try:
            said = json.loads(answer.body)
            token = said.get("token") or said["access_token"]
            if _TOKEN.fullmatch(token):
                return str(token)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            pass
        raise RegistryError(f"{answer.complaint} without a token", hint=ELSEWHERE)

    def _asked_for_token(
        self, realm: httpx.URL, service: str, scopes: list[str], known: Credentials
    ) -> Answer:
        if known.identity:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": PROJECT,
                "scope": " ".join(scopes),
                "refresh_token": known.identity,
            }
            body = str(httpx.QueryParams(form)).encode()
            return self._send("POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, body)
        for scope in scopes:
            realm = realm.copy_add_param("scope", scope)
        return self._send("GET", realm.copy_set_param("service", service), known.basic, None)

    def _send(self, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes | None) -> Answer:
        with self._transport.opened(method, url, headers, body, Deadline()) as opened:
            return opened.read()

    def _credentials(self) -> Credentials:
        """What `docker login` stored for this host. Raises RegistryError where it cannot be read."""
        import docker.auth  # noqa: PLC0415 - a seventh of a second that only a private registry costs
        import docker.errors  # noqa: PLC0415

        try:
            known = docker.auth.load_config().resolve_authconfig(self.repository.host) or {}
            lower = {str(name).lower(): str(value or "") for name, value in known.items()}
        except (
            docker.errors.DockerException,
            AttributeError,
            KeyError,
            OSError,
            RecursionError,
            TypeError,
            ValueError,
        ) as error:
            raise RegistryError(
                f"{self.repository.host}: Docker's stored login cannot be read: {shown(error)}",
                hint=LOG_IN.format(host=self.repository.host),
            ) from error
        return Credentials(
            lower.get("username", ""), lower.get("password", ""), lower.get("identitytoken", "")
        )


@cache
def _granted(_registry: Origin) -> dict[str, str]:
    """The authorizations that a registry gave us, by scope."""
    return {}
