"""Who we are: the challenges of a registry, the tokens of its token service, and Docker's own login."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from functools import cache
from typing import TYPE_CHECKING

import httpx

from pipeline.errors import RegistryError
from pipeline.nouns import PROJECT
from pipeline.registry.answers import ELSEWHERE, LOG_IN, Answer, trouble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.nouns import Repository
    from pipeline.registry.transport import Transport


@cache
def _granted(_host: str) -> dict[str, str]:
    """The authorizations that a registry gave us, by scope."""
    return {}


class Login:
    """Our authorization for one repository, and for another of the same registry that is read from."""

    def __init__(self, repository: Repository, transport: Transport, root: str) -> None:
        self.repository = repository
        self._transport = transport
        self._root = root
        self._granted = _granted(repository.host)

    def authorization(self, url: str | httpx.URL, source: Repository | None = None) -> dict[str, str]:
        """Our authorization, for this registry's own host alone: an upload may lead elsewhere."""
        granted = self._granted.get(self._scope(source))
        ours = httpx.URL(url).netloc == httpx.URL(self._root).netloc
        return {"Authorization": granted} if granted and ours else {}

    def renew(self, answer: Answer, source: Repository | None = None) -> None:
        """Have an authorization that answers this challenge. Raises RegistryError where there is none."""
        self._granted[self._scope(source)] = self._authorize(answer, source)

    def _scope(self, source: Repository | None) -> str:
        return f"{self.repository.path} {source.path if source else ''}"

    def _authorize(self, answer: Answer, source: Repository | None) -> str:
        """What to say in Authorization, by what the registry asks for and what Docker's own login knows."""
        challenge = answer.headers.get("WWW-Authenticate", "")
        kind, _, rest = challenge.partition(" ")
        name, secret, identity = self._credentials()
        basic = {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"} if name else {}
        if kind.lower() == "basic" and basic:
            return basic["Authorization"]
        if kind.lower() != "bearer":
            raise RegistryError(answer.complaint, hint=LOG_IN.format(host=self.repository.host))
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = httpx.URL(asked.get("realm", ""))
        if realm.scheme != "https" and not self.repository.is_loopback:
            raise RegistryError(
                f"{self.repository.host} sends our login to {realm}, which is not https",
                hint="name another registry with --repository",
            )
        scopes = [asked.get("scope", f"repository:{self.repository.path}:pull")]
        if source:
            scopes.append(f"repository:{source.path}:pull")
        return f"Bearer {self._token(realm, asked.get('service', ''), scopes, basic, identity)}"

    def _token(
        self, realm: httpx.URL, service: str, scopes: list[str], basic: Mapping[str, str], identity: str
    ) -> str:
        """A token of the registry's own token service, which may be another host."""
        if identity:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": PROJECT,
                "scope": " ".join(scopes),
                "refresh_token": identity,
            }
            body = str(httpx.QueryParams(form)).encode()
            answer = self._transport.send(
                "POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, body
            )
        else:
            for scope in scopes:
                realm = realm.copy_add_param("scope", scope)
            answer = self._transport.send("GET", realm.copy_set_param("service", service), basic, None)
        try:
            if answer.status != httpx.codes.OK:
                raise trouble(answer, self.repository.host)
            said = json.loads(answer.body)
            return str(said.get("token") or said["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise RegistryError(f"{answer.complaint} without a token", hint=ELSEWHERE) from error

    def _credentials(self) -> tuple[str, str, str]:
        """User, password and identity token that `docker login` stored for this host, or nothing."""
        import docker.auth  # noqa: PLC0415 - a seventh of a second that only a private registry costs
        import docker.errors  # noqa: PLC0415

        try:
            known = docker.auth.load_config().resolve_authconfig(self.repository.host) or {}
        except docker.errors.DockerException as error:
            raise RegistryError(
                f"{self.repository.host}: Docker's credential helper failed: {error}",
                hint=LOG_IN.format(host=self.repository.host),
            ) from error
        lower = {str(name).lower(): str(value or "") for name, value in known.items()}
        return lower.get("username", ""), lower.get("password", ""), lower.get("identitytoken", "")
