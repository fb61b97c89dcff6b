"""What a server with a key answers without it, and where it listens, beside what is known and allowed.

``open_routes.json`` is the list, reviewed like code: what each route does, why it is tolerated, and what
whoever runs the server should do about it. ``watched`` are routes that it may have without listing them.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.suite.expect import Mismatch, expect_that

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FILE = Path(__file__).with_name("open_routes.json")

WITHOUT_ROUTE = "TRACE"
"""A method that no route of vLLM has, so that asking does nothing.

Its middleware looks at the path alone, before any route is chosen: 401 is the answer where the key is wanted,
404 where no route has that path, and 405 where one has it and wants no key.
"""
EPHEMERAL = range(32768, 61000)
"""The ports that Linux gives to who asks for any (ip_local_port_range, by default)."""
UNAUTHORIZED, ABSENT = 401, 404
DISGUISES = ("//v1/models", "/V1/models", "/%76%31/models")
"""Spellings of a path that wants the key, by which a middleware might be passed."""


@dataclass(frozen=True)
class Route:
    """A path that answers without the key: what it does, why that is tolerated, what the operator should do.

    One with an ``argument`` is tolerated only where the server was started with that.
    """

    path: str
    does: str
    because: str
    operator: str
    argument: str | None = None


@dataclass(frozen=True)
class Listener:
    """A TCP socket that accepts connections; ``pid`` is None where its process could not be found."""

    address: str
    port: int
    pid: int | None

    @property
    def is_on_loopback(self) -> bool:
        """Whether only processes beside it can reach it."""
        address = ipaddress.ip_address(self.address)
        return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@cache
def tolerated() -> tuple[Route, ...]:
    """The list."""
    return tuple(Route(**row) for row in json.loads(FILE.read_text())["open"])


@cache
def watched() -> tuple[str, ...]:
    """Paths to ask for though no list of the server's names them."""
    return tuple(json.loads(FILE.read_text())["watched"])


def routes_of(document: str) -> dict[str, list[str]]:
    """The paths of an OpenAPI document, each with its methods. Raises Mismatch if it is none."""
    try:
        paths: Mapping[str, Mapping[str, Any]] = json.loads(document)["paths"]
        return {path: sorted(method.upper() for method in methods) for path, methods in paths.items()}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise Mismatch("an OpenAPI document at /openapi.json", document) from error


def filled(path: str) -> str:
    """A path to ask for: its parameters have some value."""
    return re.sub(r"\{[^}]*\}", "none", path)


def expect_tolerated(answers: Mapping[str, int], arguments: Sequence[str]) -> tuple[str, ...]:
    """The paths that answer without the key. Raises Mismatch if one of them is not on the list.

    ``answers`` are the statuses of ``WITHOUT_ROUTE`` without the key, ``arguments`` the server's.
    """
    given = {word.partition("=")[0] for word in arguments}
    listed = {route.path for route in tolerated() if route.argument is None or route.argument in given}
    found = {path: status for path, status in answers.items() if status not in (UNAUTHORIZED, ABSENT)}
    new = [f"{path} (status {status})" for path, status in found.items() if path not in listed]
    expect_that(f"no path without the key but the {len(listed)} of {FILE.name}", not new, ", ".join(new))
    return tuple(sorted(found))


def expect_ports(listeners: Iterable[Listener], served: int) -> int:
    """How many ports of the kernel's choice can be reached from elsewhere, beside the served one.

    Workers find each other over those, on the container's own address: PyTorch's gloo opens some for each.
    Raises Mismatch if a port of somebody's own choice can be reached.
    """
    reachable = [one for one in listeners if one.port != served and not one.is_on_loopback]
    chosen = [one for one in reachable if one.port not in EPHEMERAL]
    named = ", ".join(f"{one.address}:{one.port} of process {one.pid}" for one in chosen)
    expect_that(f"port {served} alone on other addresses than loopback's", not chosen, named)
    return len(reachable)
