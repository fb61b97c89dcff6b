"""A rehearsal of the CUDA image: the good one passes, and each saboteur is refused for what it is."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import matrix
from pipeline.adapters.engine import Engine
from pipeline.adapters.registry import Registry
from pipeline.model import ImageTarget, Trial
from pipeline.model.errors import MachineError
from pipeline.runner.expectations import expectations_of
from pipeline.stages import lock
from pipeline.suite import tiny_model
from pipeline.suite.checks import check_rehearsal
from pipeline.suite.expect import Mismatch
from pipeline.suite.rehearsing import Rehearsing
from tests.cuda_build import CELL, ROOT
from tests.system.cuda.sabotage import ENTRYPOINT, SITE, file, gone, in_the_place_of, sabotaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.model import ImageRef
    from tests.crafted import Item
    from tests.system.cuda.cuda_image import CudaImage

pytestmark = pytest.mark.needs("engine", "registry", "mmdebstrap", "cuda-build", "compiler")

SITECUSTOMIZE = "/usr/lib/python3.11/sitecustomize.py"
OF_ANOTHER_TORCH = "_ZN3c106detail23torchInternalAssertFailEPKcS2_jS2_RKSs"
"""A function of PyTorch 2.5, whose C++ had other strings."""


class Bench:
    """Where images are rehearsed: the engine has the good one, so that only their own layer is pulled."""

    def __init__(self, good: CudaImage, folder: Path) -> None:
        (spec,) = matrix.select(matrix.load(ROOT / "matrix.yaml"), [CELL])
        locked = lock.read(spec, ROOT / "locks")
        assert locked
        tiny_model.write(folder / "model")
        self.good, self.folder, self.engine = good.image.ref, folder, Engine.connect()
        self.engine.pull(self.good)
        self.trial = Trial(
            cell=spec.cell,
            run=f"rehearsal-{time.time_ns()}",
            target=ImageTarget(ref=str(self.good)),
            expected=expectations_of(spec, locked),
            model=str(folder / "model"),
            rehearses=True,
            driver_symbols=good.certificate.driver_symbols,
        )

    @contextmanager
    def rehearsing(self, ref: ImageRef, seconds: float = 300, **changes: Any) -> Iterator[Rehearsing]:
        """A rehearsal of this image; it leaves the engine after it."""
        changes |= {"target": ImageTarget(ref=str(ref)), "healthy_seconds": seconds}
        try:
            running = Rehearsing(self.trial.model_copy(update=changes), self.folder / "server.log")
            try:
                yield running
            finally:
                running.close()
        finally:
            if ref != self.good:
                self.engine.release(ref)
                Registry(ref.repository).delete_manifest(ref.digest)

    def refused(self, check: Callable[[Rehearsing], None], *items: Item, seconds: float = 300) -> str:
        """What a check of the rehearsal saw of the image with these files, which it refuses."""
        ref = sabotaged(self.good, *items)
        with self.rehearsing(ref, seconds) as running, pytest.raises(Mismatch) as refusal:
            check(running)
        return refusal.value.actual


@pytest.fixture(scope="package")
def bench(cuda_image: CudaImage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """One for all of these tests."""
    bench = Bench(cuda_image, tmp_path_factory.mktemp("rehearsal"))
    yield bench
    assert bench.engine.of_run(bench.trial.run) == ()
    bench.engine.close()


# -- the good one -----------------------------------------------------------------------------------


def test_a_build_rehearses_its_image_and_remembers_it(cuda_image: CudaImage) -> None:
    """It waits for a GPU then, and has no right to a tag."""
    row = cuda_image.builder.status()
    checks = {check["name"]: check["outcome"] for check in row["rehearsal"]["checks"]}
    assert checks == dict.fromkeys(check_names(), "passed")
    assert (row["state"], row["pending"], row["steps"]) == ("unproven", "needs a GPU", ["verify", "publish"])
    assert "pending: needs a GPU (rehearsed 5/5)" in cuda_image.builder.types("plan", CELL).stdout
    again = cuda_image.builder.types("verify", CELL)
    assert (again.returncode, "took" in again.stderr) == (0, False), again.stderr
    gate = cuda_image.builder.types("gate", str(cuda_image.image.ref), "--json")
    assert gate.returncode == 1
    assert [reason["code"] for reason in json.loads(gate.stdout)["reasons"]] == ["no-proof"]


def check_names() -> list[str]:
    return [name.removeprefix("rehearse_") for name in vars(check_rehearsal) if name.startswith("rehearse_")]


# -- what does not load -----------------------------------------------------------------------------


def extension(bench: Bench, symbol: str) -> bytes:
    """An extension of Python's that needs this function."""
    source = f"void {symbol}(void); void *PyInit__C(void) {{ {symbol}(); return 0; }}"
    made = bench.folder / "extension.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-o", made, "-x", "c", "-"], input=source, text=True, check=True
    )
    return made.read_bytes()


@pytest.mark.parametrize("place", ["vllm/_C.abi3.so", "an_extension/_C.so"])
def test_an_extension_for_another_torch_is_refused(bench: Bench, place: str) -> None:
    """In vLLM or in any other package, whether its name has a tag or not."""
    body = extension(bench, OF_ANOTHER_TORCH)
    seen = bench.refused(check_rehearsal.rehearse_imports, file(f"{SITE}/{place}", body))
    assert f"undefined symbol: {OF_ANOTHER_TORCH}" in seen


def test_an_extension_that_wants_what_no_driver_has_is_refused(bench: Bench) -> None:
    """The double defines what the certificate saw, and nothing else."""
    body = extension(bench, "cuOfTomorrow")
    seen = bench.refused(check_rehearsal.rehearse_imports, file(f"{SITE}/vllm/_C.abi3.so", body))
    assert "undefined symbol: cuOfTomorrow" in seen


def test_a_missing_library_of_cuda_is_refused(bench: Bench) -> None:
    lost = gone(f"{SITE}/nvidia/cu13/lib/libcublas.so.13")
    assert "libcublas.so.13: cannot open shared object" in bench.refused(
        check_rehearsal.rehearse_versions, lost
    )


@pytest.mark.parametrize(
    "path",
    [
        "nvidia/cudnn/lib/libcudnn_engines_precompiled.so.9",
        "vllm/_C_stable_libtorch.abi3.so",
    ],
)
def test_what_is_loaded_late_is_missed_too(bench: Bench, path: str) -> None:
    """The engines of cuDNN are opened at the first convolution; vLLM only warns of its own compiled part."""
    seen = bench.refused(check_rehearsal.rehearse_installed, gone(f"{SITE}/{path}"))
    assert seen == f"gone: {SITE}/{path}"


def test_a_pytorch_for_the_cpu_is_refused(bench: Bench) -> None:
    version = "__version__ = '2.11.0+cpu'\ndebug = False\ncuda = hip = rocm = xpu = None\ngit_version = ''\n"
    replaced = file(f"{SITE}/torch/version.py", version)
    compiled = gone(f"{SITE}/torch/__pycache__/version.cpython-311.pyc")  # it is believed, unchecked
    assert bench.refused(check_rehearsal.rehearse_versions, replaced, compiled) == "2.11.0+cpu"


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        (f"{SITE}/a.pth", "import sys; raise RuntimeError('of a .pth')", "RuntimeError: of a .pth"),
        (f"{SITE}/a.pth", "import sys; sys.stderr.write('hello')", "hello"),
        (SITECUSTOMIZE, "print('hello')", "hello"),
    ],
)
def test_what_disturbs_every_start_of_python_is_refused(
    bench: Bench, path: str, text: str, said: str
) -> None:
    seen = bench.refused(check_rehearsal.rehearse_imports, file(path, text))
    assert said in seen


# -- the entrypoint ---------------------------------------------------------------------------------

PYTHON = "#!/opt/venv/bin/python -IS\nimport os, socket, sys, time\n"
WORDS = "RuntimeError: No CUDA GPUs are available"


def entered(bench: Bench, script: str, *items: Item, seconds: float = 300) -> str:
    """What is said against an image whose entrypoint is this Python."""
    return bench.refused(
        check_rehearsal.rehearse_entrypoint, file(ENTRYPOINT, PYTHON + script), *items, seconds=seconds
    )


@pytest.mark.parametrize(
    ("script", "asked"),
    [
        ("socket.getaddrinfo('hub.example.org', 443)\n", "the name hub.example.org"),
        ("socket.create_connection(('192.0.2.7', 443))\n", "1 times for a way out"),
        ("socket.socket(socket.AF_INET6).connect(('2001:db8::7', 443))\n", "1 times for a way out"),
    ],
    ids=["a name", "an address", "an address of IPv6"],
)
def test_an_entrypoint_that_asks_the_network_is_refused_for_that(
    bench: Bench, script: str, asked: str
) -> None:
    assert entered(bench, script) == f"it asked {asked}"


def test_it_is_refused_for_that_though_it_goes_on_to_the_right_end(bench: Bench) -> None:
    """Whoever ignores that there is no network waits for it in production."""
    server = ["python", "-m", "vllm.entrypoints.openai.api_server"]
    script = "try: socket.getaddrinfo('hub.example.org', 443)\nexcept OSError: pass\n"
    script += f"os.execvp('python', {server} + sys.argv[1:])\n"
    assert entered(bench, script) == "it asked the name hub.example.org"


@pytest.mark.parametrize(
    ("script", "seen"),
    [
        ("sys.exit(0)\n", "exit code 0"),
        ("import nothing\n", "ModuleNotFoundError: No module named 'nothing'"),
        (f"sys.exit('{WORDS}')\n", "no error of vllm that says so"),
        ("raise RuntimeError('No CUDA GPUs are available')\n", "no error of vllm that says so"),
        ("time.sleep(900)\n", "no end within 20 s"),
    ],
    ids=["ends well", "another reason", "the words alone", "the words, by itself", "hangs"],
)
def test_an_entrypoint_that_ends_otherwise_is_refused(bench: Bench, script: str, seen: str) -> None:
    assert entered(bench, script, seconds=20).startswith(seen)


@pytest.mark.parametrize("path", ["/nowhere", "/etc/passwd"], ids=["is not there", "cannot be run"])
def test_an_entrypoint_that_cannot_be_started_is_refused(bench: Bench, path: str) -> None:
    ref = sabotaged(bench.good, entrypoint=[path])
    with bench.rehearsing(ref) as running, pytest.raises(Mismatch, match=path):
        check_rehearsal.rehearse_entrypoint(running)


def test_of_an_image_without_vllm_pytorch_has_to_notice_that_there_is_no_gpu(bench: Bench) -> None:
    """Its entrypoint is Python."""
    ref = sabotaged(bench.good, entrypoint=["tini", "--", "python"])
    with bench.rehearsing(ref, cell=replace(bench.trial.cell, vllm=None)) as running:
        check_rehearsal.rehearse_entrypoint(running)
        assert "RuntimeError: No CUDA GPUs are available" in running.entered().log


# -- what cannot be rehearsed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("items", "seen"),
    [
        ((gone("/opt/venv/bin/python3"), gone("/usr/bin/python3")), "executable file not found"),
        ((file("/opt/venv/bin/python3", b"\x7fELF of another kind"),), "exec format error"),
        ((file(SITECUSTOMIZE, "import os; os._exit(0)"),), "exit code 0"),
    ],
    ids=["none", "one of another kind", "one that ends at once"],
)
def test_an_image_without_a_python_that_runs_is_refused(
    bench: Bench, items: tuple[Item, ...], seen: str
) -> None:
    ref = sabotaged(bench.good, *items)
    with pytest.raises(Mismatch, match=f"Python that runs; saw .*{seen}"), bench.rehearsing(ref):
        pass


def test_an_image_for_another_architecture_is_refused(bench: Bench) -> None:
    ref = sabotaged(bench.good, architecture="arm64")
    with pytest.raises(Mismatch, match="an image for linux/amd64; saw linux/arm64"), bench.rehearsing(ref):
        pass


def test_where_no_double_can_be_compiled_nothing_is_known(bench: Bench) -> None:
    """One clear error, and nothing is left."""
    compilers = (gone(f"/usr/bin/{name}") for name in ("cc", "gcc", "clang"))
    ref = sabotaged(bench.good, *compilers)
    with pytest.raises(MachineError, match="there is no C compiler on PATH"), bench.rehearsing(ref):
        pass


# -- the whole way ----------------------------------------------------------------------------------


def test_a_rehearsal_that_failed_refuses_the_image_before_any_gpu(cuda_image: CudaImage) -> None:
    """By exit code, state and reason; it is remembered, until it is asked for again."""
    bad = sabotaged(cuda_image.image.ref, file(ENTRYPOINT, "#!/bin/true\n"))
    with in_the_place_of(cuda_image, bad) as builder:
        done = builder.types("verify", CELL)
        assert done.returncode == 1, done.stderr
        assert "check entrypoint: failed\n  expected: an entrypoint that ends" in done.stderr
        row = builder.status()
        (reason, *_) = row["reasons"]
        assert (row["state"], row["steps"], reason["code"]) == ("failed", [], "rehearsal-failed")
        assert builder.types("gate", row["image"]["ref"]).returncode == 1
        again = builder.types("verify", CELL)
        assert (again.returncode, "took" in again.stderr) == (1, False), again.stderr
