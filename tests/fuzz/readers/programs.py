"""What other programs write or print."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pipeline.adapters import buildx, uv
from pipeline.adapters.engine.ownership import is_orphan, owner
from pipeline.model import Check, Outcome, Repository
from pipeline.stages import build, lock, verify
from pipeline.suite import probes
from pipeline.suite.model import locate
from tests import builders
from tests.fuzz.reader import Reader, put, standing_in, zipped
from tests.fuzz.readers.evidence import DIGEST
from tests.fuzz.readers.written import CPU

ROOT = Path(__file__).parents[3]

PYLOCK = b"""\
lock-version = "1.0"
created-by = "uv"
[[packages]]
name = "torch"
version = "2.13.0+cpu"
[[packages.wheels]]
url = "https://x.example/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl"
size = 9
hashes = { sha256 = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" }
"""
RESULTS = Check(name="serve", outcome=Outcome.PASSED, seconds=1.5).model_dump_json().encode() + b"\n"
PACKAGES = {
    "executable": "/x",
    "python": "3.11.7",
    "installed": {"torch": "2.13.0+cpu"},
    "vllm": None,
    "torch": "2.13.0+cpu",
    "cuda": None,
    "contents": [["torch", "2.13.0+cpu", None]],
    "requires": {"torch": ["numpy>=2; extra == 'a'"]},
    "markers": {"python_version": "3.11"},
}
PROBED = f"{probes.MARK}{json.dumps(PACKAGES)}\n".encode()


def read_pylock(data: bytes, place: Path) -> object:
    """What uv wrote, which here is a program that copies; of it a lock is made."""
    path = put(place, "made.toml", data)
    spec = builders.spec(builders.PYTORCH_CELL)
    with standing_in(pipeline__adapters__uv___uv=lambda: ["sh", "-c", f"cp '{path}' pylock.toml", "uv"]):
        return lock.make(spec, default_cuda=None)


def resolve_from(data: bytes, place: Path) -> object:
    """A file of any name in a folder of wheels."""
    name = data.decode("utf-8", "surrogateescape").replace("/", "_").replace("\0", "_")[:100]
    with TemporaryDirectory(dir=place) as folder:
        wheels, links = Path(folder), Path(folder, "links")
        put(wheels, f"{name}.whl", b"")
        return uv._variant_source("torch", "2.13.0+cpu", "3.11", links, [wheels])


def look_at_environment(data: bytes, place: Path) -> object:
    """What an interpreter that is none prints."""
    path = put(place, "printed", data)
    python = put(place, "python", f"#!/bin/sh\ncat '{path}'\n".encode())
    python.chmod(0o755)
    return verify.environment(python)


def read_metadata(data: bytes, place: Path) -> object:
    """What buildx says that it built."""
    recipe = buildx.Recipe(place, place, "linux/amd64", 0, {}, {}, {})
    target = Repository("127.0.0.1:5000", "a").tagged("b")

    def run(command: list[str], *_: object) -> None:
        Path(command[command.index("--metadata-file") + 1]).write_bytes(data)

    with standing_in(pipeline__adapters__buildx___run=run):
        return buildx.build(recipe, target, snapshotter=True, cache=True, progress=lambda _: None)


def read_results(data: bytes, place: Path) -> object:
    return verify._checks(put(place, "results.jsonl", data))


def read_revision(data: bytes, place: Path) -> object:
    """Which snapshot of a model the local cache calls main."""
    root = place / "models--a--b"
    put(root, "refs/main", data)
    put(root, "snapshots/0123abcd/config.json", b"{}")
    put(root, "snapshots/0123abcd/model.safetensors", b"")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_CACHE", str(place))
        return locate("a/b")


def follow_results(data: bytes, place: Path) -> object:
    ended = subprocess.Popen(["true"])
    ended.wait()
    return list(verify._names(ended, put(place, "results.jsonl", data), 1))


def read_uv(data: bytes, place: Path) -> object:
    """The wheel with the program uv, which goes into an image."""
    folder = place / "tools"
    if folder.exists():
        for one in (*folder.rglob("tools/*"), folder / "tools"):
            one.unlink() if one.is_file() else one.rmdir()
    folder.mkdir(exist_ok=True)
    return build._tool_folder(folder, CPU, ROOT / "images", put(place, "uv.whl", data))


READERS = (
    Reader("pylock", read_pylock, (PYLOCK,)),
    Reader("buildx", read_metadata, (json.dumps({"containerimage.digest": str(DIGEST)}).encode(),)),
    Reader("name of a wheel", resolve_from, (b"torch-2.13.0+cpu-cp311-cp311-linux_x86_64",)),
    Reader("environment", look_at_environment, (PROBED,)),
    Reader("owner of a container", lambda data, _: is_orphan(data.decode("utf-8", "surrogateescape")),
           (owner().encode(),)),
    Reader("results", read_results, (RESULTS,)),
    Reader("results as they come", follow_results, (RESULTS,)),
    Reader("probe", lambda data, _: probes.result(data.decode("utf-8", "replace")), (PROBED,)),
    Reader("revision of a model", read_revision, (b"0123abcd\n",)),
    Reader("name of a model", lambda data, _: locate(data.decode("utf-8", "surrogateescape")), ()),
    Reader("wheel of uv", read_uv, (zipped(uv__scripts__uv=b"program"),)),
)  # fmt: skip
