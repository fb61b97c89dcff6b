"""Authorization: a registry's challenges, the tokens of its token service, and Docker's stored login.

The challenge is that of the first 401, so that a login costs two requests more: that one, and the token. A
login goes to the registry's own origin and to the token service that the registry names, to no other host.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Self

import httpx

from pipeline.adapters.registry.origins import MAX_URL_CHARACTERS, Origin, parse
from pipeline.adapters.registry.responses import ELSEWHERE, LOG_IN, NO_DETOUR, Response, error_for
from pipeline.model import PROJECT, shown
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.registry.transport import Transport
    from pipeline.adapters.web.deadline import Bounds
    from pipeline.model import Repository

_PARAMETER = re.compile(r'(\w+)=(?:"([^"]*)"|([^\s",]+))')
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


@dataclass(frozen=True)
class Challenge:
    """What a registry asks for in WWW-Authenticate. The scheme is in lower case; what is absent is empty."""

    scheme: str
    realm: str
    service: str
    scope: str

    @classmethod
    def read(cls, response: Response) -> Self:
        """From a response with status 401. Raises RegistryError where it is too long."""
        scheme, _, rest = response.headers.get("WWW-Authenticate", "").strip().partition(" ")
        if len(rest) > MAX_URL_CHARACTERS:
            raise RegistryError(f"{response.summary} with a challenge that is too long", hint=ELSEWHERE)
        values = {name.lower(): quoted or word for name, quoted, word in _PARAMETER.findall(rest)}
        return cls(scheme.lower(), *(values.get(name, "") for name in ("realm", "service", "scope")))


class Authorizer:
    """Our authorization for one repository, and for another of the same registry that is read from."""

    def __init__(self, repository: Repository, home: Origin, transport: Transport, bounds: Bounds) -> None:
        self.repository = repository
        self.home = home
        self._transport = transport
        self._bounds = bounds
        self._authorizations = _authorizations(home)

    def header(self, source: Repository | None = None) -> dict[str, str]:
        """Our authorization, as a header for the registry's own origin; none where it has not asked."""
        authorization = self._authorizations.get(self._key(source))
        return {"Authorization": authorization} if authorization else {}

    def renew(self, response: Response, source: Repository | None = None) -> None:
        """Get the authorization that a response with status 401 of the registry's own asks for.

        Raises RegistryError where there is none, TransientError where the token service is busy or away.
        """
        challenge, credentials = Challenge.read(response), self._credentials()
        if challenge.scheme == "basic" and credentials.basic:
            authorization = credentials.basic["Authorization"]
        elif challenge.scheme == "bearer":
            authorization = f"Bearer {self._token(challenge, source, credentials)}"
        else:
            raise RegistryError(response.summary, hint=LOG_IN.format(host=self.repository.host))
        self._authorizations[self._key(source)] = authorization

    def _key(self, source: Repository | None) -> str:
        return f"{self.repository.path} {source.path if source else ''}"

    def _token(self, challenge: Challenge, source: Repository | None, credentials: Credentials) -> str:
        """A token of the token service. What is sent there is for it alone, so no redirect is followed."""
        scopes = [challenge.scope or f"repository:{self.repository.path}:pull"]
        if source:
            scopes.append(f"repository:{source.path}:pull")
        response = self._request_token(self._realm(challenge), challenge.service, scopes, credentials)
        if response.is_redirect:
            raise RegistryError(
                f"{response.summary}: a token service must not pass a login on", hint=NO_DETOUR
            )
        if response.status != httpx.codes.OK:
            raise error_for(response, self.repository.host)
        try:
            document = json.loads(response.body)
            token = document.get("token") or document["access_token"]
            if _TOKEN.fullmatch(token):
                return str(token)
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
            pass
        raise RegistryError(f"{response.summary} without a token", hint=ELSEWHERE)

    def _realm(self, challenge: Challenge) -> httpx.URL:
        """The token service: elsewhere by https only, by http where it and the registry are this machine."""
        realm, origin = parse(challenge.realm, f"the token service of {self.home}")
        if origin.scheme != "https" and not (origin.is_loopback and self.home.is_loopback):
            raise RegistryError(
                f"{self.home} sends our login to {shown(realm)}, which is not https",
                hint="name another registry with --repository",
            )
        return realm

    def _request_token(
        self, realm: httpx.URL, service: str, scopes: list[str], credentials: Credentials
    ) -> Response:
        if credentials.identity:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": PROJECT,
                "scope": " ".join(scopes),
                "refresh_token": credentials.identity,
            }
            body = str(httpx.QueryParams(form)).encode()
            return self._send("POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, body)
        for scope in scopes:
            realm = realm.copy_add_param("scope", scope)
        return self._send("GET", realm.copy_set_param("service", service), credentials.basic, None)

    def _send(self, method: str, url: httpx.URL, headers: Mapping[str, str], body: bytes | None) -> Response:
        with self._transport.open(method, url, headers, body, self._bounds.deadline()) as opened:
            return opened.read()

    def _credentials(self) -> Credentials:
        """What `docker login` stored for this host. Raises RegistryError where it cannot be read."""
        import docker.auth  # noqa: PLC0415 - a seventh of a second that only a private registry costs
        import docker.errors  # noqa: PLC0415

        try:
            stored = docker.auth.load_config().resolve_authconfig(self.repository.host) or {}
            lower = {str(name).lower(): str(value or "") for name, value in stored.items()}
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
def _authorizations(_registry: Origin) -> dict[str, str]:
    """What a registry has authorized us with in this process, by repository and source."""
    return {}
