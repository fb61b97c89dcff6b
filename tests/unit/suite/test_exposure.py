"""What answers without the key is on the list, where each entry has its reasons; open ports are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.suite.expect import Mismatch
from pipeline.suite.exposure import (
    Listener,
    expect_ports,
    expect_tolerated,
    filled,
    routes_of,
    tolerated,
    watched,
)

OPERATIONS = (Path(__file__).parents[3] / "docs" / "operations.md").read_text("utf-8")
CLOSED = {"/v1/models": 401, "/sleep": 404}


def test_every_route_on_the_list_has_its_reasons_and_stands_there_once() -> None:
    """An entry without a reason is one that nobody has looked at."""
    paths = [route.path for route in tolerated()]
    assert len({*paths, *watched()}) == len(paths) + len(watched())
    for route in tolerated():
        assert route.path.startswith("/")
        assert all((route.does, route.because, route.operator)), route


def test_the_page_for_operators_has_every_route_that_answers_by_default() -> None:
    """Whoever writes the allowlist of a gateway reads it there."""
    missing = [route.path for route in tolerated() if not route.argument and route.path not in OPERATIONS]
    assert missing == []


@pytest.mark.parametrize("status", [200, 405, 422, 500])
def test_whatever_answers_but_401_and_404_is_open(status: int) -> None:
    """Also a route that fails has been reached."""
    assert expect_tolerated(CLOSED | {"/health": status}, ()) == ("/health",)
    with pytest.raises(Mismatch, match=rf"/new \(status {status}\)"):
        expect_tolerated(CLOSED | {"/new": status}, ())


@pytest.mark.parametrize(
    "given",
    [
        ("--enable-tokenizer-info-endpoint",),
        ("--dtype", "auto", "--enable-tokenizer-info-endpoint=true"),
    ],
)
def test_a_route_that_was_asked_for_is_tolerated_only_then(given: tuple[str, ...]) -> None:
    answers = CLOSED | {"/tokenizer_info": 405}
    assert expect_tolerated(answers, given) == ("/tokenizer_info",)
    with pytest.raises(Mismatch, match="/tokenizer_info"):
        expect_tolerated(answers, ("--dtype", "auto"))


def test_routes_are_read_with_their_methods_and_asked_for_with_some_value() -> None:
    document = json.dumps({"paths": {"/v1/responses/{response_id}": {"post": {}, "get": {}}}})
    assert routes_of(document) == {"/v1/responses/{response_id}": ["GET", "POST"]}
    assert filled("/v1/responses/{response_id}") == "/v1/responses/none"


@pytest.mark.parametrize("document", ["", "no JSON", "[]", "{}", '{"paths": 1}', '{"paths": {"/": 1}}'])
def test_a_document_that_lists_no_routes_is_a_mismatch(document: str) -> None:
    """A server that hides its routes would otherwise pass."""
    with pytest.raises(Mismatch, match="OpenAPI"):
        routes_of(document)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.11", "::1", "::ffff:127.0.0.1"])
def test_any_port_may_be_open_on_loopback(address: str) -> None:
    assert expect_ports([Listener(address, 29500, 7), Listener("0.0.0.0", 8000, 1)], 8000) == 0  # noqa: S104


def test_ports_of_the_kernels_choice_are_counted() -> None:
    """Workers open them for each other, on the address that the container has on its network."""
    assert expect_ports([Listener("172.17.0.2", 33181, 7), Listener("127.0.0.1", 40000, 7)], 8000) == 1


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "172.17.0.2", "::ffff:172.17.0.2"])  # noqa: S104
def test_a_port_that_others_can_reach_is_named_with_its_process(address: str) -> None:
    with pytest.raises(Mismatch, match=r":29500 of process 7"):
        expect_ports([Listener(address, 29500, 7)], 8000)
