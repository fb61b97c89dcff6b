"""Sabotage of which copy is first: by name, on LD_LIBRARY_PATH, and beside the library that opens it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.image_files.nodes import Node
from tests.unit.stages.audit.audited_image import LIB, SITE, TORCH, TORCH_PATH, VLLM, Image, library, module
from tests.unit.stages.audit.sabotage import NOTE, WARNING, Case, add_case

if TYPE_CHECKING:
    from pipeline.model import ImageFinding

CASES: list[Case] = []
breaks = partial(add_case, CASES)

OWN_NCCL = f"{SITE}/nvidia/nccl/lib/libnccl.so.2"
OWN_CUDNN = f"{SITE}/nvidia/cudnn/lib"
NCCL_PATH = ("$ORIGIN/../../nvidia/nccl/lib",)


def nccl(image: Image, *others: str) -> None:
    """PyTorch with an NCCL of its own, of 2.30.4, and other copies, whose files alone say the release."""
    image.install("nvidia-nccl-cu13", "2.30.4")
    image.add(library(OWN_NCCL, "libc.so.6"))
    needs = (*image.objects[f"{TORCH}/libtorch_cuda.so"].needs, "libnccl.so.2")
    image.change(f"{TORCH}/libtorch_cuda.so", needs=needs, rpath=(*TORCH_PATH, *NCCL_PATH))
    for path in others:
        image.add(library(path, "libc.so.6", soname="libnccl.so.2"))
        link = f"{path.rpartition('/')[0]}/libnccl.so.2"
        image.put(Node(link, "link", 0o777, 0, 0, 0, 0, path.rpartition("/")[2]))


def cudnn(image: Image, version: str, *parts: str, runpath: tuple[str, ...] = ("$ORIGIN",)) -> None:
    """PyTorch with a cuDNN of its own, in parts that open each other by name."""
    image.install("nvidia-cudnn-cu13", version)
    image.add(library(f"{OWN_CUDNN}/libcudnn.so.9", "libc.so.6", runpath=runpath))
    for part in parts:
        image.add(library(f"{OWN_CUDNN}/libcudnn_{part}.so.9", "libc.so.6", runpath=runpath))
    needs = (*image.objects[f"{TORCH}/libtorch_cuda.so"].needs, "libcudnn.so.9")
    rpath = (*TORCH_PATH, "$ORIGIN/../../nvidia/cudnn/lib")
    image.change(f"{TORCH}/libtorch_cuda.so", needs=needs, rpath=rpath)


@breaks(
    "shadow", WARNING, f"gets {LIB}/libnccl.so.2.29.3 (2.29.3), not the {OWN_NCCL} (2.30.4) of its Python"
)
def an_older_nccl_of_the_distribution_is_first_by_name(image: Image) -> None:
    """https://github.com/verl-project/verl/pull/6621."""
    nccl(image, f"{LIB}/libnccl.so.2.29.3")


@breaks("shadow", NOTE, "who opens libnccl.so.2 by name gets")
def an_nccl_of_the_same_release_is_first_by_name(image: Image) -> None:
    nccl(image, f"{LIB}/libnccl.so.2.30.4")


@breaks("shadow", WARNING, "it opens /usr/lib/x86_64-linux-gnu/libcudnn_engines_tensor_ir.so.9.23.0")
def cudnn_opens_a_part_that_only_the_distribution_has(image: Image) -> None:
    """https://github.com/pytorch/pytorch/issues/188892."""
    cudnn(image, "9.20.0.48", "graph", "ops")
    path = f"{LIB}/libcudnn_engines_tensor_ir.so.9.23.0"
    image.add(library(path, soname="libcudnn_engines_tensor_ir.so.9"))
    link = f"{LIB}/libcudnn_engines_tensor_ir.so.9"
    image.put(Node(link, "link", 0o777, 0, 0, 0, 0, path.rpartition("/")[2]))


@breaks("shadow", WARNING, "it opens /opt/cudnn/lib/libcudnn_graph.so.9, /opt/cudnn/lib/libcudnn_ops.so.9")
def another_cudnn_is_on_ld_library_path(image: Image) -> None:
    """It goes before RUNPATH, for the parts that cuDNN opens by name."""
    cudnn(image, "9.20.0.48", "graph", "ops")
    for part in ("graph", "ops"):
        image.add(library(f"/opt/cudnn/lib/libcudnn_{part}.so.9"))
    image.env["LD_LIBRARY_PATH"] = "/opt/cudnn/lib"


@breaks("shadow", WARNING, f"LD_LIBRARY_PATH puts it before {SITE}/nvidia/cublas/lib/libcublas.so.13")
def another_cublas_is_on_ld_library_path(image: Image) -> None:
    """What has a RUNPATH, or none, takes it; PyTorch's own libraries have an RPATH."""
    image.add(library(f"{SITE}/nvidia/cublas/lib/libcublas.so.13", "libc.so.6"))
    image.add(library("/usr/local/cuda/lib64/libcublas.so.13", "libc.so.6"))
    runpath = ("$ORIGIN/../torch/lib", "$ORIGIN/../nvidia/cublas/lib")
    image.add(module(f"{VLLM}/_odd_C.abi3.so", "libc10.so", "libcublas.so.13", runpath=runpath))
    image.env["LD_LIBRARY_PATH"] = "/usr/local/cuda/lib64"


def cublas(image: Image, release: str) -> None:
    """PyTorch with an RPATH to its own cuBLAS of 13.0.0, and a toolkit's on LD_LIBRARY_PATH."""
    image.install("nvidia-cublas", "13.0.0.19")
    image.add(library(f"{SITE}/nvidia/cu13/lib/libcublas.so.13", "libc.so.6"))
    needs = (*image.objects[f"{TORCH}/libtorch_cuda.so"].needs, "libcublas.so.13")
    image.change(f"{TORCH}/libtorch_cuda.so", needs=needs)
    path = f"/usr/local/cuda/lib64/libcublas.so.{release}"
    image.add(library(path, "libc.so.6", soname="libcublas.so.13"))
    link = "/usr/local/cuda/lib64/libcublas.so.13"
    image.put(Node(link, "link", 0o777, 0, 0, 0, 0, path.rpartition("/")[2]))
    image.env["LD_LIBRARY_PATH"] = "/usr/local/cuda/lib64"


@breaks(
    "shadow", WARNING, "with other releases than the packages of the image's Python: libcublas.so.13 (13.1.0"
)
def a_toolkit_of_another_release_is_on_ld_library_path(image: Image) -> None:
    """PyTorch's RPATH goes before it, today: https://github.com/pytorch/pytorch/issues/80637."""
    cublas(image, "13.1.0.3")


def test_a_toolkit_of_the_same_release_is_no_finding() -> None:
    image = Image()
    cublas(image, "13.0.0.19")
    assert not found(image)


def found(image: Image) -> list[ImageFinding]:
    return [one for one in image.judged().findings if one.rule == "shadow"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_sabotage_is_found_once(case: Case) -> None:
    image = Image()
    case.spoil(image)
    (finding,) = found(image)
    assert not [one for one in image.judged().findings if "copies of" in one.text]
    assert case.words in finding.text
    assert finding.severity is case.severity


def test_a_variable_that_names_the_own_copy_is_enough() -> None:
    image = Image()
    nccl(image, f"{LIB}/libnccl.so.2.29.3")
    image.env["VLLM_NCCL_SO_PATH"] = OWN_NCCL
    assert not found(image)


def test_who_opens_nothing_by_name_is_not_warned() -> None:
    image = Image()
    nccl(image, f"{LIB}/libnccl.so.2.29.3")
    image.distributions = [one for one in image.distributions if one.name != "vllm"]
    assert not found(image)


def test_a_copy_where_the_loader_does_not_look_is_not_first() -> None:
    image = Image()
    nccl(image, "/opt/nccl/libnccl.so.2.29.3")
    assert not found(image)


def test_a_cudnn_with_all_its_parts_is_no_finding() -> None:
    """Its RUNPATH goes before the loader's own folders."""
    image = Image()
    cudnn(image, "9.20.0.48", "graph", "ops")
    for part in ("graph", "ops"):
        image.add(library(f"{LIB}/libcudnn_{part}.so.9"))
    assert not found(image)


def test_the_parts_of_another_major_are_nobodys_siblings() -> None:
    """NVRTC 13 opens the builtins of 13.0, not those of a toolkit 12.9 on the loader's path."""
    image = Image()
    image.add(library(f"{SITE}/nvidia/cu13/lib/libnvrtc.so.13", "libc.so.6", runpath=("$ORIGIN",)))
    image.add(library(f"{SITE}/nvidia/cu13/lib/libnvrtc-builtins.so.13.0"))
    image.add(library(f"{LIB}/libnvrtc-builtins.so.12.9"))
    needs = (*image.objects[f"{TORCH}/libtorch_cuda.so"].needs, "libnvrtc.so.13")
    image.change(f"{TORCH}/libtorch_cuda.so", needs=needs)
    assert not found(image)


def test_an_rpath_goes_before_ld_library_path() -> None:
    image = Image()
    nccl(image, "/opt/nccl/libnccl.so.2.29.3")
    image.env["LD_LIBRARY_PATH"] = "/opt/nccl"
    assert not [one for one in found(image) if "puts it before" in one.text]
