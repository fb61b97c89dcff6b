"""What other programs write or print."""

from __future__ import annotations

import base64
import io
import json
import subprocess
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest

from pipeline import compat
from pipeline.adapters import buildx, uv
from pipeline.adapters.engine import Finished
from pipeline.adapters.engine.ownership import is_orphan, owner
from pipeline.compat import diagnosis, gpus_here
from pipeline.formats.image_config import ImageConfig
from pipeline.model import Check, ImageTarget, Outcome, Repository
from pipeline.runner.doctor import inside, machine
from pipeline.stages import build, environments, lock, verify
from pipeline.suite import device, driver_double, golden, probes
from pipeline.suite.checks import check_environment, check_modes
from pipeline.suite.checks.check_openai import expect_fits
from pipeline.suite.expect import Mismatch, NotRun
from pipeline.suite.exposure import routes_of
from pipeline.suite.model import locate
from pipeline.suite.modes import PROMPTS, Modes
from pipeline.suite.targets.beside import Beside
from pipeline.suite.targets.target import Completed
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
SIGHT = {
    "torch": "2.13.0+cu130",
    "cuda": "13.0",
    "said": "No CUDA GPUs are available",
    "library": "/usr/lib/libcuda.so.1",
    "failure": "",
    "is_on_root": False,
    "is_in_prefix": False,
    "version": 13000,
    "init": 803,
    "devices": None,
    "nodes": ["nvidia0"],
    "module": "580.65.06",
    "visible": None,
    "capabilities": "",
    "torches": ["torch 2.13.0 in /x by uv"],
    "conda": [],
}
SEEN = f"{probes.MARK}{json.dumps(SIGHT)}\n".encode()
OBJECT = base64.b64encode(b"\x7fELF and more").decode()
MADE = {"made": {"libcuda.so.1": OBJECT, "libnvidia-ml.so.1": OBJECT}}
COMPILED = f"{probes.MARK}{json.dumps(MADE)}\n".encode()
ANSWERS = [
    {"tokens": list(answer.tokens[:1]), "logprobs": [[-0.1, -3.0, -4.0, -5.0, -6.0]]}
    for answer in golden.read().answers[:PROMPTS]
]
MODES = json.dumps(
    {
        "compilers": {"seconds": 1.0, "answer": {"torch.compile": {"deviation": 1e-6, "files": ["made.so"]}}},
        "gptq": {"seconds": 1.0, "answer": ANSWERS},
        "awq": {"seconds": 1.0, "error": "Minimum capability: 75", "log": ""},
        "fp8": {"seconds": 1.0, "error": "ended by signal 11"},
        "int8": {"seconds": 1.0, "answer": ANSWERS},
        "lora": {"seconds": 1.0, "answer": ANSWERS * 2},
        "embed": {"seconds": 1.0, "answer": [[1.0] * 128] * PROMPTS},
        "multimodal": {"seconds": 1.0, "answer": (ANSWERS * 2)[:5]},
        "long_context": {"seconds": 1.0, "answer": ANSWERS[:1]},
    }
).encode()
ROUTES = b'{"paths": {"/v1/models": {"get": {}}, "/metrics": {"get": {}}}}'
ANSWER = {"status": 200, "type": "text/plain", "body": base64.b64encode(b"well").decode()}
ANSWERED = f"{probes.MARK}{json.dumps(ANSWER)}\n".encode()
PROBED = f"{probes.MARK}{json.dumps(PACKAGES)}\n".encode()


def read_pylock(data: bytes, place: Path) -> object:
    """What uv wrote, which here is a program that copies; of it a lock is made."""
    path = put(place, "made.toml", data)
    spec = builders.spec(builders.PYTORCH_CELL)
    with standing_in(pipeline__adapters__uv___uv=lambda: ["sh", "-c", f"cp '{path}' pylock.toml", "uv"]):
        return lock.make(spec, builds={"torch": spec.cell.cuda})


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
    return environments.of_python(python)


def probe_image(data: bytes, _: Path) -> object:
    """What the Pythons of an image print."""
    said = Finished(0, data.decode("utf-8", "replace"), "")
    engine: Any = SimpleNamespace(run=lambda _launch, seconds: seconds and said)
    return environments.of_image(engine, "an image", ImageConfig(platform="linux/amd64"), "run")


def read_metadata(data: bytes, place: Path) -> object:
    """What buildx says that it built."""
    recipe = buildx.Recipe(place, place, "linux/amd64", 0, {}, {}, {})
    target = Repository("127.0.0.1:5000", "a").tagged("b")

    def run(command: list[str], *_: object) -> None:
        Path(command[command.index("--metadata-file") + 1]).write_bytes(data)

    with standing_in(pipeline__adapters__buildx___run=run):
        return buildx.build(recipe, target, snapshotter=True, cache=True, progress=lambda _: None)


def ask_beside(data: bytes, _place: Path) -> object:
    """What a probe beside a server tells of the server's answer."""
    server: Any = SimpleNamespace(python=lambda *_, **__: Completed(0, data.decode(errors="replace"), ""))
    with httpx2.Client(transport=Beside(server, 8000), trust_env=False) as client:
        return client.get("http://127.0.0.1:8000/health").text


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
    return list(verify._names(ended, put(place, "results.jsonl", data), 1, 1))


def read_uv(data: bytes, place: Path) -> object:
    """The wheel with the program uv, which goes into an image."""
    folder = place / "tools"
    if folder.exists():
        for one in (*folder.rglob("tools/*"), folder / "tools"):
            one.unlink() if one.is_file() else one.rmdir()
    folder.mkdir(exist_ok=True)
    return build._tool_folder(folder, builders.spec(CPU), ROOT / "images", put(place, "uv.whl", data))


def read_double(data: bytes, _: Path) -> object:
    """The double of the driver that an image compiled."""
    return driver_double.libraries_in(data.decode("utf-8", "replace"))


def read_modes(data: bytes, _: Path) -> None:
    """Each of its checks may refuse what it reads; that is no error."""
    modes = Modes(probes.result(f"{probes.MARK}{data.decode('utf-8', 'replace')}"))
    trial_run: Any = SimpleNamespace(trial=SimpleNamespace(cell=builders.CPU_CELL))
    with suppress(Mismatch):
        check_modes.check_compilers(trial_run, modes, print, print)
    for check in (
        check_modes.check_quantized,
        check_modes.check_lora,
        check_modes.check_embed,
        check_modes.check_multimodal,
        check_modes.check_long_context,
    ):
        with suppress(Mismatch, NotRun):
            check(modes, print, print)


def look_at_driver(data: bytes, _: Path) -> object:
    """What is seen of the driver, in an image without CUDA."""
    stage: Any = SimpleNamespace(
        trial=SimpleNamespace(cell=builders.CUDA_CELL, target=ImageTarget(ref="a")),
        probe=lambda _: probes.result(data.decode("utf-8", "replace")),
    )
    return check_environment._without_cuda(stage)


def read_cache(data: bytes, _: Path) -> object:
    """What a server's metrics say of its cache."""
    return device.expect_cache(data.decode("utf-8", "replace"), 0.9)


CACHE = b'vllm:cache_config_info{gpu_memory_utilization="0.9",num_gpu_blocks="27411"} 1.0\n'

GPUS = json.dumps(
    {
        "nodes": ["nvidia0"],
        "module": "580.65.06",
        "cards": 2,
        "card_drivers": ["nvidia"],
        "switches": 4,
        "has_fabric_manager": False,
        "has_iommu": True,
        "failure": None,
        "said": "",
        "library": "/l.so.1",
        "driver": "580.65.06",
        "cuda": 13000,
        "peers": [[0, 1, 0, 5]],
        "gpus": [
            {
                "name": "NVIDIA H100",
                "capability": [9, 0],
                "memory": 1 << 36,
                "instances": 0,
                "fabric": [2, 0],
                "failure": None,
            }
        ],
    }
)
"""What the probe of a host's GPUs prints."""


def read_gpus(data: bytes, _: Path) -> object:
    """How the GPUs of a host stand by what the probe prints."""
    sight = machine.sight_in(data.decode("utf-8", "replace"))
    return sight and gpus_here.aspects(sight, compat.shipped())


def read_inside(data: bytes, _: Path) -> object:
    """What an image's own Python says of the driver."""
    done = Completed(0, data.decode("utf-8", "replace"), "")
    return inside._told("an image", done, is_image=True, is_for_cpu=False)


LOG = b"""\
2026-06-10T12:00:21.123456789Z stderr F (EngineCore pid=60) ERROR 06-10 12:00:21 [core.py:718] Traceback
{"log": "The NVIDIA driver on your system is too old (found version 12040).\\n", "stream": "stderr"}
| NVIDIA-SMI 550.54.14    Driver Version: 550.54.14    CUDA Version: 12.4 |
RuntimeError: Engine core initialization failed. See root cause above.
"""

READERS = (
    Reader("routes of a server", lambda data, _: routes_of(data.decode(errors="replace")), (ROUTES,),
           refuses=(Mismatch,)),
    Reader("a structured answer", lambda data, _: expect_fits("an answer", data.decode(errors="replace")),
           (b'{"build": "cpu", "works": true}',), refuses=(Mismatch,)),
    Reader("an answer beside a server", ask_beside, (ANSWERED,), refuses=(httpx2.HTTPError,)),
    Reader("GPUs of a host", read_gpus, (f"{probes.MARK}{GPUS}\n".encode(),)),
    Reader("inside of an image", read_inside, (SEEN,)),
    Reader("log of a failure", lambda data, _: diagnosis.read(io.BytesIO(data)), (LOG,)),
    Reader("pylock", read_pylock, (PYLOCK,)),
    Reader("buildx", read_metadata, (json.dumps({"containerimage.digest": str(DIGEST)}).encode(),)),
    Reader("name of a wheel", resolve_from, (b"torch-2.13.0+cpu-cp311-cp311-linux_x86_64",)),
    Reader("environment", look_at_environment, (PROBED,)),
    Reader("environment of an image", probe_image, (PROBED,)),
    Reader("owner of a container", lambda data, _: is_orphan(data.decode("utf-8", "surrogateescape")),
           (owner().encode(),)),
    Reader("results", read_results, (RESULTS,)),
    Reader("collected tests", lambda data, place: verify._collected(put(place, "names.json", data)),
           (b'{"names": ["user:test_a::test_b"], "refused": "", "hint": ""}',)),
    Reader("results as they come", follow_results, (RESULTS,)),
    Reader("probe", lambda data, _: probes.result(data.decode("utf-8", "replace")), (PROBED,)),
    Reader("driver", look_at_driver, (SEEN,)),
    Reader("double of the driver", read_double, (COMPILED,), refuses=(ValueError,)),
    Reader("modes", read_modes, (MODES,)),
    Reader("cache of a server", read_cache, (CACHE,), refuses=(Mismatch,)),
    Reader("revision of a model", read_revision, (b"0123abcd\n",)),
    Reader("name of a model", lambda data, _: locate(data.decode("utf-8", "surrogateescape")), ()),
    Reader("wheel of uv", read_uv, (zipped(uv__scripts__uv=b"program"),)),
)  # fmt: skip
