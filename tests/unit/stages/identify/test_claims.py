"""What an image says of itself, and what of it is not so."""

from __future__ import annotations

import pytest

from pipeline.compat import shipped
from pipeline.formats.image_config import ImageConfig
from pipeline.stages import identify
from pipeline.stages.identify.claims import claims_of
from tests.crafted import a
from tests.unit.stages.identify.crafted_stacks import identity, python, torch, vllm

TAGS = {
    "docker.io/pytorch/pytorch:2.6.0-cuda12.4-cudnn9-devel": {("cuda", "12.4"), ("torch", "2.6.0")},
    "docker.io/vllm/vllm-openai:v0.11.0": {("vllm", "0.11.0")},
    "docker.io/vllm/vllm-openai:v0.11.0-cu129": {("vllm", "0.11.0"), ("cuda", "12.9")},
    "nvcr.io/nvidia/pytorch:25.03-py3": set(),
    "docker.io/nvidia/cuda:12.8.1-runtime-ubuntu22.04": set(),
    "r.example.org/x:torch2.9-cu128-py312": {("torch", "2.9"), ("cuda", "12.8"), ("python", "3.12")},
    "127.0.0.1:5000/tagproof/vllm:vllm0.32.0-torch2.13.0-cpu-py3.11-0123456789ab": {
        *(("vllm", "0.32.0"), ("torch", "2.13.0")),
        *(("cuda", "none"), ("python", "3.11")),
    },
    "127.0.0.1:5000/team/vllm": set(),
    "r.example.org/app:latest": set(),
    "r.example.org/app:cuda13": {("cuda", "13")},
    "/images/torch2.9.tar": set(),
    f"r.example.org/x:cu128@sha256:{'0' * 64}": {("cuda", "12.8")},
}  # fmt: skip


@pytest.mark.parametrize("name", TAGS)
def test_a_tag_says_what_people_write_into_tags(name: str) -> None:
    assert {(claim.axis, claim.value) for claim in claims_of(name, ImageConfig())} == TAGS[name]


def contradicted(**words: object) -> list[tuple[str, str, str]]:
    """Where, what is said, and what is there, of PyTorch 2.11.0 for CUDA 13.0 and vLLM 0.26.0."""
    seen = identity(python(), *torch(), vllm(), **words)  # type: ignore[arg-type] # what identity takes
    return [(one.claim.where, one.claim.value, one.seen) for one in seen.contradictions]


@pytest.mark.parametrize("tag", ["2.11.0-cuda13.0", "torch2.11-cu130-py3.11", "cuda13", "v0.26.0", "latest"])
def test_a_tag_that_is_so_is_not_contradicted(tag: str) -> None:
    assert contradicted(name=f"r.example.org/vllm/app:{tag}") == []


@pytest.mark.parametrize(
    ("name", "said", "there"),
    [
        ("pytorch/pytorch:2.9.0-cuda13.0", "2.9.0", "2.11.0+cu130"),
        ("x/app:cu128", "12.8", "13.0"),
        ("x/app:py3.12", "3.12", "3.11"),
        ("x/app:cpu", "none", "13.0"),
        ("vllm/vllm-openai:v0.25.1", "0.25.1", "0.26.0"),
    ],
)
def test_a_tag_that_lies_is_contradicted(name: str, said: str, there: str) -> None:
    assert contradicted(name=f"r.example.org/{name}") == [("its tag", said, there)]


def test_a_label_that_a_file_contradicts_is_told() -> None:
    labels = {"tagproof.torch": "2.13.0", "tagproof.cuda": "cu130", "tagproof.vllm": "none"}
    assert contradicted(labels=labels) == [
        ("label tagproof.torch", "2.13.0", "2.11.0+cu130"),
        ("label tagproof.vllm", "none", "0.26.0"),
    ]


def test_a_variable_of_the_base_that_was_overtaken_is_told() -> None:
    """Pip took another PyTorch over the base's; its makers' variable still names the first."""
    assert contradicted(env={"PYTORCH_VERSION": "v2.6.0", "PYTHON_VERSION": "3.11.9"}) == [
        ("PYTORCH_VERSION", "2.6.0", "2.11.0+cu130")
    ]


def test_the_variable_of_a_toolkit_speaks_of_the_toolkit() -> None:
    """CUDA_VERSION is set by NVIDIA's bases, whose toolkit PyTorch's wheels do not use."""
    runtime = a("usr/local/cuda-12.8/lib64/libcudart.so.12.8.90")
    seen = identity(python(), *torch(), runtime, env={"CUDA_VERSION": "12.8.1"})
    assert not seen.contradictions
    assert not contradicted(env={"CUDA_VERSION": "12.8.1"})


def test_a_tag_that_promises_cuda_where_there_is_none_is_contradicted() -> None:
    seen = identity(python(), *torch(version="2.13.0+cpu", cuda=""), name="r.example.org/app:cu130")
    assert [(one.claim.value, one.seen) for one in seen.contradictions] == [("13.0", "none")]


def test_without_a_look_inside_it_is_what_labels_and_tag_say() -> None:
    config = ImageConfig(
        labels={"tagproof.torch": "2.13.0", "tagproof.cuda": "cu130"}, platform="linux/amd64"
    )
    said = identify.by_labels("r.example.org/vllm:v0.33.0", f"sha256:{'0' * 64}", config, shipped())
    assert (said.torch, said.cuda, said.vllm, said.seen_in) == ("2.13.0", "13.0", "0.33.0", "labels")
    assert said.driver == "580"
