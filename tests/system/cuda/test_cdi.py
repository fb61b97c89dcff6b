"""A container gets through CDI what a specification names, and a specification that is broken is named.

The engine, CDI and the container are real; the driver's library is its double, the GPU a device that any
machine has.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.engine import Engine, GpuAccess, Launch
from pipeline.model.errors import MACHINE, EngineError
from pipeline.suite import probes
from pipeline.suite.driver_double import CUDA, Answers, source
from tests.crafted import Item, tar
from tests.system.own_engine import own_engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.model import ImageRef
    from tests.system.own_engine import OwnEngine

pytestmark = pytest.mark.needs("dockerd", "containerd", "compiler", "root")

ASK = """
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
int main(int count, char **paths) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int version = 0;
    if (driver) {
        ((int (*)(int *))dlsym(driver, "cuDriverGetVersion"))(&version);
        printf("driver %d %d\\n", version, ((int (*)(int))dlsym(driver, "cuInit"))(0));
    }
    for (int one = 1; one < count; one++) {
        struct stat found;
        if (!stat(paths[one], &found) && S_ISCHR(found.st_mode)) printf("%s\\n", paths[one]);
    }
    if (getenv("GPUS_OF")) printf("%s\\n", getenv("GPUS_OF"));
    return 0;
}
"""
"""Says what a container sees: the driver's answers, which of its arguments are devices, and a variable."""


@pytest.fixture(scope="module")
def engine() -> Iterator[OwnEngine]:
    """An engine with CDI, and nothing in it."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # the path of a socket has to be short
    try:
        with own_engine(folder) as own:
            yield own
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def image(engine: OwnEngine, tmp_path_factory: pytest.TempPathFactory) -> ImageRef:
    """An image with one program, and the libraries that it links."""
    program = tmp_path_factory.mktemp("image") / "ask"
    subprocess.run(["gcc", "-x", "c", "-", "-o", program, "-ldl"], input=ASK, text=True, check=True)
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    needed = [Path(word) for word in linked.split() if word.startswith("/")]
    files = {"ask": program, **{str(path).lstrip("/"): path for path in needed}}
    return engine.takes(
        tar(*(Item(path, content=file.read_bytes(), mode=0o755) for path, file in files.items()))
    )


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The double of the driver's library, a file of this machine."""
    command = [sys.executable, "-c", probes.source("compiled"), source((), Answers(802, 13020)), CUDA]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    library = tmp_path_factory.mktemp("driver") / CUDA
    library.write_bytes(base64.b64decode(probes.result(done.stdout)["made"][CUDA]))
    library.chmod(0o755)
    return library


def gpu(path: str = "/dev/nvidia0", on_host: str = "/dev/null") -> dict[str, Any]:
    """What a container gets with a device: a node."""
    return {"deviceNodes": [{"path": path, "hostPath": on_host}]}


@dataclass(frozen=True)
class Bench:
    """The engine, a connection to it, an image, the driver's library, and the place of a specification."""

    own: OwnEngine
    engine: Engine
    image: ImageRef
    driver: Path
    file: Path

    def text(self, **devices: dict[str, Any]) -> str:
        """A specification as nvidia-ctk writes it: devices by name, and for each of them the driver."""
        mount = {
            "hostPath": str(self.driver),
            "containerPath": f"/usr/lib/{CUDA}",
            "options": ["ro", "nosuid", "nodev", "bind"],
        }
        content = {
            "cdiVersion": "0.5.0",
            "kind": "nvidia.com/gpu",
            "devices": [{"name": name, "containerEdits": edits} for name, edits in devices.items()],
            "containerEdits": {"env": ["GPUS_OF=the specification"], "mounts": [mount], "hooks": []},
        }
        return json.dumps(content)

    def sees(self, *, gpus: bool = True) -> list[str]:
        """What a container sees of a driver and of two GPUs."""
        paths = ("/dev/nvidia0", "/dev/nvidia1")
        launch = Launch(self.image, "tests-of-cdi", entrypoint=("/ask",), command=paths, gpus=gpus)
        done = self.engine.run(launch, seconds=60)
        assert done.exit_code == 0, done.stderr
        return done.stdout.splitlines()

    def refusal(self) -> EngineError:
        """Why no container with GPUs can be started; none is left."""
        with pytest.raises(EngineError) as raised:
            self.sees()
        assert self.own.docker("ps", "--all", "--quiet") == ""
        assert raised.value.exit_code == MACHINE
        return raised.value


@pytest.fixture
def bench(
    engine: OwnEngine, image: ImageRef, driver: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """All of it, with no specification."""
    monkeypatch.setenv("DOCKER_HOST", engine.address)
    file = engine.specifications / "nvidia.json"
    with Engine.connect() as connection:
        yield Bench(engine, connection, image, driver, file)
    file.unlink(missing_ok=True)


def test_a_container_sees_the_device_the_driver_and_the_variable(bench: Bench) -> None:
    """And one that asks for no GPU sees nothing of it."""
    bench.file.write_text(bench.text(**{"0": gpu(), "all": gpu()}))
    assert bench.engine.gpu_access() == GpuAccess("cdi", ("nvidia.com/gpu=all",))
    assert bench.sees() == ["driver 13020 802", "/dev/nvidia0", "the specification"]
    assert bench.sees(gpus=False) == []


def test_without_a_device_for_all_it_sees_each(bench: Bench) -> None:
    bench.file.write_text(bench.text(**{"0": gpu(), "1": gpu("/dev/nvidia1", "/dev/zero")}))
    assert bench.sees()[1:3] == ["/dev/nvidia0", "/dev/nvidia1"]


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "cut off": (lambda text: text[: len(text) // 2], "it is neither YAML nor JSON: line 1: "),
    "without devices": (
        lambda text: json.dumps(json.loads(text) | {"devices": []}),
        "devices: List should have at least 1 item",
    ),
    "of a GPU that is gone": (
        lambda text: text.replace("/dev/null", "/dev/nvidia-lost"),
        "the machine has no /dev/nvidia-lost; was the driver updated since?",
    ),
    "without a version": (lambda text: text.replace("cdiVersion", "version"), "cdiVersion: Field required"),
    "a number for a name": (
        lambda text: text.replace('"name": "all"', '"name": 0'),
        "devices.0.name: Input should be a valid string",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_specification_is_one_error_with_its_file(name: str, bench: Bench) -> None:
    """The engine itself says "unresolvable CDI devices", and nothing of a file."""
    spoil, why = BROKEN[name]
    bench.file.write_text(spoil(bench.text(all=gpu())))
    error = bench.refusal()
    assert error.what.startswith(f"the CDI specification {bench.file} cannot be used: {why}")
    assert f"nvidia-ctk cdi generate --output={bench.file}" in error.hint


def test_a_hook_that_fails_is_told_in_the_engines_words(bench: Bench) -> None:
    """No look at a specification finds that."""
    hook = '{"hookName": "createContainer", "path": "/bin/false"}'
    bench.file.write_text(bench.text(all=gpu()).replace('"hooks": []', f'"hooks": [{hook}]'))
    error = bench.refusal()
    assert error.what.startswith(f"could not start {bench.image}: ")
    assert "hook" in error.what
    assert "--device nvidia.com/gpu=all" in error.hint


def test_an_engine_without_a_specification_says_what_to_install(bench: Bench) -> None:
    error = bench.refusal()
    assert f"CDI has no nvidia.com/gpu in {bench.file.parent}" in error.what
    assert "nvidia-ctk cdi generate" in error.hint
    assert bench.sees(gpus=False) == []


@pytest.mark.needs("engine")
@pytest.mark.skipif(any(Path("/dev").glob("nvidia*")), reason="there is a GPU, and perhaps all that it needs")
def test_the_engine_of_a_machine_without_a_gpu_says_what_to_install() -> None:
    """That of this machine, as it is."""
    with Engine.connect() as engine, pytest.raises(EngineError) as raised:
        engine.gpu_access()
    assert raised.value.what.startswith("the engine gives no container a GPU: it has no nvidia runtime, ")
    assert raised.value.hint
