"""The signing key: where it lives, how it is made, and what may be trusted.

One kind only: ECDSA on P-256, as PEM, which cosign reads as well. The private key stays in
``$XDG_CONFIG_HOME/tagproof``, or the caller hands over its text, as CI does.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from pipeline.errors import SigningError
from pipeline.nouns import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PrivateKey = EllipticCurvePrivateKey
PublicKey = EllipticCurvePublicKey

VARIABLE = "TAGPROOF_KEY"
"""The environment variable with the private key's PEM; the command line reads it and hands it over."""

MAKE_ONE = "make one with `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt`"


def default_path() -> Path:
    """Where the private key of this user lives; the public key lies beside it, ending in ``.pub``."""
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / PROJECT / "signing.pem"


def public_path(path: Path) -> Path:
    """Where the public key that belongs to a private key's file lies."""
    return path.with_suffix(".pub")


def load(path: Path | None = None, pem: str | None = None) -> PrivateKey:
    """The private key: the text if given, else the file if named, else this user's, made on first use.

    Raises SigningError where it is unreadable, of another kind, encrypted, or open to others.
    """
    if pem is not None:
        return _private(pem.encode(), f"the key in {VARIABLE}")
    if path is None:
        path = default_path()
        _make(path)
    try:
        mode = path.stat().st_mode
        body = path.read_bytes()
    except OSError as error:
        raise SigningError(f"{path}: {error.strerror}", hint=f"name a readable key, or {MAKE_ONE}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise SigningError(
            f"{path}: others may read this private key (mode {stat.S_IMODE(mode):04o})",
            hint=f"chmod 600 {path}; if others could log in here, make a new key",
        )
    key = _private(body, str(path))
    if path == default_path():
        _show(key.public_key(), public_path(path))
    return key


def read_public(path: Path) -> PublicKey:
    """A public key from a PEM file. Raises SigningError where there is none of our kind."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        raise SigningError(f"{path}: {error.strerror}", hint="name a readable public key") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{path}: no public key in PEM: {error}", hint=MAKE_ONE) from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise SigningError(f"{path}: not an ECDSA P-256 key", hint=MAKE_ONE)
    return key


def trusted(keys: Iterable[PublicKey]) -> Mapping[str, PublicKey]:
    """Public keys by fingerprint: whose records count."""
    return {fingerprint(key): key for key in keys}


def fingerprint(public: PublicKey) -> str:
    """SHA-256, in hex, of the key's DER SubjectPublicKeyInfo."""
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def public_pem(public: PublicKey) -> bytes:
    """The public key as others read it."""
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _private(body: bytes, where: str) -> PrivateKey:
    try:
        key = load_pem_private_key(body, password=None)
    except TypeError as error:
        raise SigningError(f"{where}: the key is encrypted", hint="give it without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        # The error's own words might show a part of the key.
        raise SigningError(f"{where}: no private key in PEM", hint=MAKE_ONE) from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise SigningError(f"{where}: not an ECDSA P-256 key", hint=MAKE_ONE)
    return key


def _make(path: Path) -> None:
    """A new key pair, unless there is one; of two who make one at once, one wins."""
    if path.exists():
        return
    key = generate_private_key(SECP256R1())
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent) as new:  # made with mode 0600
            new.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
            new.flush()
            with suppress(FileExistsError):  # then the other's key is the one; ours was never used
                path.hardlink_to(new.name)
    except OSError as error:
        raise SigningError(
            f"{path}: no key could be made: {error.strerror}",
            hint=f"make the folder writable, or give a key in {VARIABLE}",
        ) from error


def _show(public: PublicKey, path: Path) -> None:
    """Have the public key in its file. It is for others to read, so the work goes on without it."""
    pem = public_pem(public)
    with suppress(OSError):
        if not path.exists() or path.read_bytes() != pem:
            path.write_bytes(pem)
