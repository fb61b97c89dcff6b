"""Layers that contradict themselves, lie, break off or never end: an error each, and nothing stays behind."""

from __future__ import annotations

import secrets
import threading
import tracemalloc
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.image_files import layered, limits
from pipeline.adapters.image_files.layered import Blob
from pipeline.adapters.image_files.nodes import Unreadable
from pipeline.model import Digest
from pipeline.model.errors import ImageError, RegistryError
from tests.crafted import (
    a,
    blob,
    contents,
    everything,
    folder,
    image,
    link,
    pack,
    read,
    tar,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.crafted import Packing


# -- contradictions and lies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (tar(folder("d"), a("d/x"), a("d")), "/d is a folder with something in it, and then none"),
        (tar(link("d", "/etc"), a("d/passwd")), "/d/passwd is in /d, which is no folder"),
        (tar(a("f"), a("f/g/h")), "/f/g/h is in /f, which is no folder"),
        (tar(a("d/.wh..")), "whiteout in /d that names '.'"),
        (tar(a("d/.wh.")), "whiteout in /d that names ''"),
    ],
)
def test_a_layer_that_contradicts_itself_is_an_error(body: bytes, says: str) -> None:
    """A link, and then something through it: the classic way out of a root."""
    with pytest.raises(ImageError, match=says):
        read(image(tar(a("etc/passwd")), body))


def test_an_error_says_which_layer_of_which_image_and_what_to_do() -> None:
    """Number, digest, what is wrong, hint."""
    bad = blob(b"nonsense" * 100)
    with pytest.raises(ImageError) as raised:
        read(image(tar(a("f")), bad, tar(a("g"))))
    assert f"an image: layer 2 of 3 ({bad.digest}) cannot be read: it is no tar archive" in str(raised.value)
    assert "hint:" in str(raised.value)


def test_other_bytes_than_the_digest_says_are_an_error() -> None:
    """Seen at the end, so all that came before it counts for nothing."""
    true, false = tar(a("f", b"true")), tar(a("f", b"lies"))
    with pytest.raises(ImageError, match=f"its bytes have the digest {Digest.of(false)}"):
        read(image(blob(false, digest=Digest.of(true))))


def test_bytes_after_the_end_of_the_archive_are_hashed_too() -> None:
    """A layer is not taken for good because its beginning is."""
    body = tar(a("f"))
    with pytest.raises(ImageError, match="its bytes have the digest"):
        read(image(blob(body + b"more", digest=Digest.of(body))))


def test_more_bytes_than_the_manifest_says_are_an_error() -> None:
    """A registry that sends without end is stopped."""
    body = tar(a("f", bytes(5000)))
    with pytest.raises(ImageError, match="more than the 100 bytes that the manifest says"):
        read(image(blob(body, size=100)))


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
def test_a_truncated_layer_is_an_error(packing: Packing) -> None:
    """Wherever it ends, even where digest and size say that this is all."""
    whole = pack(tar(a("f", b"".join(b"%d" % number for number in range(2000)))), packing)
    for end in range(1, len(whole) - (2048 if packing == "plain" else 0), 97):
        with pytest.raises(ImageError, match=r"too early|no tar archive"):
            read(image(whole[:end]))


# -- too much ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_a_bomb_is_stopped_in_little_memory(packing: Packing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Zeros, of which the layer holds nearly nothing; in a file that is wanted, and in one that is not."""
    bomb = pack(tar(a("zeros", bytes(64 << 20))), packing)
    monkeypatch.setattr(limits, "RATIO_FREE_BYTES", 1 << 20)
    for wanted in (True, False):
        tracemalloc.start()
        try:
            with pytest.raises(ImageError, match=f"{len(bomb)} bytes that become more than"):
                read(image(bomb), lambda _node, wanted=wanted: wanted)  # type: ignore[misc]
            assert tracemalloc.get_traced_memory()[1] < 32 << 20
        finally:
            tracemalloc.stop()


def test_all_layers_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small bombs are a large one."""
    monkeypatch.setattr(limits, "MAX_UNPACKED_BYTES", 3 << 20)
    with pytest.raises(ImageError, match="when unpacked"):
        read(image(*[tar(a("f", bytes(1 << 20)))] * 4), lambda _node: False)


@pytest.mark.parametrize(("limit", "most"), [("MAX_ENTRIES", 300), ("MAX_NAME_BYTES", 100_000)])
def test_folders_that_nobody_names_are_counted(
    limit: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three files, each in two hundred folders of its own."""
    monkeypatch.setattr(limits, limit, most)
    deep = [a("/".join(letter * 200)) for letter in "abc"]
    assert len(read(image(tar(deep[0])))) == 201
    with pytest.raises(ImageError, match=r"entries|of names"):
        read(image(tar(*deep)))


@pytest.mark.parametrize("packing", ["gzip", "zstd"])
def test_empty_members_without_end_are_stopped(packing: Packing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes a new decompressor, and gives nothing."""
    monkeypatch.setattr(limits, "MAX_ENTRIES", 1000)
    with pytest.raises(ImageError, match="entries"):
        read(image(pack(b"", packing) * 2000))


def test_a_window_that_would_take_too_much_memory_is_refused() -> None:
    """A zstd frame of a few bytes may ask for gigabytes; 128 MiB are what zstd itself gives."""
    frame = b"\x28\xb5\x2f\xfd" + b"\0" + bytes([22 << 3]) + b"\x01\0\0"  # a window of 4 GiB, one empty block
    with pytest.raises(ImageError, match="compression is damaged"):
        read(image(frame))


def test_what_cannot_be_read_is_listed_and_the_rest_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file beyond all libraries."""
    monkeypatch.setattr(layered, "MAX_FILE_BYTES", 10)
    files = image(tar(a("big", bytes(11)), a("small")))
    assert contents(files) == {"/big": Unreadable("it has 11 bytes, and is not read"), "/small": b"x"}


@dataclass
class Source:
    """Where a layer comes from; it knows who read it last, and whether it was closed."""

    pieces: Callable[[], Iterator[bytes]]
    reader: int | None = None
    is_open: bool = False

    @contextmanager
    def open(self) -> Generator[Iterator[bytes]]:
        self.is_open = True
        try:
            yield self._read()
        finally:
            assert self.is_open
            self.is_open = False

    def _read(self) -> Iterator[bytes]:
        for piece in self.pieces():
            assert self.is_open
            self.reader = threading.get_ident()
            yield piece


def is_at_work() -> bool:
    return any(thread.name == "layer" for thread in threading.enumerate())


def test_a_reader_that_stops_leaves_no_thread_and_no_source_behind() -> None:
    """At once, though pieces lie ready that nobody takes; and no thread but the reader's asked for any."""
    source = Source(lambda: chain([tar(a("f"))[:1024]], repeat(bytes(1 << 20))))
    with closing(image(Blob(Digest.of(b""), 1 << 50, source.open)).walk(everything)) as walk:
        assert next(walk)[0].path == "/f"
        assert (source.is_open, is_at_work()) == (True, True)
    assert (source.reader, source.is_open, is_at_work()) == (threading.get_ident(), False, False)


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
def test_a_damaged_layer_leaves_no_thread_and_no_source_behind(packing: Packing) -> None:
    """The damage is in its first header; much of it was never asked for."""
    body = pack(b"damaged!" * 64 + secrets.token_bytes(64 << 20), packing)
    source = Source(lambda: (body[at : at + (1 << 20)] for at in range(0, len(body), 1 << 20)))
    with pytest.raises(ImageError, match="no tar archive"):
        read(image(Blob(Digest.of(body), len(body), source.open)))
    assert (source.reader, source.is_open, is_at_work()) == (threading.get_ident(), False, False)


def test_what_a_source_raises_is_raised_and_nothing_is_left_behind() -> None:
    """While one thread waits for pieces, and the other for room."""

    def broken() -> Iterator[bytes]:
        yield tar(a("f", bytes(1 << 20)))[: 1 << 19]
        raise RegistryError("it hung up", hint="")

    source = Source(broken)
    with pytest.raises(RegistryError, match="it hung up"):
        read(image(Blob(Digest.of(b""), 1 << 50, source.open)))
    assert (source.is_open, is_at_work()) == (False, False)
