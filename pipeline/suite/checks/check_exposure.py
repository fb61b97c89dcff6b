"""The check ``exposure``: what a server with a key answers without it, and where it listens."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.model import ImageTarget
from pipeline.suite.expect import expect, expect_that
from pipeline.suite.exposure import (
    DISGUISES,
    WITHOUT_ROUTE,
    Listener,
    expect_ports,
    expect_tolerated,
    filled,
    routes_of,
    tolerated,
    watched,
)
from pipeline.suite.targets.container import PORT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.suite.checks import Note
    from pipeline.suite.live_server import LiveServer
    from pipeline.suite.serving import Serving


def check_exposure(trial_run: Serving, bounded_server: LiveServer, note: Note) -> None:
    """Without its key a server answers at listed paths alone, and no other port of its choice is reached.

    The list is ``open_routes.json``, with the reason for each; the fact ``open`` has those that answered.

    A pass does not say that the key guards the model: ``/invocations`` is on the list, and needs none.
    """
    routes = routes_of(bounded_server.get("/openapi.json"))
    named = sorted({*routes, *(route.path for route in tolerated()), *watched()})
    answers = {path: bounded_server.status(WITHOUT_ROUTE, filled(path)) for path in named}
    arguments = (*trial_run.target.arguments(), *trial_run.trial.serve)
    note("open", ", ".join(expect_tolerated(answers, arguments)))
    guarded = {path: methods for path, methods in routes.items() if answers[path] == HTTPStatus.UNAUTHORIZED}
    _expect_guarded(bounded_server, guarded)
    note("guarded", f"{len(guarded)}")
    between = expect_ports(_listeners(trial_run, bounded_server), _port(trial_run, bounded_server))
    note("ports-between-workers", f"{between}")


def _expect_guarded(server: LiveServer, routes: Mapping[str, Sequence[str]]) -> None:
    """Their own methods want the key, too: the right one, under each spelling of their paths."""
    expect_that("a path that wants the key", bool(routes), "none")
    for path, methods in routes.items():
        for method in methods:
            statuses = server.status(method, filled(path)), server.status(method, filled(path), key="wrong")
            expect(f"{method} {path} without the key and with a wrong one:", (401, 401), statuses)
    for path in DISGUISES:
        status = server.status("GET", path)
        expect_that(f"no answer without the key at {path}", not 200 <= status < 300, status)
    expect("GET /v1/models with the key:", 200, server.status("GET", "/v1/models", key=server.key))


def _listeners(trial_run: Serving, server: LiveServer) -> list[Listener]:
    """The sockets of the server: all in its container, those of its processes on this machine."""
    found = [Listener(**row) for row in server.probe("listeners")]
    if isinstance(trial_run.trial.target, ImageTarget):
        return found
    own = server.pids()
    return [one for one in found if one.pid in own]


def _port(trial_run: Serving, server: LiveServer) -> int:
    """The port that it was told to serve on, as its own side counts."""
    if isinstance(trial_run.trial.target, ImageTarget):
        return PORT
    return urlsplit(server.server.base_url).port or 0
