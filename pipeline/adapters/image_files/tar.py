"""Layers are tar archives: their entries, in order, from a stream that only goes forward.

Python's tarfile is not used: it reads an extended header whole whatever size that claims, keeps sparse maps
of any length, searches headers in quadratic time before Python 3.11.10, and takes twice as long for an entry.
What is read here are the forms that engines read: ustar, pax and GNU's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.adapters.image_files.limits import MAX_DEPTH, MAX_PATH_BYTES, BrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.adapters.image_files.limits import Meter

_BLOCK = 512
_END = bytes(_BLOCK)

Kind = Literal["file", "directory", "link", "other", "hard link"]

_KINDS: dict[bytes, Kind] = {
    b"0": "file",
    b"\0": "file",
    b"7": "file",
    b"S": "file",
    b"1": "hard link",
    b"2": "link",
    b"3": "other",
    b"4": "other",
    b"5": "directory",
    b"6": "other",
}
_PAX, _GLOBAL = (b"x", b"X"), b"g"
_LONG = {b"L": b"path", b"K": b"linkpath"}
"""GNU's long names, by the pax keyword that means the same."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry. ``path`` is absolute and normalised; ``link`` is a link's text, or what a hard link names.

    ``size`` is in bytes, as the file has them unpacked; where ``sparse``, the archive leaves its holes out.
    """

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    link: str
    sparse: bool


class TarStream:
    """Bytes that come in chunks, read forward. Raises BrokenError where they end too early."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._chunk = memoryview(b"")
        self.position = 0

    def parts(self, size: int) -> Iterator[memoryview]:
        """The next ``size`` bytes, as they come."""
        while size:
            if not self._chunk and not self._turn():
                raise BrokenError(f"it ends {size} bytes too early")
            part, self._chunk = self._chunk[:size], self._chunk[size:]
            self.position += len(part)
            size -= len(part)
            yield part

    def read(self, size: int) -> bytes:
        """The next ``size`` bytes, of which there are few."""
        if len(self._chunk) < size:
            return b"".join(self.parts(size))
        part, self._chunk = self._chunk[:size], self._chunk[size:]
        self.position += size
        return bytes(part)

    def skip_to(self, position: int) -> None:
        """Let all pass that comes before this position."""
        for _ in self.parts(position - self.position):
            pass

    def drain(self) -> None:
        """Let all pass that is left, so that who hashes it has seen all of it."""
        while self._turn():
            pass

    @property
    def is_over(self) -> bool:
        """Whether nothing is left."""
        return not self._chunk and not self._turn()

    def _turn(self) -> bool:
        """Take up the next chunk; False where there is none."""
        for chunk in self._chunks:
            if chunk:
                self._chunk = memoryview(chunk)
                return True
        return False


def entries(stream: TarStream, meter: Meter) -> Iterator[Entry]:
    """Every entry, in order. What the stream gives next is the entry's content, to be read or left.

    Raises BrokenError for what is no tar archive, ends too early, climbs out of the image, or is too much.
    """
    extended: dict[bytes, bytes] = {}
    while not stream.is_over:
        block = stream.read(_BLOCK)
        if block == _END:
            break
        meter.entry()
        _check(block)
        kind, size = block[156:157], _number(block[124:136])
        if kind in _PAX:
            extended |= _keywords(_content(stream, size, meter))
        elif kind in _LONG:
            extended[_LONG[kind]] = _content(stream, size, meter).partition(b"\0")[0]
        elif kind == _GLOBAL:
            _content(stream, size, meter)  # comments, as git writes them; engines ignore them too
        elif kind not in _KINDS:
            raise BrokenError(f"an entry of the unknown kind {kind!r}")
        else:
            entry, stored = _entry(block, size, extended, stream, meter)
            extended = {}
            end = stream.position + stored + -stored % _BLOCK
            yield entry
            stream.skip_to(end)
    stream.drain()


def _entry(
    block: bytes, size: int, extended: dict[bytes, bytes], stream: TarStream, meter: Meter
) -> tuple[Entry, int]:
    """An entry by its header and what extended headers say of it, and how many bytes of content follow."""
    name, kind = extended.get(b"path") or _name(block), _KINDS[block[156:157]]
    stored = _decimal(extended, b"size", size)
    size, sparse = stored, False
    if block[156:157] == b"S":
        size, sparse = _number(block[483:495]), True
        more = block[482]
        while more:
            meter.entry()
            more = stream.read(_BLOCK)[504]
    elif any(keyword.startswith(b"GNU.sparse.") for keyword in extended):
        name = extended.get(b"GNU.sparse.name") or name
        real = b"GNU.sparse.realsize" if b"GNU.sparse.realsize" in extended else b"GNU.sparse.size"
        size, sparse = _decimal(extended, real, stored), True
    elif kind == "file" and name.endswith(b"/"):
        kind = "directory"  # as archives before POSIX have it
    if kind != "file":
        size = stored = 0
    path = located(text(name))
    link = (
        text(extended.get(b"linkpath") or _until_nul(block[157:257])) if kind in ("link", "hard link") else ""
    )
    if len(link) > MAX_PATH_BYTES:
        raise BrokenError(f"{path} links to a path of {len(link)} bytes")
    meter.name(path)
    meter.name(link)
    entry = Entry(
        path=path,
        kind=kind,
        mode=_number(block[100:108]) & 0o7777,
        uid=_decimal(extended, b"uid", _number(block[108:116])),
        gid=_decimal(extended, b"gid", _number(block[116:124])),
        size=size,
        link=located(link) if kind == "hard link" else link,
        sparse=sparse,
    )
    return entry, stored


def text(name: bytes) -> str:
    r"""A name as text; bytes that are not UTF-8 are written out: ``\xff``."""
    return name.decode("utf-8", "backslashreplace")


def located(name: str) -> str:
    """Where a name of an archive is in the image: from its root, without ``.`` and double slashes.

    Raises BrokenError for a name that climbs, that Linux would not take, or that is absurdly deep.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    path = "/" + "/".join(parts)
    shown = path if len(path) <= 100 else f"{path[:100]}…"  # noqa: PLR2004 - what fits a line
    if ".." in parts:
        raise BrokenError(f"the name {shown!r} climbs out of its folder")
    if "\0" in path:
        raise BrokenError(f"the name {shown!r} holds a zero byte")
    if len(parts) > MAX_DEPTH or len(path) > MAX_PATH_BYTES:
        raise BrokenError(f"the name {shown!r} is {len(parts)} folders deep and {len(path)} characters long")
    return path


# -- headers ------------------------------------------------------------------------------------------


def _check(block: bytes) -> None:
    """The header's sum, with its own field taken as blanks."""
    try:
        if sum(block) - sum(block[148:156]) + 8 * 32 == _number(block[148:156]):
            return
    except BrokenError:
        pass
    raise BrokenError("it is no tar archive, or a header in it is damaged")


def _name(block: bytes) -> bytes:
    name = _until_nul(block[:100])
    prefix = _until_nul(block[345:500]) if block[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _until_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _number(field: bytes) -> int:
    """Octal digits, or GNU's binary form, which has the highest bit set."""
    if field[0] & 0x80:
        value = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
        if field[0] & 0x40:
            raise BrokenError("a negative number in a header")
        return value
    digits = field.strip(b" \0")
    if digits and not digits.isdigit():
        raise BrokenError(f"{digits[:20]!r} is no number for a header")
    try:
        return int(digits or b"0", 8)
    except ValueError as error:
        raise BrokenError(f"{digits[:20]!r} is no number for a header") from error


def _decimal(extended: dict[bytes, bytes], keyword: bytes, otherwise: int) -> int:
    value = extended.get(keyword)
    if not value:
        return otherwise
    if not value.isdigit() or len(value) > 20:  # noqa: PLR2004 - digits of 2^64
        raise BrokenError(f"{value[:20]!r} is no {keyword.decode()} for an extended header")
    return int(value)


def _content(stream: TarStream, size: int, meter: Meter) -> bytes:
    """The content of an extended header."""
    meter.header(size)
    return stream.read(size + -size % _BLOCK)[:size]


def _keywords(body: bytes) -> dict[bytes, bytes]:
    """The records of a pax header: ``LENGTH KEYWORD=VALUE`` and a line's end."""
    keywords, at = {}, 0
    while at < len(body):
        blank = body.find(b" ", at, at + 8)
        digits = body[at:blank] if blank > 0 else b""
        end = at + int(digits) if digits.isdigit() else 0
        keyword, equals, value = body[blank + 1 : end - 1].partition(b"=")
        if end <= blank or end > len(body) or not equals or body[end - 1 : end] != b"\n":
            raise BrokenError("an extended header is damaged")
        keywords[keyword] = value
        at = end
    return keywords
