"""A layout in a folder: what is read of one that a stranger wrote, and where one is written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.layout import Layout, LayoutWriter
from pipeline.adapters.registry import OCI_MANIFEST, Descriptor, Manifest
from pipeline.formats.dsse import BUNDLE
from pipeline.model import Digest, Repository, canonical
from pipeline.model.errors import DiskError, RegistryError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

HERE = Repository("registry.example.org", "team/vllm")


def manifest(name: str = "an image", subject: Manifest | None = None) -> Manifest:
    """One without blobs, of this name; about another one, if that is given."""
    about = {"subject": subject.descriptor.plain, "artifactType": BUNDLE} if subject else {}
    document = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "annotations": {"name": name}, **about}
    return Manifest(canonical(document), OCI_MANIFEST)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "layout"


def written(folder: Path, **tags: Manifest) -> Layout:
    """A layout in which these tags name these manifests."""
    with LayoutWriter.opened(folder, HERE) as layout:
        for tag, one in tags.items():
            layout.put_manifest(one, tag.replace("__", "-"))
    return Layout.read(folder)


def test_a_tag_that_moves_leaves_its_image_there_by_digest(folder: Path) -> None:
    old, new = manifest("old"), manifest("new")
    written(folder, latest=old, v1=old)
    layout = written(folder, latest=new, v2=new)
    assert layout.images() == {old.digest: ("v1",), new.digest: ("latest", "v2")}
    layout = written(folder, v1=new)
    assert layout.images() == {new.digest: ("latest", "v1", "v2"), old.digest: ()}
    assert layout.manifest(old.digest) == old


def test_the_same_content_has_the_same_index(tmp_path: Path) -> None:
    one, other = manifest("one"), manifest("other")
    written(tmp_path / "a", x=one, y=other)
    written(tmp_path / "b", y=other, x=one)
    assert (tmp_path / "a" / "index.json").read_bytes() == (tmp_path / "b" / "index.json").read_bytes()


def test_what_refers_to_an_image_is_found_and_is_no_image(folder: Path) -> None:
    image = manifest()
    statement = manifest("a statement", image)
    with LayoutWriter.opened(folder, HERE) as writer:
        writer.put_referrer(statement)
        writer.put_manifest(image, "latest")
    layout = Layout.read(folder)
    assert layout.images() == {image.digest: ("latest",)}
    assert [one.digest for one in layout.referrers(image.digest, BUNDLE).descriptors] == [statement.digest]
    assert layout.referrers(image.digest, "another/type").descriptors == ()
    with pytest.raises(RegistryError, match="1 things refer"):
        layout.referrers(image.digest, BUNDLE, max_count=0)


def test_a_tag_that_holds_statements_or_candidates_elsewhere_is_none_of_an_image(folder: Path) -> None:
    """A stranger's folder does not overwrite a list of statements, or a build key in staging."""
    image = manifest()
    names = (f"sha256-{'a' * 64}", f"sha256-{'a' * 64}.att", "b" * 64, "latest")
    layout = written(folder, **dict.fromkeys(names, image))
    assert layout.images() == {image.digest: ("latest",)}


def test_a_tag_that_no_registry_could_have_is_refused(folder: Path) -> None:
    written(folder, **{"../x": manifest()})
    with pytest.raises(RegistryError, match="is no tag"):
        Layout.read(folder).images()


@pytest.mark.parametrize("harm", ["changed", "gone", "link", "large", "longer"])
def test_bytes_that_are_not_those_of_their_name_are_refused_by_name(folder: Path, harm: str) -> None:
    image = manifest()
    layout = written(folder, latest=image)
    path = layout.path_of(image.digest)
    body = path.read_bytes()
    path.unlink()
    if harm == "changed":
        path.write_bytes(body.replace(b"an image", b"an eeeee"))
    elif harm == "link":
        (folder / "elsewhere").write_bytes(body)
        path.symlink_to(folder / "elsewhere")
    elif harm == "large":
        path.write_bytes(b" " * (5 << 20))
    elif harm == "longer":
        path.write_bytes(body + b" ")
    with pytest.raises(RegistryError, match=image.digest.hex):
        layout.manifest("latest")
    blob = Descriptor("x", image.digest, len(body))
    with pytest.raises(RegistryError, match=image.digest.hex), layout.stream(blob) as chunks:
        list(chunks)


def test_what_is_not_whole_yet_is_removed_by_the_next_writer(folder: Path) -> None:
    written(folder)
    for left in (folder / ".tagproof-left", folder / "blobs" / "sha256" / ".tagproof-left"):
        left.write_bytes(b"half")
    written(folder)
    assert list(folder.rglob(".*")) == []


def test_more_than_the_disk_has_room_for_is_refused_before_it_comes(folder: Path) -> None:
    huge = Descriptor("x", Digest.of(b"huge"), 1 << 60)
    with (
        LayoutWriter.opened(folder, HERE) as layout,
        pytest.raises(DiskError, match=r"1\.15 EB are to be written, and .* are free"),
    ):
        layout.mount_or_copy_blobs([huge], layout)


def test_two_writers_do_not_write_to_one_folder(folder: Path) -> None:
    with (
        LayoutWriter.opened(folder, HERE),
        pytest.raises(UsageError, match="another process writes to"),
        LayoutWriter.opened(folder, HERE),
    ):
        pass


def test_a_folder_of_anything_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with (
        pytest.raises(UsageError, match=r"holds thesis\.tex, which is of no image"),
        LayoutWriter.opened(tmp_path, HERE),
    ):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_holds_images_of_one_repository(folder: Path) -> None:
    written(folder)
    with (
        pytest.raises(UsageError, match=r"holds images of registry\.example\.org/team/vllm, not of a\.org/b"),
        LayoutWriter.opened(folder, Repository("a.org", "b")),
    ):
        pass


def test_a_folder_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be made"), LayoutWriter.opened(tmp_path / "file", HERE):
        pass


@pytest.mark.parametrize(
    ("mark", "index", "what"),
    [
        (None, None, "No such file"),
        ({"imageLayoutVersion": "2.0.0"}, {"manifests": []}, r"says version 2\.0\.0"),
        ({"imageLayoutVersion": "1.0.0"}, {"manifests": {}}, "lists no manifests"),
        ({"imageLayoutVersion": "1.0.0"}, {"manifests": [{"digest": "x"}]}, "is no descriptor"),
        ({"imageLayoutVersion": "1.0.0"}, {"manifests": []}, "does not say which repository"),
        (
            {"imageLayoutVersion": "1.0.0"},
            {"manifests": [], "annotations": {"tagproof.repository": "nowhere"}},
            "is no repository",
        ),
    ],
)
def test_a_folder_that_is_no_layout_of_a_repository_is_said(
    tmp_path: Path, mark: object, index: object, what: str
) -> None:
    for name, value in (("oci-layout", mark), ("index.json", index)):
        if value is not None:
            (tmp_path / name).write_text(json.dumps(value))
    with pytest.raises(UsageError, match=what):
        Layout.read(tmp_path)
