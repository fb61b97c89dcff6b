"""The signing key: where it lives, how it is made, and what may be trusted.

One kind only: ECDSA on P-256, as PEM, which cosign reads as well. The private key stays in
``$XDG_CONFIG_HOME/tagproof``, or the caller hands over its text, as CI does.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import suppress
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidKey, UnsupportedAlgorithm
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

from pipeline.adapters import environ, files, paths
from pipeline.formats.dsse import PrivateKey, PublicKey, fingerprint
from pipeline.model.errors import SigningError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

VARIABLE = environ.KEY
"""The environment variable with the private key's PEM; the command line reads it and hands it over."""

MAKE_ONE = "make one with `openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt`"

MAX_KEY_BYTES = 64 * 1024
"""Of a file with a key: ours has 241."""

_NO_KEY = (ValueError, TypeError, OverflowError, UnsupportedAlgorithm, InvalidKey)
"""What the library raises for bytes that are no key."""


def public_path(path: Path) -> Path:
    """Where the public key that belongs to a private key's file lies."""
    return path.with_suffix(".pub")


def load(path: Path | None = None, pem: str | None = None) -> PrivateKey:
    """The private key: the text if given, else the file if named, else this user's, made on first use.

    Raises UsageError where a given text is empty, of another kind or encrypted, or where one would have to be
    made for a job of CI; SigningError where a file is that, or unreadable, open to others, or not this user's
    own.
    """
    if pem is not None:
        return _from_text(pem)
    if path is not None:
        return _private(_secret(path), str(path))
    path = paths.signing_key()
    _make(path)
    _refuse_open_folders(path.parent)
    key = _private(_secret(path), str(path))
    _show(key.public_key(), public_path(path))
    return key


def own_public() -> PublicKey | None:
    """The public part of this user's key; None where none was made yet. Raises SigningError as ``load``.

    Nothing is written for whoever only asks.
    """
    path = paths.signing_key()
    if not os.path.lexists(path):
        return None
    _refuse_open_folders(path.parent)
    return _private(_secret(path), str(path)).public_key()


def read_public(path: Path) -> PublicKey:
    """A public key from a PEM file. Raises SigningError where there is none of our kind."""
    try:
        body = files.read(path, MAX_KEY_BYTES)
    except OSError as error:
        raise SigningError(f"{path}: {error.strerror}", hint="name a readable public key") from error
    return public_of(body, str(path))


def public_of(pem: bytes, where: str) -> PublicKey:
    """The public key in this PEM, from ``where``. Raises SigningError where it is none of our kind."""
    try:
        key = load_pem_public_key(pem)
    except _NO_KEY as error:
        raise SigningError(f"{where}: no public key in PEM: {error}", hint=MAKE_ONE) from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise SigningError(f"{where}: not an ECDSA P-256 key", hint=MAKE_ONE)
    return key


def trusted(keys: Iterable[PublicKey]) -> Mapping[str, PublicKey]:
    """Public keys by fingerprint: whose records count."""
    return {fingerprint(key): key for key in keys}


def public_pem(public: PublicKey) -> bytes:
    """The public key as others read it."""
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _from_text(pem: str) -> PrivateKey:
    """The key that the caller hands over. Set but empty is what a missing secret becomes in CI."""
    if not pem.strip():
        raise UsageError(
            f"{VARIABLE} is set, and empty: no key is made in its place",
            hint="a secret that is missing or misnamed in CI looks like this; give the key, or unset it",
        )
    # Some systems keep a secret on one line, with each line's end as two characters.
    text = pem.replace("\\r", "").replace("\\n", "\n")
    try:
        return _private(text.encode(errors="replace"), f"the key in {VARIABLE}")
    except SigningError as error:  # this text is the user's, as an option is
        raise UsageError(error.what, hint=error.hint) from None


def _secret(path: Path) -> bytes:
    """What a private key's file holds, which must be this user's own and closed to all others."""
    try:
        with files.opened(path, links=False) as file:
            status = os.fstat(file.fileno())
            body = file.read(MAX_KEY_BYTES)
    except OSError as error:
        raise SigningError(f"{path}: {error.strerror}", hint=f"name a readable key, or {MAKE_ONE}") from error
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise SigningError(
            f"{path}: others may read this private key (mode {mode:04o})",
            hint=f"chmod 600 {path}; if others could log in here, make a new key",
        )
    if status.st_uid != os.geteuid():
        raise SigningError(
            f"{path}: this private key belongs to user {status.st_uid}, not to us ({os.geteuid()})",
            hint="use a key of your own",
        )
    return body


def _private(body: bytes, where: str) -> PrivateKey:
    if len(_BEGINNING.findall(body)) > 1:
        raise SigningError(f"{where}: more than one private key", hint="leave the one that is to sign")
    try:
        key = load_pem_private_key(body, password=None)
    except _NO_KEY as error:
        if isinstance(error, TypeError):
            raise SigningError(
                f"{where}: the key is encrypted", hint="give it without a passphrase"
            ) from None
        # The error's own words, and those of its cause, might show a part of the key.
        raise SigningError(f"{where}: no private key in PEM", hint=MAKE_ONE) from None
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise SigningError(f"{where}: not an ECDSA P-256 key", hint=MAKE_ONE)
    return key


_BEGINNING = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def _make(path: Path) -> None:
    """A new key pair, unless there is one; of two who make one at once, one wins."""
    if os.path.lexists(path):
        return
    if environ.is_ci():
        raise UsageError(
            f"there is no signing key: {VARIABLE} is not set, and CI is, so none is made at {path}",
            hint=f"give {VARIABLE} a signer's private key from the secrets of CI: what is signed by one that "
            f"is gone with its machine counts nowhere; for a trial, {MAKE_ONE}",
        )
    key = generate_private_key(SECP256R1())
    try:
        _make_folder(path.parent)
        _refuse_open_folders(path.parent)
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


def _make_folder(folder: Path) -> None:
    """Have this folder; what is made of it, those above it included, is open to this user alone."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _refuse_open_folders(folder: Path) -> None:
    """Who may write to a folder can put another key there, or another folder in its place.

    The one above may be written to by its group, which on many systems is this user alone; and by all
    where files can be removed by their owners only, as in /tmp.
    """
    for place, open_to in ((folder, 0o022), (folder.parent, 0o002)):
        try:
            status = place.stat()
        except OSError as error:
            raise SigningError(f"{place}: {error.strerror}", hint="make it readable") from error
        is_shared = status.st_mode & open_to and not (place != folder and status.st_mode & stat.S_ISVTX)
        if is_shared or status.st_uid not in {os.geteuid(), 0}:
            raise SigningError(
                f"{place}: others may write to this folder of keys "
                f"(user {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o})",
                hint=f"chown it to yourself and chmod 700 {place}; if others could log in, make a new key",
            )


def _show(public: PublicKey, path: Path) -> None:
    """Have the public key in its file. It is for others to read, so the work goes on without it."""
    pem = public_pem(public)
    with suppress(OSError, UsageError):
        if not _is_shown(pem, path):
            files.write(path, pem)


def _is_shown(pem: bytes, path: Path) -> bool:
    """Whether the file holds this key, and only this user may write to it."""
    with suppress(OSError), files.opened(path, links=False) as file:
        return file.read(MAX_KEY_BYTES) == pem and not os.fstat(file.fileno()).st_mode & 0o022
    return False
