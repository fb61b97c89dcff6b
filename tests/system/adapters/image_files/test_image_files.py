"""The files of an image, the same from wherever it lies, and the same as what the engine makes of them."""

from __future__ import annotations

import io
import json
import secrets
import subprocess
import tarfile
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, Phase, assume, given, settings

from pipeline.adapters.image_files.folder import Folder
from pipeline.adapters.image_files.nodes import Layer
from pipeline.adapters.image_files.opening import open_image
from pipeline.adapters.image_files.overlay import above
from pipeline.adapters.registry import OCI_INDEX, OCI_MANIFEST, Manifest
from pipeline.model import Digest
from pipeline.model.errors import EngineError, ImageError, RegistryError, UsageError
from tests.crafted import (
    Item,
    archive,
    descriptor,
    folder,
    hard_link,
    image,
    layout,
    layout_files,
    link,
    read,
    saved_files,
    stored,
    tar,
)
from tests.layer_strategies import OPAQUE, WHITEOUT, Stack, Unpacked, stacks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pipeline.adapters.registry import Registry
    from tests.crafted import Packing
    from tests.system.conftest import Answer, Bench, Proxy

EXAMPLES = 12
"""Images that the engine unpacks: half a second each."""

LAYERS = (
    tar(
        folder("bin"),
        Item("bin/x", content=b"program" * 9, mode=0o755),
        hard_link("bin/y", "bin/x"),
        folder("old"),
        Item("old/z"),
        folder("kept", 0o1777),
        link("lib", "kept/../bin"),
        Item("big", content=b"".join(b"%9d" % one for one in range(200_000))),
    ),
    tar(Item(".wh.old"), folder("kept", 0o1777), Item("kept/new", uid=7, gid=8), Item("pipe", "pipe")),
    tar(folder("bin"), Item("bin/x", content=b"replaced", mode=0o700), hard_link("again", "bin/x")),
)


def push(registry: Registry, layers: Sequence[bytes], packing: Packing) -> Digest:
    """An image in a registry; its digest."""
    blobs, named = stored(layers, packing)
    for digest, body in blobs.items():
        if str(digest) != named["digest"]:
            registry.put_blob(body)
    return registry.put_manifest(Manifest(blobs[Digest(named["digest"])], OCI_MANIFEST))


@contextmanager
def loaded(path: Path) -> Iterator[str]:
    """An archive in the engine's store, under a name of its own, while the block lasts."""
    done = subprocess.run(["docker", "load", "-q", "-i", path], check=True, capture_output=True, text=True)
    name, image_id = f"test/{secrets.token_hex(6)}:latest", done.stdout.split()[-1]
    subprocess.run(["docker", "tag", image_id, name], check=True)
    try:
        yield name
    finally:
        words = ["docker", "rmi", "-f", name, image_id]
        subprocess.run(words, check=False, capture_output=True)


@pytest.mark.needs("registry", "engine")
@pytest.mark.parametrize("packing", ["plain", "gzip", "zstd"])
def test_the_same_image_is_the_same_from_everywhere(tmp_path: Path, bench: Bench, packing: Packing) -> None:
    """Nodes, layers and bytes; configuration and history; digest and name."""
    expected = read(image(*LAYERS))
    assert len(expected) == 10
    digest = push(bench.staging, LAYERS, packing)
    bench.staging.put_manifest(bench.staging.manifest(digest) or pytest.fail("it is not there"), "a-tag")
    blobs, named = stored(LAYERS, packing)
    packed = archive(tmp_path / "layout.tar", layout_files(blobs, [named]))
    with loaded(packed) as name:
        sources = [
            f"{bench.staging.repository}@{digest}",
            f"{bench.staging.repository}:a-tag",
            str(layout(tmp_path / "layout", LAYERS, packing)),
            str(packed),
            str(archive(tmp_path / "layout.tar.packed", layout_files(blobs, [named]), "zstd")),
            str(archive(tmp_path / "saved.tar.gz", saved_files(LAYERS), "gzip")),
            f"engine:{name}",
        ]
        for source in sources:
            files = open_image(source)
            assert read(files) == expected, source
            assert dict(files.config.env) == {"PATH": "/bin", "EMPTY": "", "A": "b=c"}
            assert (files.config.entrypoint, files.config.command) == (("/bin/x",), ("--help",))
            assert (files.config.user, files.config.labels) == ("1000:0", {"who": "me"})
            assert (files.config.platform, files.config.history[0]) == ("linux/amd64", "ENV A=b=c")
            assert [one.made_by for one in files.layers] == ["step 0", "step 1", "step 2"]
            if "saved" not in source:
                assert files.digest == str(digest)
                assert sum(one.size for one in files.layers) == sum(
                    one["size"] for one in json.loads(blobs[digest])["layers"]
                )
    assert open_image(sources[1]).name == sources[0]


def test_a_folder_is_read_as_the_image_that_was_unpacked_there(tmp_path: Path) -> None:
    """By GNU tar, which knows nothing of us; all but the owners, whom only root could set."""
    subprocess.run(["tar", "-x", "-p", "-C", tmp_path, "-f", "-"], input=LAYERS[0], check=True)
    tree, files = read(image(LAYERS[0])), Folder(tmp_path)
    del tree["/"]
    seen = {
        path: (replace(node, uid=0, gid=0), data) for path, (node, data) in read(files).items() if path != "/"
    }
    assert seen == tree
    assert (files.digest, files.layers) == ("", (Layer("", 0),))


# -- in a registry --------------------------------------------------------------------------------------


def several(bench: Bench, platforms: Sequence[str]) -> tuple[Digest, list[Digest]]:
    """An index of one image for each platform, and what BuildKit lists beside them; with their digests."""
    digests = [push(bench.staging, (LAYERS[0], tar(Item(platform[6:]))), "zstd") for platform in platforms]
    listed = []
    for platform, digest in zip(platforms, digests, strict=True):
        found = bench.staging.manifest(digest)
        assert found
        system, architecture = platform.split("/")
        described = {"os": system, "architecture": architecture}
        listed.append(descriptor(OCI_MANIFEST, found.body, platform=described))
        provenance = Manifest(found.body + b" ", OCI_MANIFEST)
        bench.staging.put_manifest(provenance)
        unknown = {"os": "unknown", "architecture": "unknown"}
        listed.append(descriptor(OCI_MANIFEST, provenance.body, platform=unknown))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": listed}
    return bench.staging.put_manifest(Manifest(json.dumps(index).encode(), OCI_INDEX)), digests


@pytest.mark.needs("registry")
def test_of_an_index_the_image_for_the_platform_is_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of this machine unless another is named; its own digest is the image's."""
    index, (amd, arm) = several(bench, ["linux/amd64", "linux/arm64"])
    name = f"{bench.staging.repository}@{index}"
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert open_image(name).digest == str(arm)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    files = open_image(name)
    assert (files.digest, files.name) == (str(amd), f"{bench.staging.repository}@{amd}")
    assert "/amd64" in read(files)
    with pytest.raises(ImageError, match=r"no image for linux/s390x, but for: linux/amd64, linux/arm64\n"):
        open_image(name, platform="linux/s390x")
    with pytest.raises(ImageError, match="is for linux/amd64, not for linux/arm64"):
        open_image(f"{bench.staging.repository}@{amd}", platform="linux/arm64")


@pytest.mark.needs("registry")
def test_an_index_of_two_images_for_one_platform_is_ambiguous(bench: Bench) -> None:
    """We do not choose."""
    index, _ = several(bench, ["linux/amd64"])
    document = json.loads((bench.staging.manifest(index) or pytest.fail("it is not there")).body)
    other = bench.staging.manifest(push(bench.staging, LAYERS[:1], "gzip"))
    assert other
    document["manifests"].append(
        descriptor(OCI_MANIFEST, other.body, platform={"os": "linux", "architecture": "amd64"})
    )
    twice = bench.staging.put_manifest(Manifest(json.dumps(document).encode(), OCI_INDEX))
    with pytest.raises(ImageError, match="holds 2 images for linux/amd64"):
        open_image(f"{bench.staging.repository}@{twice}", platform="linux/amd64")


def behind(proxy: Proxy, registry: Registry) -> str:
    """The repository's name, through the proxy."""
    return f"{proxy.host}/{registry.repository.path}"


@pytest.mark.needs("registry")
def test_a_connection_that_breaks_goes_on_where_it_broke(bench: Bench, proxy: Proxy) -> None:
    """Each answer holds one part of the layer; what came already is not asked for again."""
    layers = (tar(Item("large", content=secrets.token_bytes(8 << 20))), LAYERS[0])
    digest = push(bench.staging, layers, "gzip")
    manifest = bench.staging.manifest(digest)
    assert manifest
    largest = max(manifest.layers, key=lambda one: one.size)

    def cut(method: str, path: str, answer: Answer) -> Answer:
        status, headers, body = answer
        part = largest.size // 3
        return status, headers, body[:part] if method == "GET" and str(largest.digest) in path else body

    proxy.after = cut
    proxy.whole_length = True
    assert read(open_image(f"{behind(proxy, bench.staging)}@{digest}")) == read(image(*layers))
    assert sum(str(largest.digest) in path for method, path in proxy.seen if method == "GET") >= 3


@pytest.mark.needs("registry")
def test_a_layer_that_is_not_what_its_digest_says_is_refused(bench: Bench, proxy: Proxy) -> None:
    """Whoever stands between us and the registry changes one byte of it."""
    digest = push(bench.staging, LAYERS, "plain")
    manifest = bench.staging.manifest(digest)
    assert manifest
    layer = manifest.layers[1]

    def change(method: str, path: str, answer: Answer) -> Answer:
        status, headers, body = answer
        if method == "GET" and str(layer.digest) in path:
            body = body.replace(b"kept/new", b"kept/NEW")
            body = body.replace(
                tar(Item("kept/new", uid=7, gid=8))[:512], tar(Item("kept/NEW", uid=7, gid=8))[:512]
            )
        return status, headers, body

    proxy.after = change
    with pytest.raises(ImageError, match=rf"layer 2 of 3 .{layer.digest}. cannot be read"):
        read(open_image(f"{behind(proxy, bench.staging)}@{digest}"))


@pytest.mark.needs("registry")
def test_a_layer_that_the_registry_lacks_is_its_error(bench: Bench, proxy: Proxy) -> None:
    """It answers 404."""
    digest = push(bench.staging, LAYERS, "plain")
    layer = str((bench.staging.manifest(digest) or pytest.fail("it is not there")).layers[2].digest)
    proxy.before = lambda _method, path: (404, {}, b"") if layer in path else None
    with pytest.raises(RegistryError, match="answered 404"):
        read(open_image(f"{behind(proxy, bench.staging)}@{digest}"))


@pytest.mark.needs("registry", "engine")
def test_what_is_nowhere_or_no_name_is_said_so(bench: Bench, tmp_path: Path) -> None:
    """In the registry, in the engine, on the disk; each with a hint."""
    with pytest.raises(RegistryError, match="has no manifest nothing"):
        open_image(f"{bench.staging.repository}:nothing")
    with pytest.raises(EngineError, match="could not save test/nothing"):
        open_image("engine:test/nothing")
    with pytest.raises(ImageError, match=r"it lacks manifest\.json"):
        open_image(str(tmp_path))
    for name in ("ubuntu", str(tmp_path / "x"), "host/path@sha256:1", "127.0.0.1:5000/x"):
        with pytest.raises(UsageError, match=r"no reference to an image: .*\nhint: write host/path:tag"):
            open_image(name)


# -- what the engine itself makes of layers -------------------------------------------------------------


def as_engines_write(stack: Stack) -> list[bytes]:
    """The layers as engines write them: folders named, a mark once, for what is there and not made anew."""
    before, bodies = Unpacked(), []
    for marks, items in stack.layers:
        own = {f"/{one.path}" for one in items}
        kept = []
        for mark in dict.fromkeys(marks):
            place, _, name = f"/{mark.path}".rpartition("/")
            hidden = place if name == OPAQUE else f"{place}/{name.removeprefix(WHITEOUT)}"
            there = before.tree.get(hidden)
            solid = any(before.tree.get(one, ("",))[0] != "directory" for one in above(hidden) if one != "/")
            if name == OPAQUE and there and there[0] == "directory" and not solid:
                kept.append((hidden, mark))
            elif name != OPAQUE and there and not any(one == hidden or hidden in above(one) for one in own):
                kept.append(("", mark))
        inner = {one for path in own for one in above(path)} | {one for one, _ in kept if one}
        folders = {one for path in inner for one in (path, *above(path))} - own - {"/"}
        kept = [(one, mark) for one, mark in kept if f"/{mark.path}".rpartition("/")[0] not in own or one]
        written = [*(folder(one[1:]) for one in sorted(folders)), *(mark for _, mark in kept), *items]
        before.apply([mark for _, mark in kept], [one for one in written if WHITEOUT not in one.path])
        bodies.append(tar(*written))
    return bodies


@pytest.mark.needs("engine")
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # making a failing one small would take the engine minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(stacks())
def test_a_container_of_random_layers_has_what_we_read(tmp_path: Path, stack: Stack) -> None:
    """The engine unpacks them, a container of them is exported: kinds, bytes, modes and links."""
    for _, items in stack.layers:
        assume(len({one.path for one in items}) == len(items))  # this engine fails where one replaces another
    layers = as_engines_write(stack)
    blobs, named = stored(layers)
    with loaded(archive(tmp_path / "image.tar", layout_files(blobs, [named]))) as name:
        seen = exported(name)
    ours = {
        path: (node.kind, data or b"", node.mode, node.target)
        for path, (node, data) in read(image(*layers)).items()
        if path != "/"
    }
    assert ours == {path: one for path, one in seen.items() if path.split("/")[1] in ("a", "b", "c")}


def exported(name: str) -> dict[str, tuple[str, bytes, int, str]]:
    """What a container of this image has: kind, bytes, mode and link by path."""
    made = subprocess.run(["docker", "create", name, "/x"], check=True, capture_output=True, text=True)
    container = made.stdout.strip()
    try:
        body = subprocess.run(["docker", "export", container], check=True, capture_output=True).stdout
    finally:
        subprocess.run(["docker", "rm", "-f", container], check=True, capture_output=True)
    found: dict[str, tuple[str, bytes, int, str]] = {}
    with tarfile.open(fileobj=io.BytesIO(body)) as known:
        for one in known:
            kind = (
                "directory" if one.isdir() else "link" if one.issym() else "file" if one.isreg() else "other"
            )
            file = known.extractfile(one) if kind == "file" else None
            target = one.linkname if kind == "link" else ""
            found[f"/{one.name}".rstrip("/")] = (
                found[f"/{one.linkname}"]
                if one.islnk()
                else (kind, file.read() if file else b"", one.mode, target)
            )
    return found
