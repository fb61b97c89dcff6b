"""Hundreds of damaged images, one after the other in one process: it ends, and nothing is left behind.

The process is another one, because the point is what it keeps: threads, open files, memory, or an end that
never comes. What is damaged is drawn from a fixed seed, so that a failure can be had again.
"""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.adapters.image_files.opening import open_image
from pipeline.model import Digest
from pipeline.model.errors import TagproofError
from pipeline.stages.audit.survey import survey
from tests.crafted import Item, archive, folder, hard_link, layout_files, link, stored, tar
from tests.system.conftest import fault_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.crafted import Packing
    from tests.system.conftest import Answer

IMAGES = 500
SECONDS = 120
"""For all of them, on two cores that others use too; it takes eight."""

MOST_MEMORY = 400 << 20
"""Bytes of the process at its largest; with all that it imports it starts at 90 MB."""

CHANCE = random.Random(8)  # noqa: S311 - what is damaged, not a secret

OBJECT = Path(sys.executable).resolve().read_bytes()[: 2 << 20]
SITE = "opt/venv/lib/python3.11/site-packages/numpy-2.3.4.dist-info"

Blobs = dict[str, bytes]


@dataclass
class Sample:
    """An image before it is damaged: its blobs by digest, and which of them the manifest is."""

    blobs: Blobs
    manifest: str

    @property
    def document(self) -> dict[str, Any]:
        """The manifest."""
        found: dict[str, Any] = json.loads(self.blobs[self.manifest])
        return found

    def store(self, document: dict[str, Any]) -> None:
        """Let this be the manifest."""
        body = json.dumps(document).encode()
        del self.blobs[self.manifest]
        self.manifest = str(Digest.of(body))
        self.blobs[self.manifest] = body


def samples() -> list[Sample]:
    """Small images of the kinds that there are: every packing, links, objects, metadata, large and small."""
    small = tar(folder("etc"), Item("etc/os-release", content=b"ID=debian\n"), link("lib", "usr/lib"))
    package = tar(
        Item(f"{SITE}/METADATA", content=b"Name: numpy\nVersion: 2.3.4\n"),
        Item(f"{SITE}/RECORD", content=b"numpy/__init__.py,,5\n"),
        Item("bin/python3", content=OBJECT, mode=0o755),
        hard_link("bin/python", "bin/python3"),
    )
    large = tar(Item("noise", content=CHANCE.randbytes(6 << 20)), Item("etc/ld.so.cache", content=b"x"))
    packings: list[Packing] = ["plain", "gzip", "zstd"]
    made = []
    for layers in ((small, package), (large, small), (package, large)):
        for packing in packings:
            blobs, named = stored(layers, packing)
            made.append(Sample({str(digest): body for digest, body in blobs.items()}, named["digest"]))
    return made


# -- damage -------------------------------------------------------------------------------------------


def flipped(body: bytes) -> bytes:
    """Some bytes are others; often near the start, where headers are."""
    changed = bytearray(body)
    for _ in range(CHANCE.choice((1, 3, 50))):
        at = CHANCE.randrange(min(len(body), CHANCE.choice((16, 600, len(body)))))
        changed[at] ^= CHANCE.randrange(1, 256)
    return bytes(changed)


def truncated(body: bytes) -> bytes:
    """It ends too early."""
    return body[: CHANCE.randrange(len(body))]


def longer(body: bytes) -> bytes:
    """Something follows that does not belong to it."""
    return body + CHANCE.randbytes(CHANCE.choice((1, 512, 3 << 20)))


def another(_body: bytes) -> bytes:
    """It is not what it should be at all."""
    return CHANCE.choice((b"", b"\0" * 5000, CHANCE.randbytes(4 << 20), b'{"mediaType": []}', b"[" * 100_000))


def in_place(sample: Sample, damage: Callable[[bytes], bytes]) -> None:
    """A blob has other bytes than its digest says."""
    digest = CHANCE.choice(sorted(sample.blobs))
    sample.blobs[digest] = damage(sample.blobs[digest])


def with_true_digest(sample: Sample, damage: Callable[[bytes], bytes]) -> None:
    """A layer is damaged, and the manifest names the damaged bytes."""
    document = sample.document
    layer = CHANCE.choice(document["layers"])
    body = damage(sample.blobs[layer["digest"]])
    layer["digest"], layer["size"] = str(Digest.of(body)), len(body)
    sample.blobs[layer["digest"]] = body
    sample.store(document)


def with_lies(sample: Sample, _damage: Callable[[bytes], bytes]) -> None:
    """The manifest says another size, digest or kind of a layer or of the configuration."""
    document = sample.document
    blob = CHANCE.choice([document["config"], *document["layers"]])
    name, value = CHANCE.choice(
        [
            (
                "size",
                CHANCE.choice((0, 1, blob["size"] - 1, blob["size"] + 1, 1 << 63, 10**30, -1, None, "1")),
            ),
            ("digest", CHANCE.choice(("", "sha256:0", f"sha256:{'0' * 64}", "../../x", None, 5, "\ud800"))),
            ("mediaType", CHANCE.choice(("text/html", "", None, "\ud800"))),
        ]
    )
    blob[name] = value
    sample.store(document)


def damaged(whole: Sample) -> Sample:
    """The same image with something wrong with it."""
    sample = Sample(dict(whole.blobs), whole.manifest)
    way = CHANCE.choice((in_place, with_true_digest, with_true_digest, with_lies))
    way(sample, CHANCE.choice((flipped, truncated, longer, another)))
    return sample


# -- where they lie -----------------------------------------------------------------------------------


@contextmanager
def registry(images: dict[str, Blobs]) -> Iterator[str]:
    """A registry that gives out what it holds under a digest, whatever bytes those are; its host."""

    def answer(_method: str, path: str) -> Answer:
        _, _, name, _, digest = path.split("/")
        body = images.get(name, {}).get(digest)
        if body is None:
            return 404, {}, b""
        kind = "application/vnd.oci.image.manifest.v1+json" if "/manifests/" in path else "text/plain"
        return 200, {"Content-Type": kind, "Content-Length": str(len(body))}, body

    with fault_proxy("127.0.0.1:1") as proxy:
        proxy.before = answer
        yield proxy.host


def as_layout(place: Path, sample: Sample) -> Path:
    """Write it as a layout, whose index names the manifest."""
    body = sample.blobs[sample.manifest]
    named = {
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": sample.manifest,
        "size": len(body),
    }
    blobs = {Digest(digest): body for digest, body in sample.blobs.items()}
    for name, content in layout_files(blobs, [named]):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
    return place


def as_archive(place: Path) -> Path:
    """Write a layout as an archive, which may be damaged itself."""
    files = [
        (str(one.relative_to(place)), one.read_bytes()) for one in sorted(place.rglob("*")) if one.is_file()
    ]
    path = archive(place.with_suffix(".tar"), files, CHANCE.choice(("plain", "gzip", "zstd")))
    if CHANCE.random() < 0.3:
        path.write_bytes(CHANCE.choice((flipped, truncated))(path.read_bytes()))
    return path


# -- the process --------------------------------------------------------------------------------------


def read_all(references: list[str]) -> dict[str, Any]:
    """Survey each image, and say what came of it and what is left in this process."""
    outcomes: Counter[str] = Counter()
    gc.collect()
    before = left_behind()
    began = time.monotonic()
    for reference in references:
        try:
            with open_image(reference) as files:
                survey(files)
            outcomes["read"] += 1
        except TagproofError as stop:
            outcomes[type(stop).__name__] += 1
    return {
        "outcomes": outcomes,
        "seconds": time.monotonic() - began,
        "before": before,
        "after": left_behind(),
        "bytes": most_memory(),
    }


def left_behind() -> dict[str, Any]:
    """Threads, and files that are open but for connections that may be used again."""
    opened = [str(one.readlink()) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()]
    return {
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "files": sorted(one for one in opened if not one.startswith("socket:")),
        "sockets": sum(one.startswith("socket:") for one in opened),
    }


def most_memory() -> int:
    """Bytes of this process at its largest; what the system says of its usage counts its parent's too."""
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def in_a_process_of_its_own(references: list[str]) -> dict[str, Any]:
    """What ``read_all`` found there. The garbage collector runs as often as it can, at the worst places."""
    program = (
        "import gc, json, sys; gc.set_threshold(1, 1, 1);"
        "from tests.system.adapters.image_files.test_damaged_images import read_all;"
        "print(json.dumps(read_all(json.load(sys.stdin))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(references),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        cwd=Path(__file__).parents[4],
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_five_hundred_damaged_images_end_in_our_errors_and_leave_nothing(tmp_path: Path) -> None:
    """From a registry, as layouts and as archives: no thread, no file, no memory without bound."""
    whole = samples()
    held: dict[str, Blobs] = {}
    references: list[str] = []
    with registry(held) as host:
        for number in range(IMAGES):
            sample = damaged(CHANCE.choice(whole))
            if number % 5:
                held[f"i{number}"] = sample.blobs
                references.append(f"{host}/i{number}@{sample.manifest}")
            else:
                place = as_layout(tmp_path / f"i{number}", sample)
                references.append(str(as_archive(place) if number % 2 else place))
        found = in_a_process_of_its_own(references)
    assert sum(found["outcomes"].values()) == IMAGES
    assert found["outcomes"].keys() <= {"read", "ImageError", "RegistryError", "ContentError"}
    assert found["outcomes"]["ImageError"] > IMAGES // 2
    assert found["after"]["threads"] == found["before"]["threads"] == ["MainThread"]
    assert found["after"]["files"] == found["before"]["files"]
    assert found["after"]["sockets"] <= 2  # connections of the host, kept to be used again
    assert found["bytes"] < MOST_MEMORY
