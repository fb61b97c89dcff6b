"""What is compiled at run time is linked, too: headers, names for the linker, and the driver's folder."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.stages.audit.audited_image import CUDA, Image, library
from tests.unit.stages.audit.sabotage import NOTE, WARNING, Case, add_case, assert_only_its_rule_finds

if TYPE_CHECKING:
    from pipeline.model import ImageFinding

CASES: list[Case] = []
breaks = partial(add_case, CASES)

HOME = "/usr/local/cuda"
MOUNTED = "/usr/local/nvidia/lib64"
HEADERS = ("cuda_runtime.h", "curand.h", "nvrtc.h", "cublasLt.h")


def flashinfer(image: Image, home: str = HOME) -> None:
    """Install FlashInfer, which compiles, and a whole toolkit for it."""
    image.install("flashinfer-python", "0.6.14")
    for program in ("bin/nvcc", "bin/cudafe++", "bin/ptxas", "bin/fatbinary", "nvvm/bin/cicc"):
        image.file(f"{home}/{program}", mode=0o755)
    for header in HEADERS:
        image.file(f"{home}/include/{header}")
    for name in ("cudart", "nvrtc", "cublasLt"):
        image.file(f"{home}/lib64/lib{name}.so")
    stub = library(f"{home}/lib64/stubs/libcuda.so", defined=frozenset({"cuInit"}), soname="libcuda.so.1")
    image.add(stub)


def remove(image: Image, *paths: str) -> None:
    for path in paths:
        del image.nodes[path]


def unmounted(image: Image) -> None:
    """Take the driver's folder out of the loader's configuration."""
    del image.texts["/etc/ld.so.conf.d/nvidia.conf"]


@breaks("jit", WARNING, "has no curand.h, nvrtc.h, cublasLt.h to include")
def nvcc_came_without_the_headers_of_libraries(image: Image) -> None:
    """The CUDA *runtime* base and cuda-nvcc: https://github.com/vllm-project/vllm/issues/33833."""
    flashinfer(image)
    remove(image, *(f"{HOME}/include/{header}" for header in HEADERS[1:]))


@breaks("jit", WARNING, "nvcc is there, and not what it calls: nvvm/bin/cicc")
def nvcc_came_without_the_compiler_behind_it(image: Image) -> None:
    """NVIDIA's wheels of CUDA 13 have it in a package of its own."""
    flashinfer(image)
    remove(image, f"{HOME}/nvvm/bin/cicc")


@breaks("jit", WARNING, "has no curand.h to include")
def the_header_of_curand_is_missing(image: Image) -> None:
    """https://github.com/syv-ai/qwen38-27b-rtx3090/pull/12."""
    flashinfer(image)
    remove(image, f"{HOME}/include/curand.h")


@breaks("jit", WARNING, "cannot link: -lnvrtc finds no libnvrtc.so")
def nvrtc_has_no_name_for_the_linker(image: Image) -> None:
    """https://github.com/mudler/LocalAI/pull/10257."""
    flashinfer(image)
    remove(image, f"{HOME}/lib64/libnvrtc.so")


@breaks("jit", WARNING, "-lcudart finds no libcudart.so; -lnvrtc")
def nvidias_wheels_stand_in_for_a_toolkit(image: Image) -> None:
    """https://github.com/ls1intum/edutelligence/pull/682: no lib64, and names with a version only."""
    home = CUDA.removesuffix("/lib")
    flashinfer(image, home)
    image.env["CUDA_HOME"] = home
    remove(image, *(f"{home}/lib64/lib{name}.so" for name in ("cudart", "nvrtc", "cublasLt")))


@breaks("jit", WARNING, "/lib64/stubs/libcuda.so defines no function of the driver")
def the_stub_of_the_driver_is_empty(image: Image) -> None:
    """The same report: --as-needed drops it, and the kernels' modules lack libcuda.so.1."""
    flashinfer(image)
    image.change(f"{HOME}/lib64/stubs/libcuda.so", defined=frozenset(), soname="")


@breaks("config", NOTE, f"the loader does not look in {MOUNTED}")
def the_driver_of_gke_is_not_found(image: Image) -> None:
    """https://github.com/keras-team/kinetic/issues/269, https://github.com/vllm-project/vllm/issues/18859."""
    unmounted(image)


@breaks("jit", WARNING, f"LD_LIBRARY_PATH has {MOUNTED}, and LIBRARY_PATH has not")
def the_driver_of_gke_is_found_by_the_loader_alone(image: Image) -> None:
    """https://github.com/llm-d/llm-d/issues/1063."""
    unmounted(image)
    image.env["LD_LIBRARY_PATH"] = f"/usr/local/nvidia/lib:{MOUNTED}/"


@breaks("jit", WARNING, "/sbin/ldconfig is not there")
def triton_cannot_ask_for_the_drivers_folder(image: Image) -> None:
    remove(image, "/sbin/ldconfig")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_sabotage_is_found_by_its_rule_and_by_no_other(case: Case) -> None:
    assert_only_its_rule_finds(case)


def beyond_the_healthy(image: Image) -> list[ImageFinding]:
    """What is found of weight."""
    return [one for one in image.judged().findings if one.severity is not NOTE]


def test_a_whole_toolkit_is_no_finding() -> None:
    image = Image()
    flashinfer(image)
    assert not beyond_the_healthy(image)


@pytest.mark.parametrize("variable", ["LIBRARY_PATH", "TRITON_LIBCUDA_PATH"])
def test_a_variable_that_the_linker_or_triton_reads_is_enough(variable: str) -> None:
    image = Image()
    unmounted(image)
    image.env |= {"LD_LIBRARY_PATH": MOUNTED, variable: MOUNTED}
    assert not beyond_the_healthy(image)


def test_headers_may_lie_elsewhere_if_a_variable_says_so() -> None:
    image = Image()
    flashinfer(image)
    for header in HEADERS:
        image.file(f"/opt/include/{header}")
    remove(image, *(f"{HOME}/include/{header}" for header in HEADERS))
    image.env["CPATH"] = "/opt/include"
    assert not beyond_the_healthy(image)


def test_a_link_to_the_wheels_folder_and_to_its_libraries_is_a_toolkit() -> None:
    image = Image()
    flashinfer(image)
    image.file("/usr/lib/libnvrtc.so")
    remove(image, f"{HOME}/lib64/libnvrtc.so")
    assert not beyond_the_healthy(image)


def test_the_remedy_names_the_packages_of_this_cuda() -> None:
    image = Image()
    flashinfer(image)
    image.compiler(f"{HOME}/bin/nvcc", "13.0", "sm_80", "sm_90a")
    remove(image, f"{HOME}/include/curand.h", f"{HOME}/include/nvrtc.h")
    (finding,) = beyond_the_healthy(image)
    assert (
        "libcurand-dev-13-0 cuda-nvrtc-dev-13-0 (apt), or nvidia-curand nvidia-cuda-nvrtc (pip)"
        in finding.hint
    )


def test_where_nothing_compiles_no_header_is_missed() -> None:
    image = Image()
    image.file(f"{HOME}/bin/nvcc", mode=0o755)
    assert not beyond_the_healthy(image)
