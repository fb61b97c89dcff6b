"""Layers on each other: what is visible of them, and what a hostile one cannot do."""

from __future__ import annotations

import secrets
import threading
import tracemalloc
from collections import Counter
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, repeat
from posixpath import dirname
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.image_files import layered, limits
from pipeline.adapters.image_files.layered import Blob
from pipeline.adapters.image_files.nodes import Node, Unreadable
from pipeline.model import Digest
from pipeline.model.errors import ImageError, RegistryError
from tests.crafted import (
    Item,
    blob,
    contents,
    everything,
    folder,
    hard_link,
    image,
    link,
    pack,
    read,
    tar,
)
from tests.layer_strategies import Stack, stacks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from tests.crafted import Packing

OPAQUE = ".wh..wh..opq"


def a(path: str, content: bytes = b"x") -> Item:
    return Item(path, content=content)


# -- what is visible ----------------------------------------------------------------------------------


def test_the_uppermost_layer_counts() -> None:
    """For bytes, mode and owner."""
    files = image(
        tar(a("f", b"old"), a("g", b"kept")), tar(Item("f", content=b"new", mode=0o4755, uid=5, gid=6))
    )
    tree = read(files)
    assert tree["/f"] == (Node("/f", "file", 0o4755, 5, 6, 3, 1), b"new")
    assert tree["/g"] == (Node("/g", "file", 0o644, 0, 0, 4, 0), b"kept")


def test_a_whiteout_hides_what_lies_below_and_is_no_file() -> None:
    """A file, a whole folder, a folder that the same layer makes anew; in its own layer it hides nothing."""
    lower = tar(a("f"), folder("d"), a("d/x"), folder("e", 0o700), a("e/x"), a("g"))
    upper = tar(a(".wh.f"), a(".wh.d"), a(".wh.e"), a("e/y"), a(".wh.g"), a("g", b"own"))
    tree = read(image(lower, upper))
    assert set(tree) == {"/", "/e", "/e/y", "/g"}
    assert tree["/e"][0].mode == 0o755
    assert tree["/g"][1] == b"own"


def test_an_opaque_folder_hides_what_it_held_and_no_more() -> None:
    """The folder itself, and what its own layer puts in, stay, wherever in the layer the mark stands."""
    lower = tar(folder("d", 0o700), a("d/x"), folder("d/e"), a("d/e/y"), a("f"))
    tree = read(image(lower, tar(a("d/new"), a(f"d/{OPAQUE}"))))
    assert set(tree) == {"/", "/d", "/d/new", "/f"}
    assert tree["/d"][0].mode == 0o700


def test_a_file_in_place_of_a_folder_hides_what_was_in_it() -> None:
    """And what it hid stays hidden when a folder comes again."""
    layers = tar(folder("d"), a("d/old")), tar(a("d")), tar(folder("d"), a("d/new"))
    assert set(read(image(*layers[:2]))) == {"/", "/d"}
    assert set(read(image(*layers))) == {"/", "/d", "/d/new"}


def test_a_file_that_its_own_layer_replaces_by_a_folder_hides_nothing_less() -> None:
    """What lower layers have in that folder is gone, as if the file stood alone."""
    layers = tar(folder("d"), a("d/old")), tar(a("d"), folder("d", 0o711), a("d/new"))
    tree = read(image(*layers))
    assert set(tree) == {"/", "/d", "/d/new"}
    assert tree["/d"][0].mode == 0o711


def test_a_link_to_a_folder_hides_the_folder_and_is_not_followed() -> None:
    """As overlay file systems see it."""
    tree = read(image(tar(folder("d"), a("d/x"), folder("e")), tar(link("d", "e"))))
    assert tree["/d"][0].kind == "link"
    assert set(tree) == {"/", "/d", "/e"}


def test_a_folder_that_no_layer_names_is_there() -> None:
    """Engines make it, with mode 0755; one that a lower layer names is that one."""
    tree = read(image(tar(folder("b", 0o711)), tar(a("a/c/x"), a("b/x"))))
    assert tree["/a/c"][0] == Node("/a/c", "directory", 0o755, 0, 0, 0, 1)
    assert tree["/b"][0].mode == 0o711


def test_old_marks_of_aufs_are_no_files() -> None:
    """Layers of ten years ago hold them."""
    marks = tar(folder(".wh..wh.plnk"), a(".wh..wh.plnk/1.2"), a(".wh..wh.aufs"), a("f"))
    assert set(read(image(marks))) == {"/", "/f"}


def test_of_a_path_that_a_layer_holds_twice_the_later_counts() -> None:
    """Whatever the two are."""
    twice = tar(a("f", b"1"), a("f", b"2"), a("g", b"1"), link("g", "f"), link("h", "f"), a("h", b"2"))
    tree = read(image(twice))
    assert (tree["/f"][1], tree["/g"][0].kind, tree["/h"][1]) == (b"2", "link", b"2")


def test_devices_and_pipes_are_there_and_never_read() -> None:
    """Nobody is asked whether they are wanted."""
    body = tar(Item("null", "device"), Item("pipe", "pipe"), folder("d"), link("l", "d"))
    tree = read(image(body), lambda node: pytest.fail(f"{node} is no file"))
    assert {node.kind for node, _ in tree.values()} == {"other", "directory", "link"}


def test_what_is_not_wanted_is_not_held() -> None:
    """Its node comes without bytes."""
    tree = read(image(tar(a("f"), a("g"))), lambda node: node.path == "/g")
    assert (tree["/f"][1], tree["/g"][1]) == (None, b"x")


def test_an_image_without_layers_has_a_root() -> None:
    """And an empty layer changes nothing."""
    assert set(read(image())) == set()
    assert set(read(image(tar(), b"", tar(a("f"))))) == {"/", "/f"}


# -- hard links ---------------------------------------------------------------------------------------


def test_a_hard_link_is_the_file_that_it_names() -> None:
    """Also through another one, and when that file is hidden or not wanted."""
    lower = tar(Item("f", content=b"bytes", mode=0o755), hard_link("g", "f"), hard_link("h", "g"))
    files = image(lower, tar(a(".wh.f")))
    tree = read(files, lambda node: node.path != "/f")
    assert tree["/g"] == (Node("/g", "file", 0o755, 0, 0, 5, 0), b"bytes")
    assert tree["/h"][1] == b"bytes"
    assert set(tree) == {"/", "/g", "/h"}


def test_a_hard_link_is_what_its_file_was_then() -> None:
    """The archive brings another file of that name afterwards."""
    tree = read(image(tar(a("f", b"1"), hard_link("g", "f"), a("f", b"2"))))
    assert (tree["/f"][1], tree["/g"][1]) == (b"2", b"1")


def test_a_hard_link_to_a_link_is_a_link() -> None:
    """As link(2) makes it."""
    tree = read(image(tar(link("l", "there"), hard_link("m", "l"))))
    assert (tree["/m"][0].kind, tree["/m"][0].target) == ("link", "there")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (tar(hard_link("a", "b")), "/a is a hard link to /b, which this layer does not hold"),
        (tar(hard_link("a", "a")), "/a is a hard link to /a, which this layer does not hold"),
        (tar(hard_link("a", "b"), hard_link("b", "a")), "which this layer does not hold"),
        (tar(hard_link("a", "f"), Item("b")), "which this layer does not hold"),
        (tar(folder("d"), hard_link("a", "d")), "/a is a hard link to the folder /d"),
    ],
)
def test_a_hard_link_to_nothing_is_an_error(body: bytes, says: str) -> None:
    """Also where a lower layer holds it: an overlay engine fails as well (link(2): no such file)."""
    with pytest.raises(ImageError, match=says):
        read(image(tar(a("f")), body))


# -- against a reading from the bottom up ---------------------------------------------------------------


@given(stacks(), st.data())
def test_reading_downwards_shows_what_unpacking_upwards_gives(stack: Stack, data: st.DataObject) -> None:
    """Kinds, bytes, modes and links of random layers with every kind of entry and mark, packed in any way."""
    packed = []
    for marks, items in stack.layers:
        where = data.draw(st.integers(0, len(items)))  # marks may stand anywhere in a layer
        body = tar(*items[:where], *marks, *items[where:])
        packed.append(blob(pack(body, data.draw(st.sampled_from(["plain", "gzip", "zstd"])))))
    seen = {
        path: (node.kind, content or b"", node.mode, node.target)
        for path, (node, content) in read(image(*packed)).items()
        if path != "/"
    }
    assert seen == stack.unpacked.tree


@given(stacks())
def test_nothing_is_in_what_is_no_folder(stack: Stack) -> None:
    """Every node is in a folder that is a node too, and each path comes once where no layer has it twice."""
    files = image(*(tar(*marks, *items) for marks, items in stack.layers))
    nodes = [node for node, _ in files.walk(everything)]
    tree = {node.path: node for node in nodes}
    assert all(tree[dirname(path)].kind == "directory" for path in tree)
    doubled = {
        f"/{path}"
        for _, items in stack.layers
        for path, times in Counter(item.path for item in items).items()
        if times > 1
    }
    assert {path for path, times in Counter(node.path for node in nodes).items() if times > 1} <= doubled


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


def test_members_and_frames_follow_each_other() -> None:
    """As eStargz and zstd:chunked have them, with padding and frames that are to be skipped."""
    body = tar(a("f", b"bytes" * 1000))
    half = len(body) // 2
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0skip"
    for packed in (
        pack(body[:half], "gzip") + pack(body[half:], "gzip") + bytes(512),
        skippable + pack(body[:half], "zstd") + skippable + pack(body[half:], "zstd") + skippable,
    ):
        assert contents(image(packed)) == {"/f": b"bytes" * 1000}


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


def test_a_large_file_lies_in_one_spool_and_is_whole() -> None:
    """Two that do not fit in memory, the larger first, one by a hard link."""
    first, second = b"".join(b"%8d" % one for one in range(400_000)), b"x" * (2 << 20)
    tree = contents(image(tar(a("1", first), a("2", second), hard_link("3", "1"))))
    assert tree == {"/1": first, "/2": second, "/3": first}


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


def test_layers_do_not_share_what_they_were_asked_for() -> None:
    """A second walk through the same image gives the same."""
    files = image(tar(a("f"), hard_link("g", "f")), tar(a(".wh.f")))
    first = read(files)
    assert read(files) == first
    assert set(first) == {"/", "/g"}
