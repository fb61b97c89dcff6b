"""Layouts and archives: which image they hold, and what damaged and hostile ones do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.adapters.image_files import manifest
from pipeline.adapters.image_files.archive import open_archive, open_layout, open_stream
from pipeline.adapters.registry import OCI_INDEX, OCI_MANIFEST
from pipeline.model import Digest
from pipeline.model.errors import ImageError
from tests.crafted import (
    Item,
    archive,
    blob,
    config_of,
    contents,
    descriptor,
    image,
    layout,
    layout_files,
    link,
    pack,
    read,
    saved_files,
    stored,
    tar,
)

if TYPE_CHECKING:
    from pathlib import Path

LAYERS = (tar(Item("a", content=b"1"), Item("b")), tar(Item("a", content=b"2"), Item(".wh.b")))


def rewritten(place: Path, name: str, **changes: Any) -> Path:
    """A layout whose one JSON file says something else."""
    document = json.loads((place / name).read_text())
    (place / name).write_text(json.dumps(document | changes))
    return place


@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
def test_an_archive_is_read_packed_or_not(tmp_path: Path, packing: Any) -> None:
    """A layout, and what old engines save."""
    blobs, named = stored(LAYERS, "zstd")
    expected = read(image(*LAYERS))
    for files in (layout_files(blobs, [named]), saved_files(LAYERS)):
        path = archive(tmp_path / "archive", files, packing)
        assert read(open_archive(path)) == expected


def test_an_archive_may_come_in_pieces() -> None:
    """As the engine gives it."""
    blobs, named = stored(LAYERS)
    body = tar(*(Item(name, content=content) for name, content in layout_files(blobs, [named])))
    pieces = (body[start : start + 999] for start in range(0, len(body), 999))
    assert read(open_stream(pieces, "x")) == read(image(*LAYERS))


def test_an_old_archive_saves_a_layer_once_and_links_to_it(tmp_path: Path) -> None:
    """Two layers with the same bytes."""
    config = config_of([LAYERS[0]] * 2)
    listed = [{"Config": "c.json", "Layers": ["one/layer.tar", "two/layer.tar"]}]
    body = tar(
        Item("one/layer.tar", content=LAYERS[0]),
        link("two/layer.tar", "../one/layer.tar"),
        Item("c.json", content=config),
        Item("manifest.json", content=json.dumps(listed).encode()),
    )
    (tmp_path / "saved.tar").write_bytes(body)
    files = open_archive(tmp_path / "saved.tar")
    assert contents(files) == {"/a": b"1", "/b": b""}
    assert {one.digest for one in files.layers} == {str(Digest.of(LAYERS[0]))}


def test_an_old_archive_whose_configuration_counts_other_layers_is_refused(tmp_path: Path) -> None:
    """Nothing would say which digest is whose."""
    files = dict(saved_files(LAYERS))
    files["2/layer.tar"] = LAYERS[0]
    listed = json.loads(files["manifest.json"])
    listed[0]["Layers"].append("2/layer.tar")
    files["manifest.json"] = json.dumps(listed).encode()
    with pytest.raises(ImageError, match="3 layers, and 2 digests of them"):
        open_archive(archive(tmp_path / "saved.tar", files.items()))


def test_an_archive_that_ends_before_its_index_is_said_to_end(tmp_path: Path) -> None:
    """Engines write the index last; that it is not there is not what is wrong."""
    body = tar(Item("blobs/sha256/x", content=bytes(9000)), Item("index.json"))
    (tmp_path / "x").write_bytes(body[:4000])
    with pytest.raises(ImageError, match="it ends 5728 bytes too early"):
        open_archive(tmp_path / "x")


def test_an_index_within_an_index_is_followed(tmp_path: Path) -> None:
    """As archives have it that list images by name."""
    blobs, named = stored(LAYERS)
    inner = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [named]}).encode()
    blobs[Digest.of(inner)] = inner
    path = archive(tmp_path / "x.tar", layout_files(blobs, [descriptor(OCI_INDEX, inner)]))
    with open_archive(path) as files:
        assert files.digest == named["digest"]


def test_an_archive_of_two_images_is_ambiguous(tmp_path: Path) -> None:
    """`docker save a b`."""
    first, one = stored(LAYERS)
    second, two = stored(LAYERS[:1])
    path = archive(tmp_path / "x.tar", layout_files(first | second, [one, two]))
    with pytest.raises(ImageError, match=r"holds 2 images(.|\n)*save one image alone"):
        open_archive(path)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("index.json", {"manifests": []}, "has no image for linux/.*, but for: nothing"),
        ("index.json", {"manifests": [{"digest": "sha256:1"}]}, "its index is damaged"),
        ("index.json", {"manifests": 5}, "its index is damaged"),
        ("index.json", {"mediaType": OCI_MANIFEST}, "no manifest that we understand"),
    ],
)
def test_an_index_that_is_none_is_said_so(
    tmp_path: Path, name: str, changes: dict[str, Any], says: str
) -> None:
    """Whatever it holds instead."""
    with pytest.raises(ImageError, match=says):
        open_layout(rewritten(layout(tmp_path, LAYERS), name, **changes))


def test_a_layout_that_lacks_a_layer_says_which(tmp_path: Path) -> None:
    """When that layer is read."""
    blobs, named = stored(LAYERS)
    gone = Digest.of(LAYERS[0])
    path = archive(
        tmp_path / "x.tar", layout_files({one: body for one, body in blobs.items() if one != gone}, [named])
    )
    with pytest.raises(
        ImageError, match=f"layer 1 of 2 .{gone}. cannot be read: it lacks blobs/sha256/{gone.hex}"
    ):
        read(open_archive(path))
    place = layout(tmp_path / "folder", LAYERS)
    (place / f"blobs/sha256/{gone.hex}").unlink()
    with pytest.raises(ImageError, match=f"layer 1 of 2 .{gone}. cannot be read: No such file"):
        read(open_layout(place))


@pytest.mark.parametrize("which", ["manifest", "config"])
def test_a_manifest_or_configuration_with_another_digest_is_refused(tmp_path: Path, which: str) -> None:
    """One byte more: of the same meaning, but not what was named."""
    place = layout(tmp_path, LAYERS)
    _, named = stored(LAYERS)
    digest = named["digest"] if which == "manifest" else str(Digest.of(config_of(LAYERS)))
    file = place / f"blobs/sha256/{digest.removeprefix('sha256:')}"
    file.write_bytes(file.read_bytes().replace(b" ", b"\t", 1))
    with pytest.raises(ImageError, match="its bytes have the digest"):
        open_layout(place)


def test_a_link_in_a_layout_gives_nothing_away(tmp_path: Path) -> None:
    """A layer that is a link to a file of this machine has other bytes than its digest says."""
    (tmp_path / "secret").write_bytes(tar(Item("secret")))
    place = layout(tmp_path / "layout", LAYERS)
    layer = place / f"blobs/sha256/{Digest.of(LAYERS[1]).hex}"
    layer.unlink()
    layer.symlink_to(tmp_path / "secret")
    with pytest.raises(ImageError, match="cannot be read"):
        read(open_layout(place))


@pytest.mark.parametrize(
    ("document", "says"),
    [
        (b"{", "all of it"),
        (b"[]", "all of it"),
        (b"{}", "rootfs"),
        (b"[" * 100_000, "all of it"),
        (b'{"rootfs": {"diff_ids": ["md5:1"]}}', r"rootfs.diff_ids.0"),
        (b'{"rootfs": {"diff_ids": []}, "config": {"Env": [5]}}', r"config.Env.0"),
    ],
)
def test_a_configuration_that_is_none_is_said_so(document: bytes, says: str) -> None:
    """With the place in it."""
    with pytest.raises(ImageError, match=f"its configuration is not one of an image: {says}"):
        manifest.layered("x", "", document, [], platform=None)


def test_what_a_configuration_leaves_out_is_empty() -> None:
    """Images from scratch say next to nothing; a history that does not fit the layers names none of them."""
    bare = json.dumps({"rootfs": {"diff_ids": []}, "config": None, "history": [{}] * 3}).encode()
    files = manifest.layered("x", "", bare, [blob(b"")], platform=None)
    assert (files.config.env, files.config.platform, files.config.history) == ((), "", ("", "", ""))
    assert [one.made_by for one in files.layers] == [""]


def test_more_layers_than_any_engine_makes_are_refused(tmp_path: Path) -> None:
    """A manifest of four megabytes could name one empty layer twenty thousand times."""
    with pytest.raises(ImageError, match="has 300 layers, more than 256"):
        open_layout(layout(tmp_path, [b""] * 300))


@pytest.mark.parametrize("listed", [b"{", b"[]", b"[{}]", b"[1, 2]", b'[{"Config": "c", "Layers": 5}]'])
def test_a_list_of_saved_images_that_is_none_is_said_so(tmp_path: Path, listed: bytes) -> None:
    """In what claims to be saved by an old engine."""
    path = archive(tmp_path / "x.tar", [("manifest.json", listed)])
    with pytest.raises(ImageError, match=r"does not list one image|it lacks c"):
        open_archive(path)


def test_a_large_manifest_is_not_read(tmp_path: Path) -> None:
    """Four megabytes are what registries take."""
    path = archive(tmp_path / "x.tar", [("index.json", bytes(5 << 20))])
    with pytest.raises(ImageError, match=r"its index\.json has 5242880 bytes, too many"):
        open_archive(path)


@pytest.mark.parametrize(
    "body", [b"", b"nonsense" * 100, b"\x1f\x8b", pack(b"", "gzip"), tar(Item("x")), tar()]
)
def test_what_is_no_archive_of_an_image_is_said_so(tmp_path: Path, body: bytes) -> None:
    """An empty file, any file, packed nothing, any archive; what may be named instead."""
    (tmp_path / "x").write_bytes(body)
    with pytest.raises(ImageError, match=r"x cannot be read as an image: .*\nhint: name an OCI layout"):
        open_archive(tmp_path / "x")


def test_a_truncated_archive_is_an_error(tmp_path: Path) -> None:
    """Wherever it ends: when it is opened, or when the layer that it cuts is read."""
    blobs, named = stored(LAYERS)
    whole = archive(tmp_path / "x", layout_files(blobs, [named])).read_bytes().rstrip(b"\0")
    for end in range(0, len(whole), 211):
        (tmp_path / "x").write_bytes(whole[:end])
        with pytest.raises(ImageError):
            read(open_archive(tmp_path / "x"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=4)), max_size=4))
def test_a_damaged_archive_is_the_image_or_an_error(tmp_path: Path, changes: list[tuple[int, bytes]]) -> None:
    """Whatever bytes are changed: what is read in the end is what the digests say."""
    blobs, named = stored(LAYERS)
    body = bytearray(archive(tmp_path / "x", layout_files(blobs, [named])).read_bytes())
    for at, more in changes:
        body[at % len(body) : at % len(body) + len(more)] = more
    (tmp_path / "x").write_bytes(body)
    try:
        files = open_archive(tmp_path / "x")
        tree = contents(files)
    except ImageError:
        return
    if files.digest == named["digest"]:
        assert tree == {"/a": b"2"}
