"""Builds that the default index does not serve: each is taken from the one index of its makers, or a folder.

The indexes are folders on loopback with small wheels: the default one, PyTorch's of a variant, and vLLM's
of a release and a CUDA. On the last two lies more than anybody should take from there.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import threading
import zipfile
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import compat, matrix
from pipeline.adapters import wheel_cache
from pipeline.model import Lock, names
from pipeline.model.errors import ResolveError, WheelError
from pipeline.stages import fetch, lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Pin, Spec

OLD_DRIVERS = "vllm0.26.0-torch2.11.0-cu129-py3.11"
OTHER_MINOR = "vllm0.27.0-torch2.13.0-cu126-py3.11"
NEWER = "vllm0.27.0-torch2.13.0-cu129-py3.11"
DEFAULT = "vllm0.26.0-torch2.11.0-cu130-py3.11"
MATRIX = """\
schema: 1
include:
  - {vllm: "0.26.0", torch: "2.11.0", cuda: cu129, python: "3.11"}
  - {vllm: "0.27.0", torch: "2.13.0", cuda: cu126, python: "3.11"}
  - {vllm: "0.27.0", torch: "2.13.0", cuda: cu129, python: "3.11"}
  - {vllm: "0.26.0", torch: "2.11.0", cuda: cu130, python: "3.11"}
base: {suite: bookworm, refresh: "2026-11-20"}
publish: {repository: registry.example.org/team/vllm}
"""
TORCH, VLLM = "cp311-cp311-manylinux_2_28_x86_64", "cp38-abi3-manylinux_2_31_x86_64"
SHELVES = {
    "simple": (
        ("torch", "2.11.0", TORCH, ()),
        ("torch", "2.13.0", TORCH, ()),
        ("vllm", "0.26.0", VLLM, ("torch==2.11.0", "six")),
        ("vllm", "0.27.0", VLLM, ("torch==2.13.0", "six")),
        ("six", "1.0", "py3-none-any", ()),
    ),
    "pytorch/cu129": (
        ("torch", "2.11.0+cu129", TORCH, ()),
        ("torch", "2.13.0+cu129", TORCH, ()),
        ("six", "3.0", "py3-none-any", ()),
    ),
    "pytorch/cu126": (("torch", "2.13.0+cu126", TORCH, ()), ("vllm", "0.27.0+cu126", VLLM, ())),
    "vllm/0.26.0/cu129": (
        ("vllm", "0.26.0+cu129", VLLM, ("torch==2.11.0", "six")),
        ("torch", "2.11.0+cu129", TORCH, ()),
        ("six", "2.0", "py3-none-any", ()),
    ),
    "vllm/0.27.0/cu129": (("vllm", "0.27.0+cu129", VLLM, ("torch==2.13.0", "six")),),
    "vllm/0.26.0/cu128": (("vllm", "0.26.0+cu128", VLLM, ("torch==2.11.0", "six")),),
}


def wheel(name: str, version: str, *requires: str) -> bytes:
    """A wheel that asks for these."""
    info, body = f"{name}-{version}.dist-info", io.BytesIO()
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    with zipfile.ZipFile(body, "w") as made:
        made.writestr(
            f"{info}/METADATA", "\n".join([*metadata, *(f"Requires-Dist: {one}" for one in requires), ""])
        )
        made.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr(f"{info}/RECORD", "")
    return body.getvalue()


@dataclass
class Indexes:
    """The indexes as one folder, and the paths that were asked for."""

    folder: Path
    asked: list[str] = field(default_factory=list)

    def holds(self, shelf: str, name: str, version: str, tag: str, requires: tuple[str, ...]) -> None:
        """Put a wheel on an index, and write the page of its project anew."""
        page = self.folder / shelf / name
        page.mkdir(parents=True, exist_ok=True)
        (page / f"{name}-{version}-{tag}.whl").write_bytes(wheel(name, version, *requires))
        self.lists(page)

    @staticmethod
    def lists(page: Path) -> None:
        files = sorted(page.glob("*.whl"))
        links = (
            f'<a href="{f.name.replace("+", "%2B")}#sha256={hashlib.sha256(f.read_bytes()).hexdigest()}">'
            f"{f.name}</a>"
            for f in files
        )
        (page / "index.html").write_text(f"<html><body>{''.join(links)}</body></html>")

    def asked_of(self, shelf: str) -> set[str]:
        """The projects that this index was asked for."""
        inside = [path.removeprefix(f"/{shelf}/") for path in self.asked if path.startswith(f"/{shelf}/")]
        return {path.partition("/")[0] for path in inside}


@pytest.fixture
def indexes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Indexes]:
    """All three kinds, which are the user's, PyTorch's and vLLM's while the test lasts."""
    held = Indexes(tmp_path / "indexes")
    for shelf, wheels in SHELVES.items():
        for one in wheels:
            held.holds(shelf, *one)

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *_: Any) -> None:
            held.asked.append(self.path)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(held.folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    root = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(names, "VARIANT_INDEX", f"{root}/pytorch")
    monkeypatch.setattr(names, "VLLM_INDEX", f"{root}/vllm")
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"{root}/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    yield held
    server.shutdown()
    server.server_close()


def spec_of(cell: str, folder: Path, more: str = "") -> Spec:
    """The cell, as a matrix says it."""
    (folder / "matrix.yaml").write_text(MATRIX + more)
    return next(spec for spec in matrix.load(folder / "matrix.yaml").specs if spec.cell.id == cell)


def locked(spec: Spec, *folders: Path) -> Lock:
    """Its lock, made as the runner makes it."""
    return lock.make(spec, builds=compat.local_builds(spec.cell, spec.packages), folders=folders)


def fetched(spec: Spec, pins: tuple[Pin, ...], cache: Path) -> None:
    class Silent:
        def advance(self, amount: int) -> None:
            """Say nothing."""

    fetch.fetch(spec, pins, cache, (), lambda _: nullcontext(Silent()))


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (OLD_DRIVERS, {"torch": "2.11.0+cu129", "vllm": "0.26.0+cu129", "six": "1.0"}),
        (OTHER_MINOR, {"torch": "2.13.0+cu126", "vllm": "0.27.0+cu129", "six": "1.0"}),
        (NEWER, {"torch": "2.13.0+cu129", "vllm": "0.27.0+cu129", "six": "1.0"}),
        (DEFAULT, {"torch": "2.11.0", "vllm": "0.26.0", "six": "1.0"}),
    ],
)
def test_a_lock_takes_each_build_from_the_index_of_its_makers(
    cell: str, expected: dict[str, str], indexes: Indexes, tmp_path: Path
) -> None:
    """And every other package from the default one, though theirs has a newer one of it."""
    assert locked(spec_of(cell, tmp_path)).versions == expected
    for shelf in SHELVES:
        if shelf != "simple":
            assert indexes.asked_of(shelf) <= {shelf.partition("/")[0].replace("pytorch", "torch")}


def test_the_default_build_asks_no_index_of_vllms_own(indexes: Indexes, tmp_path: Path) -> None:
    """Nor does it take another one that lies in a folder."""
    folder = tmp_path / "wheels"
    shutil.copytree(indexes.folder / "vllm/0.26.0/cu129/vllm", folder)
    assert locked(spec_of(DEFAULT, tmp_path), folder).versions["vllm"] == "0.26.0"
    assert not [path for path in indexes.asked if path.startswith(("/vllm/", "/pytorch/"))]


def test_what_was_locked_is_fetched_from_the_same_indexes(indexes: Indexes, tmp_path: Path) -> None:
    """By hash; each index is asked for what only it has."""
    spec = spec_of(OLD_DRIVERS, tmp_path)
    made = locked(spec)
    indexes.asked.clear()
    fetched(spec, made.pins, tmp_path / "cache")
    assert wheel_cache.missing(made.pins, tmp_path / "cache") == ()
    assert indexes.asked_of("vllm/0.26.0/cu129") == {"vllm"}
    assert indexes.asked_of("pytorch/cu129") == {"torch"}


def test_a_local_folder_may_hold_the_build_instead(indexes: Indexes, tmp_path: Path) -> None:
    """The folder is looked at first, and vLLM's index not at all."""
    shutil.move(indexes.folder / "vllm/0.26.0/cu129/vllm", tmp_path / "wheels")
    assert locked(spec_of(OLD_DRIVERS, tmp_path), tmp_path / "wheels").versions["vllm"] == "0.26.0+cu129"
    assert not [path for path in indexes.asked if path.startswith("/vllm/")]


def test_the_matrix_may_name_the_build(indexes: Indexes, tmp_path: Path) -> None:
    """Where there are several, or one of the user's own."""
    more = f'packages: [{{pins: ["vllm==0.26.0+cu128"], cells: "{OLD_DRIVERS}"}}]\n'
    assert locked(spec_of(OLD_DRIVERS, tmp_path, more)).versions["vllm"] == "0.26.0+cu128"
    assert indexes.asked_of("vllm/0.26.0/cu129") == set()


def test_a_build_that_is_not_there_is_named(indexes: Indexes, tmp_path: Path) -> None:
    """The default index's build of the same release never stands in for it."""
    shutil.rmtree(indexes.folder / "vllm/0.26.0")
    with pytest.raises(ResolveError, match=r"vllm==0\.26\.0\+cu129") as caught:
        locked(spec_of(OLD_DRIVERS, tmp_path))
    assert "--find-links" in caught.value.hint


def test_a_companion_of_another_cuda_is_refused_with_the_build_to_name(
    indexes: Indexes, tmp_path: Path
) -> None:
    """The default index has torchvision for the CUDA of its own PyTorch alone."""
    indexes.holds("simple", "torchvision", "0.26.0", TORCH, ())
    indexes.holds("pytorch/cu129", "torchvision", "0.26.0+cu129", TORCH, ())
    requires = ("torch==2.11.0", "torchvision==0.26.0")
    indexes.holds("vllm/0.26.0/cu129", "vllm", "0.26.0+cu129", VLLM, requires)
    with pytest.raises(ResolveError, match=r"torchvision==0\.26\.0 beside torch==2\.11\.0\+cu129") as caught:
        locked(spec_of(OLD_DRIVERS, tmp_path))
    assert "torchvision==0.26.0+cu129" in caught.value.hint
    more = f'packages: [{{pins: ["torchvision==0.26.0+cu129"], cells: "{OLD_DRIVERS}"}}]\n'
    assert locked(spec_of(OLD_DRIVERS, tmp_path, more)).versions["torchvision"] == "0.26.0+cu129"


# -- what vanishes between lock and fetch -----------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "page"),
    [("six", "simple/six"), ("vllm", "vllm/0.26.0/cu129/vllm")],
)
def test_a_wheel_that_vanishes_from_its_index_is_the_one_that_is_named(
    name: str, page: str, indexes: Indexes, tmp_path: Path
) -> None:
    """Of all that are asked for, that one; nothing is fetched, and what is left to do is told."""
    spec = spec_of(OLD_DRIVERS, tmp_path)
    made = locked(spec)
    pin = next(pin for pin in made.pins if pin.name == name)
    (indexes.folder / page / pin.filename).unlink()
    indexes.lists(indexes.folder / page)
    shutil.rmtree(tmp_path / "uv")
    with pytest.raises(WheelError) as caught:
        fetched(spec, made.pins, tmp_path / "cache")
    first = caught.value.what.splitlines()[0]
    assert first == f"1 wheel found in no folder, and no index offered: {pin.filename}"
    assert f"python -m pipeline lock {OLD_DRIVERS}" in caught.value.hint
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_a_wheel_that_is_listed_and_gone_is_named_too(indexes: Indexes, tmp_path: Path) -> None:
    """The page still has it, the file is not there."""
    spec = spec_of(OLD_DRIVERS, tmp_path)
    made = locked(spec)
    pin = next(pin for pin in made.pins if pin.name == "six")
    (indexes.folder / "simple/six" / pin.filename).unlink()
    with pytest.raises(WheelError, match=r"six-1\.0-py3-none-any\.whl could not be fetched .*404") as caught:
        fetched(spec, made.pins, tmp_path / "cache")
    assert "lock again" in caught.value.hint
    assert not wheel_cache.path_of(pin, tmp_path / "cache").exists()


def test_a_release_that_is_made_anew_is_not_the_locked_one(indexes: Indexes, tmp_path: Path) -> None:
    """Same name and version, other bytes: what was locked is not on the index."""
    spec = spec_of(OLD_DRIVERS, tmp_path)
    made = locked(spec)
    indexes.holds("vllm/0.26.0/cu129", "vllm", "0.26.0+cu129", VLLM, ("torch==2.11.0", "six", "six>=1"))
    shutil.rmtree(tmp_path / "uv")
    with pytest.raises(WheelError, match=r"with sha256:[0-9a-f]{64} is in no local folder and not on the"):
        fetched(spec, made.pins, tmp_path / "cache")
