"""A healthy CUDA image, made of values, for tests to spoil: the rules see no difference from a real one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pipeline.adapters.image_files.nodes import Layer, Node
from pipeline.compat.facts import Facts
from pipeline.compat.rows import Artefact, Floor, Gpu, KnownBy
from pipeline.formats.cuda_compilers import CudaCompiler
from pipeline.formats.elf.objects import Cached, DeviceCode, SharedObject
from pipeline.formats.image_config import ImageConfig
from pipeline.model import Budget, Expectations, Waiver
from pipeline.stages.audit.audit import judge
from pipeline.stages.audit.inventory import Claim, Distribution, Inventory, StartFile
from tests.builders import CUDA_CELL

if TYPE_CHECKING:
    from pipeline.adapters.image_files.nodes import Kind
    from pipeline.model import Certificate

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HERE = ("https://example.org/source",)
NVCC = Artefact(
    package="nvidia-cuda-crt",
    version="13.0.88",
    machine="x86_64",
    file="nvidia_cuda_crt-13.0.88.whl",
    sha256="0" * 64,
    size=1,
    released="2025-09-04",
    yanked=False,
    pythons=(),
    pythons_built=None,
    cuda="13.0",
    archs=None,
    glibc="2.17",
    glibc_seen=None,
    needs=None,
    pins=(),
    read_from=(("max_gcc", "host_config.h"),),
    max_gcc=15,
)
FACTS = Facts(
    read="2026-11-22",
    artefacts=(NVCC,),
    driver_floors=(Floor("12", "525.60.13", "documented", HERE), Floor("13", "580", "documented", HERE)),
    toolkit_drivers=(
        Floor("12.8", "570.26", "documented", HERE),
        Floor("13.0", "580.65.06", "documented", HERE),
        Floor("13.2", "595.45.04", "documented", HERE),
    ),
    gpus=(
        Gpu("T4", "sm_75", "Turing", data_center=True, confidence="documented", source=HERE),
        Gpu("A100", "sm_80", "Ampere", data_center=True, confidence="documented", source=HERE),
        Gpu("L4", "sm_89", "Ada", data_center=True, confidence="documented", source=HERE),
        Gpu("H100", "sm_90", "Hopper", data_center=True, confidence="documented", source=HERE),
        Gpu("B200", "sm_100", "Blackwell", data_center=True, confidence="documented", source=HERE),
    ),
    known_by=(
        KnownBy("sm_75", "410.48", "documented", HERE),
        KnownBy("sm_80", "450.36.06", "documented", HERE),
        KnownBy("sm_89", "520.61.05", "documented", HERE),
        KnownBy("sm_90", "520.61.05", "documented", HERE),
        KnownBy("sm_100", "570.26", "documented", HERE),
        KnownBy("B200", "570.133.20", "documented", HERE),
    ),
)

LIB = "/usr/lib/x86_64-linux-gnu"
SITE = "/opt/venv/lib/python3.11/site-packages"
TORCH, VLLM, CUDA = f"{SITE}/torch/lib", f"{SITE}/vllm", f"{SITE}/nvidia/cu13/lib"
TORCH_PATH = ("$ORIGIN", "$ORIGIN/../../nvidia/cu13/lib")
CUDART = f"{CUDA}/libcudart.so.13"
CUBINS = tuple(DeviceCode("cubin", arch, 3) for arch in ("sm_80", "sm_89", "sm_90"))
CELL = CUDA_CELL


def library(path: str, *needs: str, **changes: Any) -> SharedObject:
    """An object for x86_64 that exports and asks for nothing, and these changes."""
    fields: dict[str, Any] = {
        "machine": "x86_64",
        "soname": path.rpartition("/")[2],
        "interpreter": "",
        "rpath": (),
        "runpath": (),
        "undefined": frozenset(),
        "defined": frozenset(),
        "version_needs": (),
        "version_defines": (),
        "device_code": None,
    }
    return SharedObject(path=path, needs=needs, **fields | changes)


def module(path: str, *needs: str, **changes: Any) -> SharedObject:
    """An extension module of Python."""
    stem = path.rpartition("/")[2].partition(".")[0]
    return replace(library(path, *needs, **changes), soname="", defined=frozenset({f"PyInit_{stem}"}))


OBJECTS = (
    library(f"{LIB}/libc.so.6", version_defines=("GLIBC_2.2.5", "GLIBC_2.34"), defined=frozenset({"malloc"})),
    library(
        "/usr/bin/python3.11",
        "libc.so.6",
        soname="",
        interpreter="/lib64/ld-linux-x86-64.so.2",
        defined=frozenset({"PyModule_Create2"}),
    ),
    library(
        "/usr/bin/x86_64-linux-gnu-gcc-12", "libc.so.6", soname="", interpreter="/lib64/ld-linux-x86-64.so.2"
    ),
    library("/usr/bin/tini", "libc.so.6", soname="", interpreter="/lib64/ld-linux-x86-64.so.2"),
    library(CUDART, "libc.so.6", defined=frozenset({"cudaMalloc"})),
    library(f"{TORCH}/libc10.so", "libc.so.6", defined=frozenset({"_ZN3c105ErrorE"})),
    library(
        f"{TORCH}/libtorch_cuda.so",
        *("libcudart.so.13", "libc10.so", "libcuda.so.1", "libc.so.6"),
        rpath=TORCH_PATH,
        undefined=frozenset({"cudaMalloc", "cuInit", "_ZN3c105ErrorE"}),
        device_code=CUBINS,
        compiled_by="13.0",
    ),
    library(f"{TORCH}/libtorch_global_deps.so", "libcudart.so.13", rpath=TORCH_PATH),
    module(
        f"{SITE}/torch/_C.cpython-311-x86_64-linux-gnu.so",
        "libtorch_cuda.so",
        "libc.so.6",
        rpath=("$ORIGIN/lib",),
    ),
    module(
        f"{VLLM}/_C.abi3.so",
        *("libtorch_cuda.so", "libc10.so", "libcudart.so.13", "libc.so.6"),
        undefined=frozenset({"_ZN3c105ErrorE", "cudaMalloc", "PyModule_Create2", "malloc"}),
        version_needs=(("libc.so.6", ("GLIBC_2.34",)),),
        device_code=CUBINS,
        compiled_by="13.0",
    ),
    module(f"{VLLM}/_moe_C.abi3.so", "libtorch_cuda.so", "libc10.so", device_code=CUBINS, compiled_by="13.0"),
)
FILES = {
    "/usr/local/bin/serve": 0o755,
    "/usr/include/python3.11/Python.h": 0o644,
    f"{SITE}/triton/backends/nvidia/bin/ptxas": 0o755,
    "/sbin/ldconfig": 0o755,
}
TEXTS = {
    "/etc/ld.so.conf": "include /etc/ld.so.conf.d/*.conf\n",
    "/etc/ld.so.conf.d/nvidia.conf": "/usr/local/nvidia/lib64\n",
}
LINKS = {
    "/lib": "usr/lib",
    "/opt/venv/bin/python": "/usr/bin/python3.11",
    "/opt/venv/bin/python3.11": "python",
    "/usr/bin/gcc": "x86_64-linux-gnu-gcc-12",
}
DISTRIBUTIONS = tuple(
    Distribution(name, version, "uv", f"{SITE}/{name.replace('-', '_')}-{version}.dist-info", size=size)
    for name, version, size in (
        ("torch", "2.13.0", 1_000_000_000),
        ("vllm", "0.32.0", 800_000_000),
        ("triton", "3.7.1", 700_000_000),
        ("nvidia-cuda-runtime", "13.0.96", 2_000_000),
        ("nvidia-cuda-nvrtc", "13.0.88", 90_000_000),
    )
)
LABELS = {
    "tagproof.torch": "2.13.0",
    "tagproof.cuda": "cu130",
    "tagproof.python": "3.11",
    "tagproof.vllm": "0.32.0",
    "tagproof.driver.min": "580",
}


@dataclass
class Image:
    """An image in the making; as it begins it is healthy, and each test spoils one thing."""

    objects: dict[str, SharedObject] = field(default_factory=lambda: {one.path: one for one in OBJECTS})
    nodes: dict[str, Node] = field(default_factory=dict)
    distributions: list[Distribution] = field(default_factory=lambda: [*DISTRIBUTIONS])
    texts: dict[str, str] = field(default_factory=lambda: dict(TEXTS))
    env: dict[str, str] = field(
        default_factory=lambda: {"PATH": "/opt/venv/bin:/usr/local/bin:/usr/bin", "HOME": "/home/app"}
    )
    labels: dict[str, str] = field(default_factory=lambda: dict(LABELS))
    entrypoint: tuple[str, ...] = ("/usr/local/bin/serve",)
    user: str = "1000:0"
    history: tuple[str, ...] = ("COPY /layer /",)
    layers: tuple[Layer, ...] = (Layer("sha256:" + "1" * 64, 4_000_000_000, "COPY /layer /"),)
    cache: tuple[Cached, ...] | None = ()
    compilers: dict[str, CudaCompiler] = field(default_factory=dict)
    interpreters: dict[str, str] = field(default_factory=dict)
    unreadable: tuple[tuple[str, str], ...] = ()
    claims: dict[str, tuple[Claim, ...]] = field(default_factory=dict)
    start_files: dict[str, StartFile] = field(default_factory=dict)
    wanted: Expectations = field(
        default_factory=lambda: Expectations(
            cell=CELL,
            pins=tuple((one.name, one.version) for one in DISTRIBUTIONS),
            archs=("sm_80", "sm_90"),
            labels=tuple(LABELS.items()),
            budget=Budget(compressed=5_000_000_000, installed=9_000_000_000),
        )
    )
    waivers: tuple[Waiver, ...] = ()
    parent: Certificate | None = None

    def __post_init__(self) -> None:
        for path in ("/home/app", SITE, "/opt/venv/bin", "/usr/bin", "/usr/local/bin", LIB):
            self.folder(path, uid=1000 if path == "/home/app" else 0)
        for path, mode in FILES.items():
            self.file(path, mode=mode)
        for path, target in LINKS.items():
            self.put(Node(path, "link", 0o777, 0, 0, 0, 0, target))

    def put(self, node: Node) -> None:
        """Put a node there, over what there may be."""
        self.nodes[node.path] = node

    def file(self, path: str, mode: int = 0o644, size: int = 1000, text: str | None = None) -> None:
        """Put a file there, with a text where a rule reads it."""
        self.put(Node(path, "file", mode, 0, 0, size, 0))
        if text is not None:
            self.texts[path] = text

    def folder(self, path: str, mode: int = 0o755, uid: int = 0) -> None:
        """Put a folder there."""
        self.put(Node(path, "directory", mode, uid, 0, 0, 0))

    def compiler(self, path: str, release: str, *archs: str) -> None:
        """Put one of NVIDIA's compilers there, of a release of CUDA, that makes code for these."""
        self.file(path, mode=0o755)
        self.compilers[path] = CudaCompiler(release, frozenset(archs))

    def want(self, *archs: str) -> None:
        """Ask for these architectures besides."""
        self.wanted = replace(self.wanted, archs=(*self.wanted.archs, *archs))

    def add(self, one: SharedObject) -> None:
        """Put an object there, in place of one at the same path."""
        self.objects[one.path] = one

    def change(self, path: str, **changes: Any) -> None:
        """Change what an object says."""
        self.objects[path] = replace(self.objects[path], **changes)

    def install(self, name: str, version: str, **changes: Any) -> None:
        """Install a distribution, in place of one of its name."""
        self.distributions = [one for one in self.distributions if one.name != name]
        path = f"{SITE}/{name.replace('-', '_')}-{version}.dist-info"
        self.distributions.append(replace(Distribution(name, version, "uv", path), **changes))
        pins = dict(self.wanted.pins or ()) | {name: version}
        self.wanted = replace(self.wanted, pins=tuple(pins.items()))

    def expect_label(self, name: str, value: str) -> None:
        """Give the image this label, as its cell would."""
        self.labels[name] = value
        labels = dict(self.wanted.labels) | {name: value}
        self.wanted = replace(self.wanted, labels=tuple(labels.items()))

    def inventory(self) -> Inventory:
        """The image as the rules are given it."""
        kind: Kind = "file"
        nodes = {path: Node(path, kind, 0o755, 0, 0, 10_000_000, 0) for path in self.objects} | self.nodes
        config = ImageConfig(
            env=tuple(self.env.items()),
            entrypoint=self.entrypoint,
            user=self.user,
            labels=self.labels,
            history=self.history,
            platform="linux/amd64",
        )
        return Inventory(
            name="made",
            digest="sha256:" + "0" * 64,
            config=config,
            layers=self.layers,
            nodes=nodes,
            objects=self.objects,
            distributions=tuple(self.distributions),
            texts=self.texts,
            claims=self.claims,
            start_files=self.start_files,
            linker_cache=self.cache,
            compilers=self.compilers,
            interpreters=self.interpreters,
            unreadable=self.unreadable,
        )

    def judged(self) -> Certificate:
        """The certificate of the image as it is now."""
        return judge(self.inventory(), self.wanted, self.waivers, NOW, FACTS, parent=self.parent)

    def stranger(self) -> None:
        """Let it be somebody else's image, of which nothing is expected."""
        self.wanted, self.labels = Expectations(), {}


def listing(certificate: Certificate) -> str:
    """Every finding, for a failing test to show."""
    return "\n".join(f"{one.severity} {one.rule} {one.path}: {one.text}" for one in certificate.findings)
