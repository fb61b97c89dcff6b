"""Layers on each other: what is visible of them."""

from __future__ import annotations

from collections import Counter
from posixpath import dirname

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.adapters.image_files.nodes import Node
from pipeline.model.errors import ImageError
from tests.crafted import (
    Item,
    a,
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

OPAQUE = ".wh..wh..opq"


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


# -- as they are packed and read ------------------------------------------------------------------------


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


def test_a_large_file_lies_in_one_spool_and_is_whole() -> None:
    """Two that do not fit in memory, the larger first, one by a hard link."""
    first, second = b"".join(b"%8d" % one for one in range(400_000)), b"x" * (2 << 20)
    tree = contents(image(tar(a("1", first), a("2", second), hard_link("3", "1"))))
    assert tree == {"/1": first, "/2": second, "/3": first}


def test_layers_do_not_share_what_they_were_asked_for() -> None:
    """A second walk through the same image gives the same."""
    files = image(tar(a("f"), hard_link("g", "f")), tar(a(".wh.f")))
    first = read(files)
    assert read(files) == first
    assert set(first) == {"/", "/g"}
