"""Signing keys: whose they are, what they may be made of, and what is never taken for one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters import paths, signing_keys
from pipeline.formats import dsse
from pipeline.model.errors import SigningError, UsageError

KEY = generate_private_key(SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
LOCKED = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode()
PUBLIC = signing_keys.public_pem(KEY.public_key())


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
    with pytest.raises(UsageError, match=r"TAGPROOF_KEY is set, and empty(.|\n)*secret that is missing"):
        signing_keys.load(pem=text)
    assert not home.exists()


@pytest.mark.parametrize(
    "text",
    [PEM.replace("\n", "\r\n"), PEM.replace("\n", "\\n"), PEM.replace("\n", "\\r\\n"), f"\n{PEM}\n\n"],
    ids=["CRLF", "one line", "one line of CRLF", "blank lines"],
)
def test_a_key_is_read_however_a_ci_system_keeps_its_lines(text: str) -> None:
    assert signing_keys.load(pem=text).private_numbers() == KEY.private_numbers()


@pytest.mark.parametrize(
    "text",
    [PEM + PEM, PEM[:100], PEM.replace("M", "\udcff", 1), LOCKED, PUBLIC.decode()],
    ids=["two", "cut short", "no text", "encrypted", "public"],
)
def test_a_broken_key_is_an_error_that_shows_nothing_of_it(text: str, home: Path) -> None:
    with pytest.raises(UsageError) as refused:
        signing_keys.load(pem=text)
    assert PEM.splitlines()[1][:20] not in str(refused.value)
    assert refused.value.__cause__ is None
    assert not home.exists()


@given(st.binary(max_size=300), st.booleans())
def test_whatever_is_no_key_is_our_error(body: bytes, wrapped: bool) -> None:
    text = body.decode("latin-1")
    if wrapped:
        text = f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    with pytest.raises(UsageError):
        signing_keys.load(pem=text)


@given(st.integers(0, len(PUBLIC) - 1), st.integers(0, 255))
def test_a_public_key_with_any_changed_byte_is_ours_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "changed.pub"
    file.write_bytes(PUBLIC[:at] + bytes([byte]) + PUBLIC[at + 1 :])
    with suppress(SigningError):
        signing_keys.read_public(file)


@pytest.mark.parametrize("kind", ["folder", "pipe", "huge", "device", "absent"])
def test_what_is_no_file_of_a_key_is_our_error_at_once(kind: str, tmp_path: Path) -> None:
    file = strange(tmp_path / "key", kind)
    with pytest.raises(SigningError, match=str(file)):
        signing_keys.read_public(file)
    with pytest.raises(SigningError, match=str(file)):
        signing_keys.load(file)


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
    signing_keys.load()
    assert (home / "signing.pub").stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("no_umask")
def test_every_folder_that_is_made_for_the_key_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "new" / "config"))
    signing_keys.load()
    made = [tmp_path / "new", tmp_path / "new" / "config", paths.signing_key().parent]
    assert {folder.stat().st_mode & 0o777 for folder in made} == {0o700}


def test_a_public_key_that_others_may_write_is_put_right(home: Path) -> None:
    signing_keys.load()
    (home / "signing.pub").chmod(0o666)
    signing_keys.load()
    assert (home / "signing.pub").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_of_keys_that_others_may_write_to_is_refused(home: Path, mode: int) -> None:
    """They could have put the key there, or another folder."""
    signing_keys.load()
    home.chmod(mode)
    with pytest.raises(SigningError, match=rf"{home}: others may write(.|\n)*chmod 700"):
        signing_keys.load()


def test_no_key_is_made_below_a_folder_that_all_may_write_to(home: Path) -> None:
    home.parent.chmod(0o777)
    with pytest.raises(SigningError, match=f"{home.parent}: others may write"):
        signing_keys.load()
    assert not (home / "signing.pem").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("name", ["", "signing.pem"])
def test_a_key_or_a_folder_of_somebody_else_is_refused(home: Path, name: str) -> None:
    signing_keys.load()
    os.chown(home / name, 12345, 12345)
    with pytest.raises(SigningError, match=r"user 12345"):
        signing_keys.load()


def test_a_key_that_is_a_link_is_refused(home: Path, tmp_path: Path) -> None:
    signing_keys.load()
    (home / "signing.pem").rename(tmp_path / "elsewhere.pem")
    (home / "signing.pem").symlink_to(tmp_path / "elsewhere.pem")
    with pytest.raises(SigningError, match=r"signing\.pem: is a link"):
        signing_keys.load()


def test_a_link_to_nowhere_is_no_absent_key(home: Path, tmp_path: Path) -> None:
    home.mkdir(0o700)
    (home / "signing.pem").symlink_to(tmp_path / "nowhere")
    with pytest.raises(SigningError, match=r"signing\.pem: is a link"):
        signing_keys.load()
    assert not (tmp_path / "nowhere").exists()


def test_a_link_in_the_place_of_the_public_key_is_not_written_through(home: Path, tmp_path: Path) -> None:
    home.mkdir(0o700)
    other = tmp_path / "other"
    other.write_text("precious")
    (home / "signing.pub").symlink_to(other)
    signing_keys.load()
    assert other.read_text() == "precious"


def test_whoever_has_no_key_yet_has_no_public_one_and_gets_none_by_asking(home: Path) -> None:
    assert signing_keys.own_public() is None
    assert not home.exists()


def test_a_relative_folder_of_settings_is_no_place_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would lie in the checkout; the specification says to ignore it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", "config")
    assert paths.signing_key() == Path.home() / ".config" / "tagproof" / "signing.pem"


# -- word for word ---------------------------------------------------------------------------------------


def refused(place: Path | None = None, pem: str | None = None) -> tuple[str, str]:
    """A file is the machine's, a text that is handed over the user's."""
    with pytest.raises(SigningError if pem is None else UsageError) as raised:
        signing_keys.load(place, pem)
    return raised.value.what, raised.value.hint


def a_file(path: Path, body: bytes | str) -> Path:
    path.write_bytes(body if isinstance(body, bytes) else body.encode())
    path.chmod(0o600)
    return path


def test_each_refusal_of_a_private_key_says_where_what_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "a.pem"
    other = generate_private_key(SECP384R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for body, what, hint in (
        (LOCKED, "the key is encrypted", "give it without a passphrase"),
        (PEM + PEM, "more than one private key", "leave the one that is to sign"),
        ("no key", "no private key in PEM", signing_keys.MAKE_ONE),
        (other, "not an ECDSA P-256 key", signing_keys.MAKE_ONE),
    ):
        assert refused(a_file(path, body)) == (f"{path}: {what}", hint)
    path.unlink()
    assert refused(path) == (
        f"{path}: No such file or directory",
        f"name a readable key, or {signing_keys.MAKE_ONE}",
    )


def test_each_refusal_of_a_key_in_the_environment_names_the_variable() -> None:
    empty = "TAGPROOF_KEY is set, and empty: no key is made in its place"
    hint = "a secret that is missing or misnamed in CI looks like this; give the key, or unset it"
    assert refused(pem="") == (empty, hint)
    assert refused(pem="x") == ("the key in TAGPROOF_KEY: no private key in PEM", signing_keys.MAKE_ONE)


def test_each_refusal_of_a_public_key_says_where_what_and_what_to_do(tmp_path: Path) -> None:
    """A key of another curve is one of ours no more than one of another kind."""
    path = tmp_path / "a.pub"

    def refusal() -> tuple[str, str]:
        with pytest.raises(SigningError) as raised:
            signing_keys.read_public(path)
        return raised.value.what, raised.value.hint

    assert refusal() == (f"{path}: No such file or directory", "name a readable public key")
    for key in (generate_private_key(SECP384R1()), generate_rsa(65537, 2048)):
        a_file(path, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
        assert refusal() == (f"{path}: not an ECDSA P-256 key", signing_keys.MAKE_ONE)
    a_file(path, "no key")
    what, hint = refusal()
    assert what.startswith(f"{path}: no public key in PEM: ")
    assert hint == signing_keys.MAKE_ONE


def test_a_broken_key_of_this_user_is_named_by_its_path(home: Path) -> None:
    signing_keys.load()
    a_file(home / "signing.pem", "no key")
    assert refused() == (f"{home / 'signing.pem'}: no private key in PEM", signing_keys.MAKE_ONE)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_key_of_somebody_else_is_told_with_what_to_do(home: Path) -> None:
    signing_keys.load()
    os.chown(home / "signing.pem", 12345, 12345)
    path = home / "signing.pem"
    assert refused() == (
        f"{path}: this private key belongs to user 12345, not to us (0)",
        "use a key of your own",
    )


def test_a_key_that_cannot_be_made_is_told_with_what_to_do(home: Path) -> None:
    home.parent.joinpath("tagproof").write_text("a file where the folder should be")
    what, hint = refused()
    assert what.startswith(f"{home / 'signing.pem'}: no key could be made: ")
    assert hint == "make the folder writable, or give a key in TAGPROOF_KEY"


def test_whoever_has_a_key_has_its_public_part(home: Path) -> None:
    made = signing_keys.load().public_key()
    found = signing_keys.own_public()
    assert found
    assert dsse.fingerprint(found) == dsse.fingerprint(made)
    assert signing_keys.trusted([made]).keys() == {dsse.fingerprint(made)}
    assert list(home.iterdir())


def test_the_public_key_is_left_alone_where_it_is_right(home: Path) -> None:
    """Else whoever looks at it would see it go and come."""
    signing_keys.load()
    before = (home / "signing.pub").stat()
    signing_keys.load()
    after = (home / "signing.pub").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_public_key_of_another_key_is_put_right(home: Path) -> None:
    key = signing_keys.load()
    (home / "signing.pub").write_bytes(
        signing_keys.public_pem(generate_private_key(SECP256R1()).public_key())
    )
    signing_keys.load()
    assert (home / "signing.pub").read_bytes() == signing_keys.public_pem(key.public_key())


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o755])
def test_a_folder_that_others_may_read_is_no_danger(home: Path, mode: int) -> None:
    """What they cannot write they cannot replace."""
    signing_keys.load()
    home.chmod(mode)
    home.parent.chmod(0o755)
    assert signing_keys.load()
    home.parent.chmod(0o701)
    assert signing_keys.load()


def test_the_folder_above_may_be_everybodys_where_only_owners_remove(home: Path) -> None:
    """As the folder for temporary files is; the key's own folder may not."""
    signing_keys.load()
    home.parent.chmod(0o1777)
    assert signing_keys.load()
    home.parent.chmod(0o755)
    home.chmod(0o1777)
    assert refused()[0].startswith(f"{home}: others may write")


def test_without_a_folder_of_settings_the_key_is_in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert paths.signing_key() == Path.home() / ".config" / "tagproof" / "signing.pem"


def test_of_two_who_make_a_key_at_once_one_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(curve: SECP256R1) -> dsse.PrivateKey:
        """Somebody else has made one meanwhile."""
        a_file(home / "signing.pem", PEM)
        return generate_private_key(curve)

    home.mkdir(mode=0o700)
    monkeypatch.setattr(signing_keys, "generate_private_key", slowly)
    assert signing_keys.load().private_numbers() == KEY.private_numbers()
    assert [path.name for path in sorted(home.iterdir())] == ["signing.pem", "signing.pub"]


def test_a_key_is_made_in_its_own_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be on another disk than the folder for temporary files, and must not lie there."""
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    assert signing_keys.load()
    assert list(home.iterdir())


def test_a_public_key_that_cannot_be_shown_stops_nothing(home: Path) -> None:
    (home / "signing.pub").mkdir(parents=True)
    home.chmod(0o700)
    assert signing_keys.load()


def test_a_public_key_that_others_only_read_or_run_is_left_alone(home: Path) -> None:
    signing_keys.load()
    (home / "signing.pub").chmod(0o645)
    signing_keys.load()
    assert (home / "signing.pub").stat().st_mode & 0o777 == 0o645


def test_a_folder_that_cannot_be_looked_at_is_told(tmp_path: Path) -> None:
    with pytest.raises(SigningError) as raised:
        signing_keys._refuse_open_folders(tmp_path / "nowhere")
    what = f"{tmp_path / 'nowhere'}: No such file or directory"
    assert (raised.value.what, raised.value.hint) == (what, "make it readable")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that are root's")
def test_a_folder_that_is_roots_is_as_good_as_our_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the home of a service may be."""
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    signing_keys._refuse_open_folders(folder)


def test_a_full_disk_keeps_nobody_from_signing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The public key is for others."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pipeline.adapters.files.write", full)
    assert signing_keys.load()
    assert not (home / "signing.pub").exists()
