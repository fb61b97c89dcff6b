"""An image of a few packages, as files and as a bill."""

from __future__ import annotations

from pipeline.model import Bill, Licence, Package, PackageKind, Pin
from pipeline.stages.documents import Reading
from tests.crafted import Item, a, image, tar

SITE = "opt/venv/lib/python3.11/site-packages"
CREATED = "2030-01-02T03:04:05Z"
IMAGE = f"127.0.0.1:5000/tagproof/vllm@sha256:{'a' * 64}"
OS_RELEASE = a("etc/os-release", b'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n')
STATUS = a(
    "var/lib/dpkg/status",
    b"Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nSource: glibc\nVersion: 2.36-9\n",
)
WHEEL = Pin("torch", "2.13.0+cu130", "b" * 64, "torch-2.13.0+cu130-cp311-cp311-manylinux_2_28_x86_64.whl", 9)


def metadata(name: str, version: str, more: str = "", site: str = SITE) -> Item:
    """The METADATA of a distribution."""
    text = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{more}\nIt is good.\nName: other\n"
    return a(f"{site}/{name.replace('-', '_')}-{version}.dist-info/METADATA", text.encode())


def bill_of(*items: Item) -> Bill:
    """What an image of these files is made of."""
    with Reading(image(tar(*items))) as reading:
        reading.read()
        return reading.bill(CREATED)


def bill(*packages: Package, unread: tuple[str, ...] = ()) -> Bill:
    """A bill of an image in a registry, on Debian 12."""
    return Bill(IMAGE, f"sha256:{'a' * 64}", CREATED, packages, ("debian", "12"), unread)


TORCH = Package(
    PackageKind.PYTHON,
    "torch",
    "2.13.0+cu130",
    licence=Licence("BSD-3-Clause", is_expression=True),
    found_in=(f"/{SITE}/torch-2.13.0+cu130.dist-info",),
    wheel=WHEEL,
)
CUBLAS = Package(
    PackageKind.PYTHON,
    "nvidia-cublas",
    "13.0.0.19",
    licence=Licence("LicenseRef-NVIDIA-Proprietary", is_expression=True),
    found_in=(f"/{SITE}/nvidia_cublas-13.0.0.19.dist-info",),
)
NAMED = Package(
    PackageKind.PYTHON,
    "older",
    "1.0",
    licence=Licence("BSD License", is_expression=False),
    found_in=(f"/{SITE}/older-1.0.dist-info",),
)
BASH = Package(
    PackageKind.DEBIAN, "bash", "5.2-2+b8", architecture="amd64", source="bash", source_version="5.2-2"
)
LIBC = Package(
    PackageKind.DEBIAN, "libc6", "2.36-9", architecture="amd64", source="glibc", source_version="2.36-9"
)
TZDATA = Package(
    PackageKind.DEBIAN, "tzdata", "2026a-0", architecture="all", source="tzdata", source_version="2026a-0"
)
EACH = bill(TORCH, CUBLAS, NAMED, BASH, LIBC, TZDATA, unread=("RPM's packages are there and not read",))
