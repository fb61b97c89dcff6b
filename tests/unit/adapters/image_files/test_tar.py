"""The reader of tar archives, beside Python's own and GNU's, and with what hostile ones hold."""

from __future__ import annotations

import io
import subprocess
import tarfile
import time
import tracemalloc
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.image_files import limits
from pipeline.adapters.image_files.limits import BrokenError, Meter
from pipeline.adapters.image_files.tar import Entry, TarStream, entries
from tests.crafted import Item, folder, hard_link, link, tar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def listed(body: bytes, *, piece: int = 1 << 20) -> list[tuple[Entry, bytes]]:
    """Every entry with its bytes, from pieces of this size."""
    stream = TarStream(body[start : start + piece] for start in range(0, len(body), piece))
    return [
        (entry, b"" if entry.sparse else b"".join(stream.parts(entry.size)))
        for entry in entries(stream, Meter())
    ]


def paths(body: bytes) -> list[str]:
    return [entry.path for entry, _ in listed(body)]


# -- beside others ------------------------------------------------------------------------------------

NAMES = st.lists(
    st.text(
        st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=60
    ).filter(lambda name: name not in (".", "..")),
    min_size=1,
    max_size=6,
).map("/".join)
ITEMS = st.builds(
    Item,
    path=NAMES,
    kind=st.sampled_from(["file", "file", "directory", "link", "hard link", "device", "pipe"]),
    to=NAMES,
    mode=st.integers(0, 0o7777),
    uid=st.integers(0, 1 << 40),
    gid=st.integers(0, 1 << 40),
)


@given(
    st.lists(ITEMS, max_size=5),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
    st.integers(1, 2000),
)
def test_what_tarfile_writes_is_read_as_it_was_meant(items: list[Item], form: int, piece: int) -> None:
    """Names of any length and letters, large numbers, every kind, whatever pieces the stream comes in."""
    items = [
        Item(
            one.path,
            one.kind,
            one.path.encode() * 20 if one.kind == "file" else b"",
            one.to,
            one.mode,
            one.uid,
            one.gid,
        )
        for one in items
    ]
    body = tar(*items, form=form)
    for item, (entry, content) in zip(items, listed(body, piece=piece), strict=True):
        assert entry.path == f"/{item.path}"
        kinds = {"device": "other", "pipe": "other"}
        assert entry.kind == kinds.get(item.kind, item.kind)
        assert (entry.mode, entry.uid, entry.gid, content) == (item.mode, item.uid, item.gid, item.content)
        if item.kind == "link":
            assert entry.link == item.to
        if item.kind == "hard link":
            assert entry.link == f"/{item.to}"


@pytest.mark.parametrize("form", ["v7", "ustar", "oldgnu", "gnu", "pax"])
def test_what_gnu_tar_writes_is_read_as_tarfile_reads_it(tmp_path: Path, form: str) -> None:
    """Every format of GNU's program, with files, a folder, links, and names at the limits of each format."""
    (tmp_path / "root" / "d").mkdir(parents=True)
    long = "n" * (90 if form == "v7" else 99)
    for name in ("a", long, "d/e"):
        (tmp_path / "root" / name).write_bytes(name.encode() * 300)
    (tmp_path / "root" / "z").symlink_to("d/../a")
    (tmp_path / "root" / "y").hardlink_to(tmp_path / "root" / "a")
    words = ["tar", f"--format={form}", "-C", str(tmp_path / "root"), "-c", "."]
    body = subprocess.run(words, check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(body)) as known:
        expected = [
            (
                f"/{one.name}".replace("/.", "").replace("//", "/") or "/",
                one.mode,
                one.uid,
                one.size if one.isreg() else 0,
            )
            for one in known
        ]
    assert [(one.path, one.mode, one.uid, one.size) for one, _ in listed(body)] == expected


def test_a_sparse_file_has_its_real_size_and_says_that_it_is_sparse(tmp_path: Path) -> None:
    """GNU's old form and all three of pax; what follows is read from where it stands."""
    with (tmp_path / "holes").open("wb") as file:
        for number in range(60):  # more pieces than fit a header
            file.seek(number << 16)
            file.write(b"x" * 512)
    (tmp_path / "next").write_bytes(b"after it")
    size = (tmp_path / "holes").stat().st_size
    for form in (
        ["--format=gnu"],
        *(["--format=pax", f"--sparse-version={one}"] for one in ("0.0", "0.1", "1.0")),
    ):
        words = ["tar", "-S", *form, "-C", str(tmp_path), "-c", "holes", "next"]
        body = subprocess.run(words, check=True, capture_output=True).stdout
        (holes, _), (following, content) = listed(body)
        assert (holes.path, holes.size, holes.sparse) == ("/holes", size, True)
        assert (following.path, content) == ("/next", b"after it")


def test_names_that_are_not_utf8_are_written_out() -> None:
    """The byte, not a lone surrogate that no report could print."""
    header = tarfile.TarInfo("aXb").tobuf(tarfile.GNU_FORMAT)
    body = bytearray(header + bytes(1024))
    body[1] = 0xFF
    body[148:156] = b"%06o\0 " % (sum(body[:148]) + sum(body[156:512]) + 256)
    assert paths(bytes(body)) == [r"/a\xffb"]


def test_names_are_those_of_the_image() -> None:
    """Absolute names, dots and double slashes mean what they mean under the image's root."""
    body = tar(
        Item("/etc//x"), Item("./a/./b"), folder("./"), hard_link("c", "/etc/x"), link("d", "../../out")
    )
    found = [entry for entry, _ in listed(body)]
    assert [one.path for one in found] == ["/etc/x", "/a/b", "/", "/c", "/d"]
    assert [one.link for one in found[3:]] == ["/etc/x", "../../out"]


# -- hostile ------------------------------------------------------------------------------------------


def raw(kind: bytes, size: bytes, name: bytes = b"x", content: bytes = b"") -> bytes:
    """A header with these very bytes in it, its sum right, and what follows."""
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[124:136], block[156:157] = b"0000644\0", size.ljust(12, b"\0"), kind
    block[257:265] = b"ustar\00000"
    block[148:156] = b"%06o\0 " % (sum(block) + 8 * 32)
    return bytes(block) + content + bytes(-len(content) % 512)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (tar(Item("../x")), "climbs"),
        (tar(Item("a/../../x")), "climbs"),
        (tar(Item("a/..")), "climbs"),
        (tar(hard_link("a", "../x")), "climbs"),
        (tar(Item("/".join("a" * 257))), "257 folders deep"),
        (tar(Item("a" * 4096)), "4097 characters long"),
        (tar(link("a", "b" * 5000)), "links to a path of 5000 bytes"),
        (raw(b"x", b"%011o" % 12, content=b"12 path=a\0b\n") + raw(b"0", b"0"), "zero byte"),
        (b"x" * 512, "no tar archive"),
        (tar(Item("a"))[:300], "ends"),
        (tar(Item("a", content=b"x" * 600))[:1400], "ends"),
        (raw(b"Q", b"0"), "unknown kind b'Q'"),
        (raw(b"0", b"-1"), "is no number"),
        (raw(b"0", b"0o7"), "is no number"),
        (raw(b"0", b"9"), "is no number"),
        (raw(b"0", b"\xff" * 12), "negative"),
        (raw(b"x", b"%011o" % 10, content=b"9 path=ab\n"), "damaged"),
        (raw(b"x", b"%011o" % 8, content=b"0 path=\n"), "damaged"),
        (raw(b"x", b"%011o" % 9, content=b"99 path=\n"), "damaged"),
        (raw(b"x", b"%011o" % 12, content=b"12 size=-10\n") + raw(b"0", b"0"), "is no size"),
    ],
)
def test_what_is_malformed_or_climbs_is_said_so(body: bytes, says: str) -> None:
    """One error, of one kind, which says what."""
    with pytest.raises(BrokenError, match=says):
        listed(body)


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K"])
@pytest.mark.parametrize("size", [b"%011o" % (1 << 30), b"\x80" + b"\x7f" * 11])
def test_an_extended_header_that_claims_much_is_not_read(kind: bytes, size: bytes) -> None:
    """Before any byte of it is asked for."""
    with pytest.raises(BrokenError, match="an extended header of"):
        listed(raw(kind, size))


def endless(block: bytes) -> Iterator[bytes]:
    while True:
        yield block * 64


@pytest.mark.parametrize(
    ("block", "says"),
    [
        (raw(b"0", b"0"), "entries"),
        (raw(b"g", b"0"), "entries"),
        (raw(b"x", b"0"), "entries"),
        (raw(b"g", b"%011o" % (500 << 10), content=bytes(500 << 10)), "extended headers"),
        (raw(b"0", b"0", name=b"n" * 90), "of names"),
        (raw(b"2", b"0", name="\u00e4".encode() * 40), "of names"),
        (tar(link("l", "t" * 90))[:512], "of names"),
    ],
)
def test_what_never_ends_is_ended(block: bytes, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries, comments, extended headers and names without end: an error, in little memory."""
    monkeypatch.setattr(limits, "MAX_ENTRIES", 20_000)
    monkeypatch.setattr(limits, "MAX_NAME_BYTES", 1 << 20)
    monkeypatch.setattr(limits, "MAX_HEADER_BYTES", 8 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(BrokenError, match=says):
            for _ in entries(TarStream(endless(block)), Meter()):
                pass
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


def test_a_sparse_map_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each block of it says that one more follows."""
    monkeypatch.setattr(limits, "MAX_ENTRIES", 10_000)
    block = bytearray(raw(b"S", b"0"))
    block[257:265], block[482] = b"ustar  \0", 1
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)

    def pieces() -> Iterator[bytes]:
        yield bytes(block)
        yield from endless(b"\1" * 512)

    with pytest.raises(BrokenError, match="entries"):
        list(entries(TarStream(pieces()), Meter()))


def test_a_header_of_digits_takes_no_time() -> None:
    """Python's tarfile before 3.11.10 takes quadratic time for this one: hours."""
    body = raw(
        b"x", b"%011o" % limits.MAX_ONE_HEADER_BYTES, content=b"1" * limits.MAX_ONE_HEADER_BYTES
    ) + raw(b"0", b"0")
    started = time.monotonic()
    with pytest.raises(BrokenError, match="damaged"):
        listed(body)
    assert time.monotonic() - started < 2


@given(st.data())
def test_a_damaged_archive_is_an_archive_or_an_error(data: st.DataObject) -> None:
    """Whatever bytes are changed or lost, nothing but BrokenError comes out."""
    whole = tar(
        folder("d"),
        Item("d/" + "n" * 150, content=b"x" * 700),
        link("l", "k" * 150),
        hard_link("h", "d/x"),
        form=data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])),
    )
    body = bytearray(whole)
    for at, byte in data.draw(
        st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=6)
    ):
        body[at] = byte
        if data.draw(st.booleans()):  # with the sum set right again
            start = at // 512 * 512
            block = body[start : start + 512]
            block[148:156] = b" " * 8
            body[start + 148 : start + 156] = b"%06o\0 " % sum(block)
    with suppress(BrokenError):
        listed(bytes(body[: data.draw(st.integers(0, len(body)))]))
