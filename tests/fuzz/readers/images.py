"""The files of an image, and what certifying reads of them."""

from __future__ import annotations

import _csv
import json
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.adapters.image_files.opening import open_image
from pipeline.formats.elf import version_needs
from pipeline.model import BILLS, Certificate, Digest, Expectations
from pipeline.stages import documents, identify
from pipeline.stages.audit.audit import judge
from pipeline.stages.audit.survey import survey
from tests.crafted import Item, config_of, image, layout, saved_files, stored, tar
from tests.crafted_elf import CUBIN, FAMILY, PTX, Crafted, Symbol, piece
from tests.crafted_elf import fatbin as crafted_fatbin
from tests.fuzz.reader import Reader, put

if TYPE_CHECKING:
    from collections.abc import Callable

SITE = "opt/venv/lib/python3.11/site-packages"
METADATA = b"""\
Metadata-Version: 2.4
Name: torch
Version: 2.13.0+cu130
Requires-Dist: numpy>=2; python_version > '3'
Requires-Dist: a>=1; extra == 'b'
"""
CODE = crafted_fatbin(piece(CUBIN, 80), piece(CUBIN, 100, FAMILY), piece(PTX, 120, version=(9, 0))) + bytes(
    24
)
OBJECT = Crafted(
    interpreter="/lib64/ld-linux-x86-64.so.2",
    texts=(
        (1, "libc.so.6"),
        (1, "libcudart.so.13"),
        (14, "lib.so.1"),
        (15, "/opt"),
        (29, "$ORIGIN:/usr/lib"),
    ),
    symbols=(Symbol("there", section=0), Symbol("PyInit__C"), Symbol("here")),
    relocated=(1, 2),
    needs_versions=(("libc.so.6", (("GLIBC_2.34", 0), ("GLIBC_2.2.5", 2))),),
    defines_versions=(("lib.so.1", 1), ("V_1", 0)),
    sections=((".text", b"code"), (".nv_fatbin", CODE)),
).build()
WITHOUT_HASHES = Crafted(symbols=(Symbol("there", section=0),), hash="none", relocated=(1,)).build()
STRINGS = b"libc.so.6\0/lib/libc.so.6\0x86-64-v3\0"
COMPILED = next(
    body
    for path in sorted(Path(_csv.__file__).parent.glob("*.so"), key=lambda path: path.stat().st_size)
    if version_needs.of_head(iter([body := path.read_bytes()]), len(body))
)
"""The smallest extension of this Python whose needs can be told from its head."""

CACHE = (
    struct.pack("<20sIIB3xI12x", b"glibc-ld.so.cache1.1", 1, len(STRINGS), 2, 112)
    + struct.pack("<iIIIQ", 0x0303, 72, 82, 0, 1 << 62)
    + STRINGS.ljust(40, b"\0")
    + struct.pack("<IIIIII", 0xEAA42174, 1, 1, 0, 136, 4)
    + struct.pack("<I", 97)
)
"""One entry, for processors of a better level."""


def certified(*items: Item) -> Certificate:
    """The certificate of an image with these files beside a few that make it one."""
    there = {
        "etc/os-release": Item("etc/os-release", content=b"ID=debian\nVERSION_ID=12\n"),
        "usr/bin/python3.11": Item("usr/bin/python3.11", content=OBJECT, mode=0o755),
        "usr/bin/gcc": Item("usr/bin/gcc", "link", to="gcc-14"),
        "usr/bin/gcc-14": Item("usr/bin/gcc-14", content=OBJECT, mode=0o755),
        "usr/local/cuda-13.0/bin/nvcc": Item("usr/local/cuda-13.0/bin/nvcc", content=OBJECT, mode=0o755),
        "usr/local/cuda": Item("usr/local/cuda", "link", to="cuda-13.0"),
        f"{SITE}/numpy-1.0.dist-info/METADATA": Item(
            f"{SITE}/numpy-1.0.dist-info/METADATA", content=b"Name: numpy\nVersion: 1.0\n"
        ),
        f"{SITE}/torch/_C.so": Item(f"{SITE}/torch/_C.so", content=OBJECT),
        f"{SITE}/torch-2.13.0.dist-info/METADATA": Item(
            f"{SITE}/torch-2.13.0.dist-info/METADATA", content=METADATA
        ),
        **{item.path: item for item in items},
    }
    with image(tar(*there.values())) as files:
        return judge(survey(files), EXPECTED, (), datetime.now(UTC))


def identified(path: str) -> Callable[[bytes, Path], object]:
    """Feeds an image with two Pythons, whose file of this path holds the bytes, to what tells its stack."""
    there = (
        *("usr/lib/python3.9/os.py", "usr/lib/python3.11/os.py", "usr/lib/libcudart.so.12.8.90"),
        "usr/lib/python3/dist-packages/torch-2.6.0.dist-info/METADATA",
    )

    def feed(data: bytes, _: Path) -> object:
        with image(tar(*(Item(name, content=b"x") for name in there), Item(path, content=data))) as files:
            return identify.of_files("127.0.0.1:5000/a:b", files, compat.shipped())

    return feed


EXPECTED = Expectations(pins=(("torch", "2.13.0"), ("numpy", "2.0")), archs=("sm_80",))


def file_of_image(path: str, *, mode: int = 0o644) -> Callable[[bytes, Path], object]:
    """Feeds an image whose file of this path holds the bytes."""

    def feed(data: bytes, _: Path) -> object:
        return certified(Item(path, content=data, mode=mode))

    return feed


def billed(path: str) -> Callable[[bytes, Path], object]:
    """Feeds an image whose file of this path holds the bytes to what writes its bills."""

    def feed(data: bytes, _: Path) -> object:
        with documents.Reading(image(tar(Item(path, content=data)))) as files:
            files.read()
            bill = files.bill("2030-01-02T03:04:05Z")
            return [documents.written(bill, kind) for kind in BILLS]

    return feed


def read_layer(data: bytes, _: Path) -> object:
    with image(data) as files:
        return survey(files)


def read_config(data: bytes, place: Path) -> object:
    """An image's configuration, in an archive as engines before 25 save it."""
    files = [(name, data if name.endswith(".json") and "/" not in name and name != "manifest.json" else body)
             for name, body in saved_files([tar(Item("a"))])]  # fmt: skip
    path = put(place, "saved.tar", tar(*(Item(name, content=body) for name, body in files)))
    with open_image(str(path), platform="linux/amd64") as opened:
        return judge(survey(opened), Expectations(), (), datetime.now(UTC))


def read_saved(data: bytes, place: Path) -> object:
    """The list in such an archive."""
    files = [
        (name, data if name == "manifest.json" else body) for name, body in saved_files([tar(Item("a"))])
    ]
    path = put(place, "saved.tar", tar(*(Item(name, content=body) for name, body in files)))
    with open_image(str(path)) as opened:
        return survey(opened)


def read_layout(data: bytes, place: Path) -> object:
    folder = layout(place / "layout", [tar(Item("a"))])
    put(folder, "index.json", data)
    with open_image(str(folder), platform="linux/amd64") as opened:
        return survey(opened)


def read_manifest(data: bytes, place: Path) -> object:
    """A manifest that the index of a layout names truly."""
    blobs, _ = stored([tar(Item("a"))])
    digest = Digest.of(data)
    folder = place / "named"
    for name, body in (*((one.hex, body) for one, body in blobs.items()), (digest.hex, data)):
        put(folder, f"blobs/sha256/{name}", body)
    kind = "application/vnd.oci.image.manifest.v1+json"
    index = {"manifests": [{"mediaType": kind, "digest": str(digest), "size": len(data)}]}
    put(folder, "index.json", json.dumps(index).encode())
    with open_image(str(folder)) as opened:
        return survey(opened)


def read_archive(data: bytes, place: Path) -> object:
    with open_image(str(put(place, "an.tar", data))) as opened:
        return survey(opened)


def manifest_of(layers: list[bytes]) -> bytes:
    blobs, named = stored(layers)
    return blobs[Digest(named["digest"])]


FOR_CUDA = config_of([tar(Item("a"))]).replace(
    b'"A=b=c"', b'"CUDA_VERSION=12.8", "NVIDIA_REQUIRE_CUDA=cuda>=13.0", "LD_LIBRARY_PATH=/usr/lib:"'
)
SAVED = tuple(body for name, body in saved_files([tar(Item("a"))]) if name == "manifest.json")
INDEX = json.dumps({"schemaVersion": 2, "manifests": [stored([tar(Item("a"))])[1]]}).encode()
ARCHIVE = tar(*(Item(name, content=body) for name, body in saved_files([tar(Item("a"))])))


READERS = (
    Reader("layer", read_layer, (tar(Item("a", content=OBJECT, mode=0o755)), tar(Item("b" * 120)))),
    Reader("configuration", read_config, (config_of([tar(Item("a"))]), FOR_CUDA)),
    Reader("list of saved images", read_saved, SAVED),
    Reader("index of a layout", read_layout, (INDEX,)),
    Reader("manifest", read_manifest, (manifest_of([tar(Item("a"))]),)),
    Reader("archive", read_archive, (ARCHIVE,)),
    Reader("ELF object", file_of_image(f"{SITE}/torch/_C.so"), (OBJECT, WITHOUT_HASHES)),
    Reader("ld.so.cache", file_of_image("etc/ld.so.cache"), (CACHE,)),
    Reader("METADATA", file_of_image(f"{SITE}/torch-2.13.0.dist-info/METADATA"), (METADATA,)),
    Reader("RECORD", file_of_image(f"{SITE}/torch-2.13.0.dist-info/RECORD"),
           (b"torch/_C.so,sha256=abc,5\n../../../bin/f2py,sha256=x,9\n",)),
    Reader("torch/version.py", identified(f"{SITE}/torch/version.py"),
           (b"__version__ = '2.11.0+cu130'\ncuda: Optional[str] = '13.0'\n",)),
    Reader("CUDAConfig.h", identified(f"{SITE}/torch/include/ATen/cuda/CUDAConfig.h"),
           (b'#define NVCC_FLAGS_EXTRA "-gencode;arch=compute_90,code=sm_90"\n',)),
    Reader("vllm/_version.py", identified(f"{SITE}/vllm/_version.py"),
           (b"__version__ = version = '0.26.0'\n",)),
    Reader("METADATA of a stack", identified(f"{SITE}/vllm-0.26.0.dist-info/METADATA"),
           (b"Name: vllm\nVersion: 0.26.0\n",)),
    Reader("pyvenv.cfg", identified("opt/venv/pyvenv.cfg"), (b"version_info = 3.11.7\n",)),
    Reader("os-release of a stack", identified("etc/os-release"),
           (b'NAME=Debian\nPRETTY_NAME="Debian 12"\n',)),
    Reader("os-release", file_of_image("etc/os-release"), (b"ID=debian\nVERSION_ID=12\n",)),
    Reader("METADATA of a bill", billed(f"{SITE}/torch-2.13.0.dist-info/METADATA"),
           (METADATA.replace(b"Requires-Dist: a", b"License-Expression: MIT\nX: a"),)),
    Reader("os-release of a bill", billed("etc/os-release"), (b"ID=debian\nVERSION_ID=12\n",)),
    Reader("status of dpkg", billed("var/lib/dpkg/status"),
           (b"Package: a\nVersion: 1:2-3\nArchitecture: all\nSource: b (2-3)\n\nPackage: c\n",)),
    Reader("passwd", file_of_image("etc/passwd"), (b"root:x:0:0:root:/root:/bin/sh\n",)),
    Reader("pip.conf", file_of_image("etc/pip.conf"), (b"[global]\nindex-url = https://u:p@x.example/\n",)),
)  # fmt: skip
