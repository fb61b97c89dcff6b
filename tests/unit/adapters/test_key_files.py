"""The file of a signing key: made on first use, kept, and refused where it is of no use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.adapters import paths, signing_keys
from pipeline.formats import dsse
from pipeline.model.errors import SigningError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


KEY = generate_private_key(SECP256R1())


def pem(key: Any) -> str:
    body: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return body.decode()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own for this user's key."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "tagproof"


def test_a_key_pair_is_made_on_first_use_and_kept(home: Path) -> None:
    """The second use finds the same key; nobody else may read it; the public key lies beside it."""
    first, second = signing_keys.load(), signing_keys.load()
    assert dsse.fingerprint(first.public_key()) == dsse.fingerprint(second.public_key())
    assert (home / "signing.pem").stat().st_mode & 0o777 == 0o600
    assert sorted(file.name for file in home.iterdir()) == ["signing.pem", "signing.pub"]
    public = signing_keys.read_public(signing_keys.public_path(paths.signing_key()))
    assert dsse.fingerprint(public) == dsse.fingerprint(first.public_key())


def test_a_given_key_is_used_and_none_is_made(home: Path) -> None:
    """CI gives the key as text."""
    assert signing_keys.load(None, pem(KEY)).private_numbers() == KEY.private_numbers()
    assert not home.exists()


@pytest.mark.parametrize(
    "text",
    ["", "no key", pem(generate_private_key(SECP384R1())), pem(generate_rsa(65537, 2048))],
    ids=["empty", "text", "P-384", "RSA"],
)
def test_another_kind_of_key_is_refused_without_showing_it(text: str) -> None:
    """One kind only; the message names where it came from, never what it is."""
    with pytest.raises(UsageError) as refused:
        signing_keys.load(None, text)
    assert signing_keys.VARIABLE in str(refused.value)
    assert "PRIVATE KEY" not in str(refused.value)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """The message says how to mend it."""
    file = tmp_path / "key.pem"
    file.write_text(pem(KEY))
    file.chmod(0o640)
    with pytest.raises(SigningError, match=r"0640(.|\n)*chmod 600"):
        signing_keys.load(file)


def test_an_absent_key_is_refused_where_the_user_named_it(tmp_path: Path) -> None:
    """A key that the user names is never made."""
    with pytest.raises(SigningError, match="No such file"):
        signing_keys.load(tmp_path / "key.pem")
