"""The check `imports` on real shared objects, loaded by a real interpreter: what counts, who is blamed."""

from __future__ import annotations

import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import Cell, Check, Expectations, Outcome, PythonTarget, Trial
from pipeline.stages import verify
from pipeline.suite import probes, tiny_model
from pipeline.suite.checks import check_environment
from pipeline.suite.expect import Mismatch

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.needs("compiler")

MINE = EXTENSION_SUFFIXES[0]
"""``.cpython-311-x86_64-linux-gnu.so``: the tag of the Python that runs us."""
NEXT = MINE.replace(f"-3{sys.version_info.minor}", f"-3{sys.version_info.minor + 1}")
SOUND = "void *PyInit__C(void) { return 0; }"
NEWER = "void PyDict_OfTomorrow(void); void *PyInit__C(void) { PyDict_OfTomorrow(); return 0; }"
DRIVEN = "int cuInit(int); void *PyInit__C(void) { cuInit(0); return 0; }"
TORCH = """
from types import SimpleNamespace
__version__ = "2.13.0"
version = SimpleNamespace(cuda="13.0")
cuda = SimpleNamespace(is_available=lambda: False)
"""
PACKAGE = "torch/third_party/deep_gemm"


class Bench:
    """A virtual environment whose torch is ours, and holds the shared objects of a test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        self.python = folder / "venv" / "bin" / "python"
        self.site = next((folder / "venv").glob("lib/python3*/site-packages"))
        (self.site / PACKAGE).mkdir(parents=True)
        (self.site / "torch" / "__init__.py").write_text(TORCH)
        tiny_model.write(folder / "model")

    def compiles(self, source: str, name: str, *options: str) -> Path:
        """A shared object of this source, in the package."""
        made = self.site / PACKAGE / name
        command = ["gcc", "-shared", "-fPIC", "-o", str(made), "-x", "c", "-", *options]
        subprocess.run(command, input=source, text=True, check=True)
        return made

    def needs_a_driver(self, name: str) -> None:
        """A shared object that needs libcuda.so.1, which is nowhere to be found."""
        stub = self.folder / "libcuda.so"
        command = ["gcc", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1", "-o", str(stub), "-x", "c", "-"]
        subprocess.run(command, input="int cuInit(int x) { return x; }", text=True, check=True)
        self.compiles(DRIVEN, name, "-Wl,--no-as-needed", f"-L{self.folder}", "-lcuda")

    def imports(self, *, cuda: str | None = "13.0") -> Check:
        """What the check said, run as it always is."""
        cell = Cell("2.13.0", f"cu{cuda.replace('.', '')}" if cuda else "cpu", "3", None)
        trial = Trial(
            cell=cell,
            run="system-test",
            target=PythonTarget(python=str(self.python)),
            expected=Expectations(cell=cell, pins=()),
            model=str(self.folder / "model"),
        )
        checks, _ = verify.prove(trial, progress=lambda _: None, log=self.folder / "server.log")
        return next(check for check in checks if check.name == "imports")

    def loads(self) -> dict[str, object]:
        """What the probe tells of the package's extensions."""
        done = subprocess.run(
            [self.python, "-c", probes.source("facts"), "torch"], capture_output=True, text=True, check=True
        )
        told: dict[str, object] = probes.result(done.stdout)["extensions"]["torch"]
        return told


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """An environment with no shared object yet."""
    return Bench(tmp_path)


def test_an_extension_of_another_python_is_not_blamed_on_this_one(bench: Bench) -> None:
    """As vLLM's wheels for CUDA bring deep_gemm: once for each Python, this one's among them."""
    bench.compiles(SOUND, f"_C{MINE}")
    bench.compiles(NEWER, f"_C{NEXT}")
    assert bench.imports().outcome is Outcome.PASSED


def _truncated(bench: Bench, name: str) -> None:
    made = bench.compiles(SOUND, name)
    made.write_bytes(made.read_bytes()[:2000])


COUNTED = (f"_C{MINE}", "_C.abi3.so", "_C.so", "lib_sound.so", "libgomp-a34b3233.so", "kernels.cuda.so")
OTHERS = (
    f"_C{NEXT}",
    f"_C.cpython-3{sys.version_info.minor}t-x86_64-linux-gnu.so",
    f"_C.cpython-3{sys.version_info.minor}d-x86_64-linux-gnu.so",
    f"_C.cpython-3{sys.version_info.minor}-riscv64-linux-gnu.so",
    f"_C.cpython-3{sys.version_info.minor}-x86_64-linux-musl.so",
    "_C.abi3t.so",
    "_C.pypy311-pp73-x86_64-linux-gnu.so",
    "_C.graalpy242-311-native-x86_64-linux.so",
    f"libtriton{NEXT}",
)


@pytest.mark.parametrize("name", COUNTED)
def test_a_damaged_object_that_this_python_may_load_is_found(bench: Bench, name: str) -> None:
    """Also one whose name says nothing of a Python, or that is a library."""
    bench.compiles(SOUND, "_sound.so")
    _truncated(bench, name)
    check = bench.imports()
    assert check.outcome is Outcome.FAILED
    assert f"{PACKAGE}/{name}" in check.seen


@pytest.mark.parametrize("name", OTHERS)
def test_another_build_platform_or_version_is_left_alone(bench: Bench, name: str) -> None:
    """Debug and free-threaded builds are other Pythons, and so is another system's."""
    bench.compiles(SOUND, f"_C{MINE}")
    _truncated(bench, name)
    assert bench.loads() == {"count": 1, "others": [name], "loaded": [], "failed": {}}


def test_a_package_with_extensions_for_other_pythons_only_has_none(bench: Bench) -> None:
    """It cannot be imported here, so its presence proves nothing."""
    bench.compiles(SOUND, f"_C{NEXT}")
    check = bench.imports()
    assert (check.outcome, check.expected) == (Outcome.FAILED, "extensions in torch")
    assert check.seen == f"none for this Python, only _C{NEXT}"


# -- the driver's own library -------------------------------------------------------------------------


@pytest.mark.skipif(any(Path("/dev").glob("nvidia*")), reason="the driver's library is here, with its GPU")
@pytest.mark.parametrize(
    ("spoil", "cuda", "outcome", "said"),
    [
        (lambda _: None, "13.0", Outcome.INCONCLUSIVE, "need the GPU driver, and no GPU is here"),
        (lambda _: None, None, Outcome.FAILED, "libcuda.so.1: cannot open shared object file"),
        (lambda bench: _truncated(bench, "_other.so"), "13.0", Outcome.FAILED, "_other.so"),
        (lambda bench: bench.compiles(NEWER, "_other.so"), "13.0", Outcome.FAILED, "PyDict_OfTomorrow"),
    ],
    ids=["for CUDA", "for a CPU", "beside a damaged one", "beside one that lacks a symbol"],
)
def test_a_missing_driver_is_blamed_on_the_machine_and_nothing_else_is(
    bench: Bench, spoil: Callable[[Bench], object], cuda: str | None, outcome: Outcome, said: str
) -> None:
    """It comes with a GPU, never with an image; but an image that claims no CUDA must not ask for it."""
    bench.needs_a_driver(f"_C{MINE}")
    spoil(bench)
    check = bench.imports(cuda=cuda)
    assert check.outcome is outcome
    assert said in check.seen


def test_where_a_gpu_is_its_driver_must_be_found() -> None:
    """What the probe tells there is written down here: no GPU is needed to judge it."""
    missing = {"_C.so": "libcuda.so.1: cannot open shared object file: No such file or directory"}
    told = {"torch": {"count": 1, "others": [], "loaded": [], "failed": missing}}
    cell = Cell("2.13.0", "cu130", "3.11", None)
    stage: Any = SimpleNamespace(
        imported=("torch",),
        trial=SimpleNamespace(cell=cell, expected=Expectations(cell=cell, pins=())),
        facts=lambda: {"extensions": told, "has_gpu": True},
    )
    with pytest.raises(Mismatch, match=r"saw .*libcuda\.so\.1"):
        check_environment.check_imports(stage)
