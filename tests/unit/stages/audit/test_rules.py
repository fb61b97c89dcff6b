"""Sabotage: each thing that goes wrong in images is found by the rule for it, and by no other."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from pipeline.adapters.image_files.nodes import Layer, Node
from pipeline.formats.elf.objects import Cached, DeviceCode
from pipeline.model import RULE_NAMES, Budget, PackageSize, Sizes
from pipeline.stages.audit.inventory import Distribution
from pipeline.stages.audit.rules import FAMILIES
from tests.unit.stages.audit.audited_image import (
    CUDART,
    LIB,
    SITE,
    TORCH,
    VLLM,
    Image,
    library,
    module,
)
from tests.unit.stages.audit.sabotage import ERROR, NOTE, WARNING, Case, add_case, assert_only_its_rule_finds
from tests.unit.stages.audit.test_config_rules import CASES as CONFIG_CASES
from tests.unit.stages.audit.test_hooks import CASES as HOOK_CASES

CASES: list[Case] = []
breaks = partial(add_case, CASES)


# -- closure ----------------------------------------------------------------------------------------


@breaks("closure", ERROR, "libnuma.so.1 is nowhere in the image")
def a_module_needs_a_library_that_is_nowhere(image: Image) -> None:
    image.add(module(f"{SITE}/numa.abi3.so", "libnuma.so.1"))


@breaks("closure", ERROR, "where it does not look")
def a_program_needs_a_library_that_lies_elsewhere(image: Image) -> None:
    image.add(library("/opt/odd/libodd.so"))
    image.add(replace(image.objects["/usr/bin/tini"], needs=("libodd.so",)))


@breaks("closure", WARNING, "where it does not look")
def a_module_relies_on_what_something_else_has_loaded(image: Image) -> None:
    image.add(library(f"{SITE}/other/lib/libodd.so"))
    image.add(module(f"{SITE}/odd.abi3.so", "libodd.so"))


@breaks("closure", WARNING, "libodd.so is nowhere in the image")
def a_library_that_its_package_opens_misses_another(image: Image) -> None:
    image.add(library(f"{SITE}/odd/lib/libmine.so", "libodd.so"))


@breaks("closure", NOTE, "libnvinfer.so.10 is nowhere in the image")
def a_backend_that_is_optional_misses_its_library(image: Image) -> None:
    providers = f"{SITE}/onnxruntime/capi/libonnxruntime_providers_tensorrt.so"
    image.add(library(providers, "libnvinfer.so.10"))


@breaks("closure", NOTE, "libodd.so is nowhere in the image")
def an_object_that_nobody_loads_misses_a_library(image: Image) -> None:
    image.add(library("/opt/odd/libunused.so", "libodd.so"))


@breaks("closure", ERROR, "has no GLIBC_2.39")
def a_module_asks_for_a_newer_glibc(image: Image) -> None:
    image.change(f"{VLLM}/_C.abi3.so", version_needs=(("libc.so.6", ("GLIBC_2.34", "GLIBC_2.39")),))


@breaks("closure", WARNING, "it cannot be read: truncated")
def a_library_is_truncated(image: Image) -> None:
    image.unreadable = ((f"{SITE}/odd/libodd.so", "truncated"),)


# -- symbols ----------------------------------------------------------------------------------------


@breaks("symbols", ERROR, "_ZN3c105OtherE and 1 more")
def an_extension_was_built_against_another_torch(image: Image) -> None:
    undefined = frozenset({"_ZN3c105OtherE", "an_operator", "malloc"})
    image.change(f"{VLLM}/_moe_C.abi3.so", undefined=undefined)


@breaks("symbols", ERROR, "_ZN3c105ErrorE")
def torch_was_swapped_under_an_extension(image: Image) -> None:
    image.change(f"{TORCH}/libc10.so", defined=frozenset({"_ZN3c105ErrorERKSs"}))


# -- one CUDA ---------------------------------------------------------------------------------------


@breaks("one-cuda", ERROR, "it links CUDA 12, but the image is for CUDA 13")
def an_extension_links_another_major(image: Image) -> None:
    image.add(library(f"{SITE}/odd/libcudart.so.12", "libc.so.6"))
    image.add(module(f"{SITE}/odd/_C.abi3.so", "libcudart.so.12", rpath=("$ORIGIN",)))


@breaks("one-cuda", NOTE, "libcublas.so.12 is of CUDA 12")
def a_library_of_another_major_lies_there_unused(image: Image) -> None:
    image.add(library(f"{SITE}/nvidia/cublas/lib/libcublas.so.12"))


@breaks("one-cuda", NOTE, "compiled by CUDA 12.8")
def kernels_were_compiled_by_another_major(image: Image) -> None:
    image.change(f"{VLLM}/_moe_C.abi3.so", compiled_by="12.8")


@breaks("one-cuda", WARNING, "nvcc's headers is of CUDA 13.2")
def a_part_of_the_toolkit_is_newer_than_the_runtime(image: Image) -> None:
    image.install("nvidia-cuda-crt", "13.2.51")


# -- device code ------------------------------------------------------------------------------------


@breaks("device-code", ERROR, "it has no code for any GPU")
def an_extension_was_built_empty(image: Image) -> None:
    image.change(f"{VLLM}/_moe_C.abi3.so", device_code=())


@breaks("device-code", ERROR, "it has no code for sm_90")
def the_core_has_no_code_for_an_architecture_asked_for(image: Image) -> None:
    image.change(f"{VLLM}/_C.abi3.so", device_code=(DeviceCode("cubin", "sm_80", 1),))


@breaks("device-code", ERROR, "it has no code for sm_90")
def code_for_a_family_of_another_architecture_does_not_count(image: Image) -> None:
    code = (
        DeviceCode("cubin", "sm_80", 1),
        DeviceCode("cubin", "sm_100f", 1),
        DeviceCode("cubin", "sm_89", 1),
    )
    image.change(f"{VLLM}/_C.abi3.so", device_code=code)


@breaks("device-code", NOTE, "it has no code for sm_80")
def kernels_for_some_models_lack_an_architecture(image: Image) -> None:
    image.change(f"{VLLM}/_moe_C.abi3.so", device_code=(DeviceCode("cubin", "sm_90a", 1),))


@breaks("device-code", ERROR, "FlashInfer's package of compiled kernels is empty")
def flashinfers_kernels_were_built_where_no_gpu_was_seen(image: Image) -> None:
    image.install("flashinfer-jit-cache", "0.7.0")


# -- driver floor -----------------------------------------------------------------------------------


@breaks("driver-floor", ERROR, "says 525.60.13, and what is inside needs driver 580")
def the_label_promises_an_older_driver(image: Image) -> None:
    image.expect_label("tagproof.driver.min", "525.60.13")


@breaks("driver-floor", WARNING, "says 590, and what is inside needs driver 580")
def the_label_asks_for_more_than_is_needed(image: Image) -> None:
    image.expect_label("tagproof.driver.min", "590")


@breaks("driver-floor", ERROR, "says 'none', and what is inside needs driver 580")
def the_label_says_that_no_driver_is_needed(image: Image) -> None:
    image.expect_label("tagproof.driver.min", "none")


@breaks("driver-floor", WARNING, "NVIDIA_REQUIRE_CUDA asks for CUDA 12.0")
def the_container_toolkit_is_told_to_let_older_drivers_in(image: Image) -> None:
    image.env["NVIDIA_REQUIRE_CUDA"] = "cuda>=12.0"


# -- jit --------------------------------------------------------------------------------------------


@breaks("jit", ERROR, "no compiler for C is on PATH")
def there_is_no_compiler(image: Image) -> None:
    del image.nodes["/usr/bin/gcc"]


@breaks("jit", ERROR, "CC names clang-99")
def the_compiler_that_is_named_is_not_there(image: Image) -> None:
    image.env["CC"] = "clang-99"


@breaks("jit", ERROR, "Python.h of Python 3.11 is not there")
def pythons_headers_are_missing(image: Image) -> None:
    del image.nodes["/usr/include/python3.11/Python.h"]


@breaks("jit", ERROR, "no ptxas is where Triton looks")
def ptxas_may_not_be_executed(image: Image) -> None:
    image.file(f"{SITE}/triton/backends/nvidia/bin/ptxas", mode=0o644)


@breaks("jit", WARNING, "FlashInfer compiles at run time, and no nvcc is where it looks")
def flashinfer_is_there_without_kernels_or_nvcc(image: Image) -> None:
    image.install("flashinfer-python", "0.7.0")


@breaks("jit", WARNING, "DeepGEMM compiles at run time, and no cuobjdump")
def deep_gemm_is_there_without_its_tools(image: Image) -> None:
    image.folder(f"{VLLM}/third_party/deep_gemm")


@breaks("jit", WARNING, "gcc is of version 16, nvcc of CUDA 13.0 supports up to 15")
def gcc_is_newer_than_nvcc_takes(image: Image) -> None:
    image.file("/usr/local/cuda/bin/nvcc", mode=0o755)
    image.file("/usr/bin/gcc-16", mode=0o755)
    image.put(Node("/usr/bin/gcc", "link", 0o777, 0, 0, 0, 0, "gcc-16"))


# -- shadow -----------------------------------------------------------------------------------------


@breaks("shadow", ERROR, "where the loader looks (/etc/ld.so.conf)")
def a_compat_folder_is_in_the_loaders_configuration(image: Image) -> None:
    image.file("/usr/local/cuda-13.0/compat/libcuda.so.1")
    image.file("/etc/ld.so.conf.d/compat.conf", text="/usr/local/cuda-13.0/compat\n")


@breaks("shadow", ERROR, "where the loader looks (/etc/ld.so.cache)")
def a_compat_folder_is_in_the_loaders_cache(image: Image) -> None:
    image.file("/usr/local/cuda-13.0/compat/libcuda.so.1")
    image.cache = (Cached("libcuda.so.1", "/usr/local/cuda-13.0/compat/libcuda.so.1"),)


@breaks("shadow", ERROR, "where the loader looks (LD_LIBRARY_PATH)")
def a_stub_of_the_driver_is_on_the_path(image: Image) -> None:
    image.file("/usr/local/cuda/lib64/stubs/libcuda.so")
    image.env["LD_LIBRARY_PATH"] = "/usr/local/cuda/lib64/stubs"


@breaks("shadow", ERROR, "where the loader looks (a default folder)")
def a_driver_was_installed(image: Image) -> None:
    image.file(f"{LIB}/libnvidia-ml.so.1")


@breaks("shadow", NOTE, "for CUDA's forward compatibility, where the loader does not look")
def a_compat_folder_lies_there_unused(image: Image) -> None:
    image.file("/usr/local/cuda-13.0/compat/libcuda.so.580.95.05")


# -- contents ---------------------------------------------------------------------------------------


@breaks("contents", ERROR, "numpy 2.4.6 is installed, and not in the lock")
def something_was_installed_after_the_lock(image: Image) -> None:
    pins = image.wanted.pins
    image.install("numpy", "2.4.6")
    image.wanted = replace(image.wanted, pins=pins)


@breaks("contents", ERROR, "numpy 2.4.6 of the lock is not installed")
def something_of_the_lock_is_missing(image: Image) -> None:
    image.wanted = replace(image.wanted, pins=(*(image.wanted.pins or ()), ("numpy", "2.4.6")))


@breaks("contents", ERROR, "triton 3.6.0 is installed, the lock has 3.7.1")
def something_is_installed_in_another_version(image: Image) -> None:
    pins = image.wanted.pins
    image.install("triton", "3.6.0")
    image.wanted = replace(image.wanted, pins=pins)


@breaks("contents", ERROR, "the label tagproof.vllm says 0.31.0, but vllm 0.32.0 is inside")
def a_label_says_what_the_files_do_not(image: Image) -> None:
    image.expect_label("tagproof.vllm", "0.31.0")


@breaks("contents", ERROR, "the label tagproof.cuda says cu128, but cuda cu130 is inside")
def a_label_names_another_cuda(image: Image) -> None:
    image.expect_label("tagproof.cuda", "cu128")


@breaks("contents", WARNING, "the environment variable PYTORCH_VERSION says 2.9.0")
def the_environment_names_another_torch(image: Image) -> None:
    image.env["PYTORCH_VERSION"] = "2.9.0"


@breaks("contents", ERROR, "the label tagproof.lock is not there")
def a_label_is_missing(image: Image) -> None:
    image.wanted = replace(image.wanted, labels=(*image.wanted.labels, ("tagproof.lock", "sha256:1")))


@breaks("contents", ERROR, "torch is installed twice in one folder: 2.13.0 and 2.13.0")
def two_torches_lie_over_each_other(image: Image) -> None:
    other = f"{SITE}/Torch-2.13.0.dist-info"
    image.distributions.insert(0, replace(image.distributions[0], path=other))


@breaks("contents", WARNING, "there is a second torch")
def another_python_has_a_torch_of_its_own(image: Image) -> None:
    path = "/usr/lib/python3/dist-packages/torch-2.6.0.dist-info"
    image.distributions.append(Distribution("torch", "2.6.0", "pip", path))


@breaks("contents", WARNING, "2 copies of libcudart.so.13 are loaded")
def two_copies_of_the_runtime_are_loaded(image: Image) -> None:
    image.add(library("/usr/local/cuda/lib64/libcudart.so.13", "libc.so.6"))
    image.add(module(f"{SITE}/odd.abi3.so", "libcudart.so.13", rpath=("/usr/local/cuda/lib64",)))


@breaks("contents", NOTE, "there are 2 copies of libcudart.so.13")
def a_second_copy_of_the_runtime_lies_there(image: Image) -> None:
    image.add(replace(image.objects[CUDART], path="/usr/local/cuda/lib64/libcudart.so.13"))


@breaks("contents", WARNING, "both conda and uv have installed triton")
def conda_and_pip_are_mixed(image: Image) -> None:
    image.file("/opt/venv/conda-meta/triton-3.7.1-py311_0.json")


@breaks("contents", WARNING, "triton 3.7.1: 2 of its files are not as its RECORD says")
def files_of_a_package_were_changed(image: Image) -> None:
    changed = (f"{SITE}/triton/compiler.py", f"{SITE}/triton/_C/libtriton.so")
    image.install("triton", "3.7.1", changed=changed)


# -- requirements -----------------------------------------------------------------------------------


@breaks("requirements", ERROR, "vllm 0.32.0 asks for torch==2.12.0, torch 2.13.0 is installed")
def an_extension_is_of_a_package_that_wants_another_torch(image: Image) -> None:
    image.install("vllm", "0.32.0", requires=("torch==2.12.0",))


@breaks("requirements", ERROR, "vllm 0.32.0 asks for numpy, which is not installed")
def a_requirement_of_the_lock_is_not_there(image: Image) -> None:
    image.install("vllm", "0.32.0", requires=("numpy",))


@breaks("requirements", NOTE, "vllm 0.32.0 has an unreadable requirement: torch>=")
def a_requirement_cannot_be_read(image: Image) -> None:
    image.install("vllm", "0.32.0", requires=("torch>=",))


# -- budget -----------------------------------------------------------------------------------------


@breaks("budget", ERROR, "its compressed size is 6.00 GB, the budget is 5.00 GB")
def the_image_is_larger_than_it_may_be(image: Image) -> None:
    image.layers = (*image.layers, Layer("sha256:" + "2" * 64, 2_000_000_000))


@breaks("budget", WARNING, "its compressed size is 4.00 GB, the last proven image has 3.50 GB")
def the_image_has_outgrown_the_last_one(image: Image) -> None:
    before = PackageSize(name="torch", version="2.12.0", installed=400_000_000)
    last = Sizes(compressed=3_500_000_000, installed=10**12, packages=(before,))
    image.wanted = replace(image.wanted, last=last, budget=Budget())


# -- all of them ------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_sabotage_is_found_by_its_rule_and_by_no_other(case: Case) -> None:
    assert_only_its_rule_finds(case)


def test_every_rule_is_seen_to_fail() -> None:
    """Those on exceptions have tests of their own: they are about the matrix, not about the image."""
    assert {case.rule for case in (*CASES, *CONFIG_CASES, *HOOK_CASES)} == set(RULE_NAMES) - {"exceptions"}


def test_every_family_has_rules() -> None:
    """In the order of their names; the findings on exceptions come of the waivers."""
    assert (*FAMILIES, "exceptions") == RULE_NAMES
