"""Real libraries read by us and by others: readelf for what the loader sees, cuobjdump for the GPU code.

The wheels are those of a CUDA lock. ``nox -s oracles`` takes every wheel that holds GPU code, some 2.9 GB;
without it, those that are small.
"""

from __future__ import annotations

import mmap
import os
import re
import shutil
import subprocess
import sysconfig
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from pipeline import matrix
from pipeline.adapters import paths, wheel_cache
from pipeline.formats.elf import reader
from pipeline.stages import fetch, lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from pipeline.formats.elf.objects import SharedObject
    from pipeline.model import Pin, Spec

ROOT = Path(__file__).parents[3]
CUOBJDUMP = Path(__file__).with_name("cuobjdump.txt")
SMALL = ("torchvision", "torchaudio", "torchcodec", "nvidia-cufile", "nccl-extensions")
LARGE = (
    "torch",
    "vllm",
    "pynvvideocodec",
    "nvidia-nccl-cu13",
    "nvidia-cublas",
    "nvidia-cudnn-cu13",
    "nvidia-cusparse",
    "nvidia-cusparselt-cu13",
    "nvidia-cusolver",
    "nvidia-curand",
    "nvidia-cufft",
    "nvidia-nvshmem-cu13",
)
WHEELS = (*SMALL, *LARGE) if os.environ.get("TAGPROOF_ORACLES") == "all" else SMALL


class Silent:
    """A progress bar that nobody watches."""

    def advance(self, amount: int) -> None:
        """Say nothing."""


def silent(_: int) -> AbstractContextManager[Silent]:
    return nullcontext(Silent())


@pytest.fixture(scope="module")
def locked() -> tuple[Spec, dict[str, Pin]]:
    """A CUDA cell for x86_64, and the wheels of its lock by name."""
    specs = matrix.load(ROOT / "matrix.yaml").specs
    for spec in specs:
        if (
            spec.cell.needs_gpu
            and spec.cell.machine == "x86_64"
            and (found := lock.read(spec, ROOT / "locks"))
        ):
            return spec, {pin.name: pin for pin in found.pins}
    pytest.fail("no CUDA cell of the matrix has a lock")


def unpack(spec: Spec, pin: Pin, folder: Path) -> Path:
    """Fetch a wheel by its hash, and unpack it."""
    fetch.fetch(spec, [pin], paths.wheels(), (), silent)
    with ZipFile(wheel_cache.path_of(pin, paths.wheels())) as wheel:
        wheel.extractall(folder)
    return folder


@pytest.fixture(scope="module", params=WHEELS)
def unpacked(
    request: pytest.FixtureRequest,
    locked: tuple[Spec, dict[str, Pin]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Path]:
    """A wheel, unpacked while its tests run."""
    spec, pins = locked
    folder = unpack(spec, pins[request.param], tmp_path_factory.mktemp("wheel"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def cuobjdump(locked: tuple[Spec, dict[str, Pin]], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NVIDIA's reader, from its wheel."""
    (pin,) = lock.read_pins(CUOBJDUMP, CUOBJDUMP.read_text().splitlines())
    (program,) = unpack(locked[0], pin, tmp_path_factory.mktemp("cuobjdump")).rglob("bin/cuobjdump")
    program.chmod(0o755)
    return program


def read(path: Path) -> SharedObject | None:
    """What we see in a file."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapping:
        return reader.read(str(path), memoryview(mapping))


def objects(folder: Path) -> list[SharedObject]:
    """Every ELF object in a folder."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.stat().st_size)
    found = [seen for path in files if (seen := read(path))]
    assert found
    return found


def output_of(*command: str | Path, encoding: str = "utf-8") -> str:
    """What another program says, in words of no language."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    return done.stdout.decode(encoding)


# -- GPU code -----------------------------------------------------------------------------------------


def listed_code(cuobjdump: Path, path: str) -> Counter[tuple[str, str]]:
    """Kind and architecture of every piece of GPU code that cuobjdump finds, as the header of each says."""
    text = output_of(cuobjdump, path)
    pieces = re.findall(r"Fatbin (elf|ptx) code:\n=+\narch = sm_(\w+)\n", text)
    return Counter(
        ("cubin", f"sm_{arch}") if kind == "elf" else ("ptx", f"compute_{arch}") for kind, arch in pieces
    )


@pytest.mark.needs("index", "x86-64")
def test_gpu_code_is_what_cuobjdump_finds(unpacked: Path, cuobjdump: Path) -> None:
    """In every object: the same kinds, architectures with their suffixes, and counts."""
    with_code = [one for one in objects(unpacked) if one.device_code is not None]
    assert with_code
    for one in with_code:
        ours = {(code.kind, code.arch): code.count for code in one.device_code or ()}
        assert ours == listed_code(cuobjdump, one.path), one.path


@pytest.mark.needs("index", "x86-64")
def test_there_are_as_many_pieces_as_cuobjdump_would_extract(unpacked: Path, cuobjdump: Path) -> None:
    """Its two lists name a file for each piece; machine code for a family has no suffix there."""
    for one in (one for one in objects(unpacked) if one.device_code):
        for kind, option, ending in (("cubin", "--list-elf", "cubin"), ("ptx", "--list-ptx", "ptx")):
            names = re.findall(rf"\.sm_(\d+)([af]?)\.{ending}\b", output_of(cuobjdump, option, one.path))
            ours: Counter[str] = Counter()
            for code in one.device_code or ():
                if code.kind == kind:
                    arch = code.arch.partition("_")[2]
                    ours[arch.removesuffix("f") if kind == "cubin" else arch] += code.count
            assert ours == Counter("".join(name) for name in names), (one.path, kind)


# -- what the loader sees -----------------------------------------------------------------------------


def dynamic_entries(path: str) -> dict[str, list[str]]:
    """The entries of the dynamic section that hold a text, by their tag."""
    found: dict[str, list[str]] = {}
    for tag, text in re.findall(
        r"\((\w+)\)\s+[\w ]+: \[(.*)\]$", output_of("readelf", "-dW", path), re.MULTILINE
    ):
        found.setdefault(tag, []).append(text)
    return found


def dynamic_symbols(path: str) -> tuple[set[str], set[str]]:
    """Undefined ones that are not weak, and those that others may look up, without their versions."""
    undefined, defined = set(), set()
    line = re.compile(
        r" *\d+: \w+ +\w+ \S+ +(?P<bind><OS specific>: 10|\S+)"
        r" +(?P<visible>\S+)(?: +\[.*?\])? +(?P<at>\S+) (?P<name>[^@\s]+)"
    )
    for text in output_of("readelf", "-W", "--dyn-syms", path, encoding="latin-1").splitlines():
        if not (found := line.match(text)) or found["bind"] == "LOCAL":
            continue
        if found["at"] != "UND" and found["visible"] in ("DEFAULT", "PROTECTED"):
            defined.add(found["name"])
        elif found["at"] == "UND" and found["bind"] != "WEAK":
            undefined.add(found["name"])
    return undefined, defined


def versions(path: str) -> tuple[dict[str, list[str]], list[str]]:
    """Versions needed, by file, and defined: without the weak ones, and without the object's own name."""
    needed: dict[str, list[str]] = {}
    defined, file = [], ""
    for line in output_of("readelf", "-VW", path).splitlines():
        if found := re.search(r"Version: 1  File: (\S+)  Cnt:", line):
            file = found[1]
        elif found := re.search(r"Name: (\S+)  Flags: ((?:\w+ ?\|? ?)+) +Version:", line):
            if "WEAK" not in found[2]:
                needed.setdefault(file, []).append(found[1])
        elif (
            found := re.search(r"Rev: 1  Flags: (.*)  Index: .* Name: (\S+)", line)
        ) and "BASE" not in found[1]:
            defined.append(found[2])
    return needed, defined


def assert_equal_to_readelf(one: SharedObject) -> None:
    entries = dynamic_entries(one.path)
    assert list(one.needs) == entries.get("NEEDED", []), one.path
    assert [one.soname] == entries.get("SONAME", [""]), one.path
    assert ":".join(one.rpath) == "".join(entries.get("RPATH", [])), one.path
    assert ":".join(one.runpath) == "".join(entries.get("RUNPATH", [])), one.path
    needed, defined = versions(one.path)
    assert {file: list(names) for file, names in one.version_needs} == needed, one.path
    assert list(one.version_defines) == defined, one.path
    theirs = dynamic_symbols(one.path)
    assert one.undefined == theirs[0], (one.path, sorted(one.undefined ^ theirs[0])[:5])
    assert one.defined == theirs[1], (one.path, sorted(one.defined ^ theirs[1])[:5])
    interpreter = re.search(r"interpreter: (.*)\]", output_of("readelf", "-lW", one.path))
    assert one.interpreter == (interpreter[1] if interpreter else ""), one.path


@pytest.mark.needs("index", "readelf")
def test_a_wheel_s_objects_are_what_readelf_sees(unpacked: Path) -> None:
    """Needs, search paths, versions and every symbol."""
    for one in objects(unpacked):
        if one.machine == "x86_64":
            assert_equal_to_readelf(one)


@pytest.mark.needs("readelf")
def test_the_system_s_objects_are_what_readelf_sees() -> None:
    """The C library with its versions, programs with an interpreter, and Python's own extensions."""
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    extensions = Path(sysconfig.get_path("stdlib"), "lib-dynload").glob(f"*{suffix}")
    named = ["libc.so.6", "libm.so.6", "libpthread.so.0", "libstdc++.so.6", "libgcc_s.so.1", "libz.so.1"]
    libraries = re.findall(r"=> (/\S+)", output_of("ldconfig", "-p"))
    chosen = [path for path in libraries if Path(path).name in named]
    programs = [
        shutil.which("sh"),
        shutil.which("readelf"),
        shutil.which("ld.so") or "/lib64/ld-linux-x86-64.so.2",
    ]
    paths = [Path(path).resolve() for path in (*extensions, *chosen, *filter(None, programs))]
    seen = [
        one
        for path in paths
        if path.exists() and (one := read(path)) and one.machine in ("x86_64", "aarch64")
    ]
    assert {"libc.so.6", "libm.so.6"} <= {one.soname for one in seen}
    assert any(one.interpreter for one in seen)
    for one in seen:
        assert_equal_to_readelf(one)
