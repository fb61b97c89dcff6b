"""A login goes to its own registry, and to the token service that the registry may name; to nobody else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.registry import OCI_MANIFEST, Descriptor, Manifest
from pipeline.model.errors import RegistryError
from tests.raw_server import Asked, RawServer, answer
from tests.system.adapters.registry.logins import BODY, DIGEST, challenge, registry

if TYPE_CHECKING:
    from pathlib import Path


def lets_in(server: RawServer, then: bytes) -> None:
    """Have a registry ask for a login, with a token service of its own, and answer so with a token."""

    def reply(asked: Asked) -> bytes:
        if asked.target.startswith("/token"):
            return answer(200, {}, b'{"token": "ours"}')
        if asked.headers.get("authorization") != "Bearer ours":
            return challenge(f"http://{server.host}/token")
        return then

    server.reply = reply


@pytest.mark.usefixtures("login")
def test_a_login_costs_the_challenge_of_the_first_request_and_a_token(home: RawServer) -> None:
    """No request is made only to be challenged; and the next request has the authorization already."""
    lets_in(home, answer(200, {}, BODY))
    assert registry(home).blob(DIGEST) == BODY
    assert registry(home).blob(DIGEST) == BODY
    blob = f"/v2/x/blobs/{DIGEST}"
    assert [asked.target.partition("?")[0] for asked in home.asked] == [blob, "/token", blob, blob]


# -- a registry that sends us elsewhere ---------------------------------------------------------------


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize("logged_in", [False, True])
@pytest.mark.parametrize("kind", ["Bearer", "Basic"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_host_that_a_read_is_redirected_to_is_told_nothing(
    home: RawServer, elsewhere: RawServer, status: int, kind: str, *, logged_in: bool
) -> None:
    """Its challenge is not answered, with nothing that its realm could be sent."""
    moved = answer(status, {"Location": f"http://{elsewhere.host}/blob"})
    if logged_in:
        lets_in(home, moved)
    else:
        home.reply = lambda _asked: moved
    elsewhere.reply = lambda _asked: challenge(f"http://{elsewhere.host}/token", kind)
    with pytest.raises(RegistryError, match="answered 401"):
        registry(home).blob(DIGEST)
    assert [one.target for one in elsewhere.asked] == ["/blob"]
    assert elsewhere.logins == []


@pytest.mark.usefixtures("login")
def test_a_host_that_a_stream_is_redirected_to_is_told_nothing(home: RawServer, elsewhere: RawServer) -> None:
    """The same for a layer."""
    lets_in(home, answer(307, {"Location": f"http://{elsewhere.host}/blob"}))
    elsewhere.reply = lambda _asked: challenge(f"http://{elsewhere.host}/token")
    layer = Descriptor("x", DIGEST, len(BODY))
    with pytest.raises(RegistryError, match="answered 401"), registry(home).stream(layer) as pieces:
        list(pieces)
    assert elsewhere.logins == []


@pytest.mark.usefixtures("login")
def test_a_host_that_an_upload_leads_to_is_told_nothing(home: RawServer, elsewhere: RawServer) -> None:
    """It gets the bytes, as registries keep them elsewhere, and no login, whatever it asks."""

    def reply(asked: Asked) -> bytes:
        if asked.target.startswith("/token"):
            return answer(200, {}, b'{"token": "ours"}')
        if asked.headers.get("authorization") != "Bearer ours":
            return challenge(f"http://{home.host}/token")
        if asked.method == "HEAD":
            return answer(404)
        return answer(202, {"Location": f"http://{elsewhere.host}/upload"})

    home.reply = reply
    elsewhere.reply = lambda _asked: challenge(f"http://{elsewhere.host}/token")
    with pytest.raises(RegistryError, match="answered 401"):
        registry(home).put_blob(BODY)
    assert {one.target.partition("?")[0] for one in elsewhere.asked} == {"/upload"}
    assert elsewhere.logins == []


@pytest.mark.usefixtures("login")
def test_a_request_that_has_left_the_registry_comes_back_without_a_login(
    home: RawServer, elsewhere: RawServer
) -> None:
    """Or a stranger would choose what is asked in our name."""
    lets_in(home, answer(307, {"Location": f"http://{elsewhere.host}/blob"}))
    elsewhere.reply = lambda _asked: answer(307, {"Location": f"http://{home.host}/v2/private"})
    with pytest.raises(RegistryError):
        registry(home).blob(DIGEST)
    back = [one for one in home.asked if one.target == "/v2/private"]
    assert back
    assert all("authorization" not in one.headers for one in back)


@pytest.mark.usefixtures("login")
def test_storage_elsewhere_is_read_without_a_login(home: RawServer, elsewhere: RawServer) -> None:
    """What object storage is for: the registry lets us in, and sends us to where the blob lies."""
    lets_in(home, answer(307, {"Location": f"http://{elsewhere.host}/blob?signed=1"}))
    elsewhere.reply = lambda _asked: answer(200, {}, BODY)
    assert registry(home).blob(DIGEST) == BODY
    assert elsewhere.logins == []


def test_redirects_that_go_on_and_on_end(home: RawServer) -> None:
    """In an error, after some."""
    home.reply = lambda asked: answer(302, {"Location": f"{asked.target}/x"})
    with pytest.raises(RegistryError, match="more than 5 redirects"):
        registry(home).manifest("latest")
    assert len(home.asked) == 6


@pytest.mark.parametrize(
    "place",
    [
        "http://192.0.2.7/blob",
        "http://127.0.0.1.example.org/blob",
        "http://127.0.0.2:{port}/blob",
        "https://127.0.0.1:{port}/blob",
        "http://user:word@127.0.0.1:{port}/blob",
        "ftp://127.0.0.1:{port}/blob",
        "file:///etc/passwd",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1:0/",
    ],
)
@pytest.mark.parametrize("where", ["redirect", "upload"])
def test_a_registry_on_this_machine_leads_nowhere_else(
    home: RawServer, elsewhere: RawServer, place: str, where: str
) -> None:
    """To this machine by http, to nothing else, and to nothing that is no address."""
    location = {"Location": place.format(port=elsewhere.host.rpartition(":")[2])}
    home.reply = lambda asked: (
        answer(404) if asked.method == "HEAD" else answer(307 if where == "redirect" else 202, location)
    )
    with pytest.raises(RegistryError, match="leads to"):
        registry(home).blob(DIGEST) if where == "redirect" else registry(home).put_blob(BODY)
    assert elsewhere.asked == []


# -- token services -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize(
    "realm",
    [
        "http://192.0.2.7/token",
        "http://127.0.0.2:{port}/token",
        "http://localhost.example.org:{port}/token",
        "http://user@127.0.0.1:{port}/token",
        "http://[::1",
        "http://127.0.0.1:{port}{port}/token",
        "127.0.0.1/token",
        "/token",
        "",
        "http://\u0661.example/",
        "::error::",
    ],
)
def test_a_realm_elsewhere_in_clear_or_no_address_is_refused(
    home: RawServer, elsewhere: RawServer, realm: str
) -> None:
    """A registry on this machine names a token service on this machine, or one by https."""
    realm = realm.format(port=elsewhere.host.rpartition(":")[2])
    home.reply = lambda _asked: challenge(realm.encode().decode("latin-1"))
    with pytest.raises(RegistryError) as refused:
        registry(home).tags()
    assert refused.value.what.isprintable()
    assert (elsewhere.asked, home.logins) == ([], [])


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_token_service_passes_no_login_on(home: RawServer, elsewhere: RawServer, status: int) -> None:
    """No redirect is followed with a login, in a header or in a body."""

    def reply(asked: Asked) -> bytes:
        if asked.target.startswith("/token"):
            return answer(status, {"Location": f"http://{elsewhere.host}/token"})
        return challenge(f"http://{home.host}/token")

    home.reply = reply
    with pytest.raises(RegistryError, match="must not pass a login on"):
        registry(home).tags()
    assert elsewhere.asked == []
    assert len(home.logins) == 1


@pytest.mark.usefixtures("login")
@pytest.mark.parametrize(
    "body",
    [
        '{"token": "a\\r\\nX-Evil: 1"}',
        '{"token": "\u00fc"}',
        '{"token": "a b"}',
        '{"token": "\\ud800"}',
        '{"token": ""}',
        '{"token": 5}',
        '{"token": ["a"]}',
        '{"token": {"a": 1}}',
        "[]",
        "5",
        "null",
        "not JSON",
        "[" * 100_000,
        '{"token": 1' + "0" * 5000 + "}",
        "",
    ],
)
def test_a_token_that_fits_in_no_header_is_none(home: RawServer, body: str) -> None:
    """Whatever a token service says: an error that names it."""
    home.reply = lambda asked: (
        answer(200, {}, body.encode())
        if asked.target.startswith("/token")
        else challenge(f"http://{home.host}/token")
    )
    with pytest.raises(RegistryError, match="without a token"):
        registry(home).tags()


def test_a_stored_login_that_cannot_be_read_is_said_so(
    home: RawServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Docker's file is somebody else's, too."""
    (tmp_path / "config.json").write_text(json.dumps({"auths": {home.host: {"auth": "///"}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    home.reply = lambda _asked: challenge(f"http://{home.host}/token")
    with pytest.raises(RegistryError):
        registry(home).tags()


def test_manifests_are_put_where_they_should_be(home: RawServer, elsewhere: RawServer) -> None:
    """A redirect that asks for the same once more is followed."""
    home.reply = lambda asked: (
        answer(201) if asked.target.endswith("moved") else answer(307, {"Location": f"{asked.target}/moved"})
    )
    registry(home).put_manifest(Manifest(BODY, OCI_MANIFEST))
    assert [one.body for one in home.asked] == [BODY, BODY]
    assert elsewhere.asked == []
