"""Signing keys: whose they are, what they may be made of, and what is never taken for one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from pipeline import keys
from pipeline.errors import SigningError

KEY = generate_private_key(SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
LOCKED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
PUBLIC = keys.public_pem(KEY.public_key())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this user's key; nothing is in it yet."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "tagproof"


@pytest.fixture
def no_umask() -> object:
    """Files are made for everybody, unless who makes them says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize("text", ["", " ", "\n", "\r\n\t \n"])
def test_a_key_that_is_set_and_empty_is_an_error_and_makes_no_other(text: str, home: Path) -> None:
    """What a missing secret becomes in CI must not pass by a throw-away key."""
    with pytest.raises(SigningError, match=r"TAGPROOF_KEY is set, and empty(.|\n)*secret that is missing"):
        keys.load(pem=text)
    assert not home.exists()


@pytest.mark.parametrize(
    "text",
    [PEM.replace("\n", "\r\n"), PEM.replace("\n", "\\n"), PEM.replace("\n", "\\r\\n"), f"\n{PEM}\n\n"],
    ids=["CRLF", "one line", "one line of CRLF", "blank lines"],
)
def test_a_key_is_read_however_a_ci_system_keeps_its_lines(text: str) -> None:
    assert keys.load(pem=text).private_numbers() == KEY.private_numbers()


@pytest.mark.parametrize(
    "text",
    [PEM + PEM, PEM[:100], PEM.replace("M", "\udcff", 1), LOCKED, PUBLIC.decode()],
    ids=["two", "cut short", "no text", "encrypted", "public"],
)
def test_a_broken_key_is_an_error_that_shows_nothing_of_it(text: str, home: Path) -> None:
    with pytest.raises(SigningError) as refused:
        keys.load(pem=text)
    assert PEM.splitlines()[1][:20] not in str(refused.value)
    assert refused.value.__cause__ is None
    assert not home.exists()


@given(st.binary(max_size=300), st.booleans())
def test_whatever_is_no_key_is_our_error(body: bytes, wrapped: bool) -> None:
    text = body.decode("latin-1")
    if wrapped:
        text = f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    with pytest.raises(SigningError):
        keys.load(pem=text)


@given(st.integers(0, len(PUBLIC) - 1), st.integers(0, 255))
def test_a_public_key_with_any_changed_byte_is_ours_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "changed.pub"
    file.write_bytes(PUBLIC[:at] + bytes([byte]) + PUBLIC[at + 1 :])
    with suppress(SigningError):
        keys.read_public(file)


@pytest.mark.parametrize("kind", ["folder", "pipe", "huge", "device", "absent"])
def test_what_is_no_file_of_a_key_is_our_error_at_once(kind: str, tmp_path: Path) -> None:
    file = strange(tmp_path / "key", kind)
    with pytest.raises(SigningError, match=str(file)):
        keys.read_public(file)
    with pytest.raises(SigningError, match=str(file)):
        keys.load(file)


def strange(path: Path, kind: str) -> Path:
    """A path at which something of this kind lies."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path, 0o600)
    elif kind == "huge":
        path.touch(0o600)
        os.truncate(path, 1 << 40)
    return Path("/dev/zero") if kind == "device" else path


@pytest.mark.usefixtures("no_umask")
def test_the_public_key_is_for_others_to_read_and_not_to_write(home: Path) -> None:
    keys.load()
    assert (home / "signing.pub").stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("no_umask")
def test_every_folder_that_is_made_for_the_key_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "new" / "config"))
    keys.load()
    made = [tmp_path / "new", tmp_path / "new" / "config", keys.default_path().parent]
    assert {folder.stat().st_mode & 0o777 for folder in made} == {0o700}


def test_a_public_key_that_others_may_write_is_put_right(home: Path) -> None:
    keys.load()
    (home / "signing.pub").chmod(0o666)
    keys.load()
    assert (home / "signing.pub").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_of_keys_that_others_may_write_to_is_refused(home: Path, mode: int) -> None:
    """They could have put the key there, or another folder."""
    keys.load()
    home.chmod(mode)
    with pytest.raises(SigningError, match=rf"{home}: others may write(.|\n)*chmod 700"):
        keys.load()


def test_no_key_is_made_below_a_folder_that_all_may_write_to(home: Path) -> None:
    home.parent.chmod(0o777)
    with pytest.raises(SigningError, match=f"{home.parent}: others may write"):
        keys.load()
    assert not (home / "signing.pem").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["", "signing.pem"])
def test_a_key_or_a_folder_of_somebody_else_is_refused(home: Path, name: str) -> None:
    keys.load()
    os.chown(home / name, 12345, 12345)
    with pytest.raises(SigningError, match=r"user 12345"):
        keys.load()


def test_a_key_that_is_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    keys.load()
    (home / "signing.pem").rename(tmp_path / "elsewhere.pem")
    (home / "signing.pem").symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(SigningError, match=r"signing\.pem: is a link"):
        keys.load()


def test_a_link_to_nowhere_is_no_absent_key(home: Path, tmp_path: Path) -> None:
    home.mkdir(0o700)
    (home / "signing.pem").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SigningError, match=r"signing\.pem: is a link"):
        keys.load()
    assert not (tmp_path / "nowhere").exists()


def test_a_link_in_the_place_of_the_public_key_is_not_written_through(home: Path, tmp_path: Path) -> None:
    home.mkdir(0o700)
    other = tmp_path / "other"
    other.write_text("precious")
    (home / "signing.pub").symlink_to(other)
    keys.load()
    assert other.read_text() == "precious"


def test_whoever_has_no_key_yet_has_no_public_one_and_gets_none_by_asking(home: Path) -> None:
    assert keys.own_public() is None
    assert not home.exists()


def test_a_relative_folder_of_settings_is_no_place_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would lie in the checkout; the specification says to ignore it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    assert keys.default_path() == Path.home() / ".config" / "tagproof" / "signing.pem"
