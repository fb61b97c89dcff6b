"""Sabotage of the environment: variables that contradict the files."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from pipeline.formats.elf.objects import Cached
from tests.unit.stages.audit.audited_image import LIB, SITE, Image, library
from tests.unit.stages.audit.sabotage import ERROR, WARNING, Case, add_case, assert_only_its_rule_finds

CASES: list[Case] = []
breaks = partial(add_case, CASES)


@breaks("config", WARNING, "CUDA_HOME names /usr/local/cuda-12.8, which is not there")
def the_toolkit_was_left_behind_in_another_stage(image: Image) -> None:
    image.env["CUDA_HOME"] = "/usr/local/cuda-12.8"


@breaks("config", WARNING, "CUDA_HOME names /usr/local/cuda-12.8, which is not there")
def what_compiles_looks_in_a_toolkit_that_is_not_there(image: Image) -> None:
    """One cause, one finding: that FlashInfer finds no nvcc follows."""
    image.install("flashinfer-python", "0.6.14")
    image.env["CUDA_HOME"] = "/usr/local/cuda-12.8"


@breaks("jit", WARNING, "no nvcc is where it looks: CUDA_HOME=/usr/local/cuda")
def the_toolkit_that_is_named_has_no_nvcc(image: Image) -> None:
    """It is looked for there alone, although another is on PATH."""
    image.install("flashinfer-python", "0.6.14")
    image.file("/usr/local/cuda/include/cuda.h")
    image.file("/usr/bin/nvcc", mode=0o755)
    image.env["CUDA_HOME"] = "/usr/local/cuda"


@breaks("config", ERROR, "PYTHONHOME names /opt/python, which is not there")
def python_is_told_of_a_home_that_is_not_there(image: Image) -> None:
    image.env["PYTHONHOME"] = "/opt/python"


@breaks("config", WARNING, "TRITON_PTXAS_PATH names /usr/local/cuda/bin/ptxas, which is not there")
def triton_is_told_of_a_ptxas_that_is_not_there(image: Image) -> None:
    image.env["TRITON_PTXAS_PATH"] = "/usr/local/cuda/bin/ptxas"


@breaks("config", WARNING, "VLLM_NCCL_SO_PATH names /opt/nccl/libnccl.so.2, which is not there")
def vllm_is_told_of_an_nccl_that_is_not_there(image: Image) -> None:
    image.env["VLLM_NCCL_SO_PATH"] = "/opt/nccl/libnccl.so.2"


@breaks("config", WARNING, "SSL_CERT_FILE names /etc/ssl/company.pem, which is not there")
def certificates_are_looked_for_in_a_file_that_is_not_there(image: Image) -> None:
    image.env["SSL_CERT_FILE"] = "/etc/ssl/company.pem"


@breaks("config", WARNING, "LD_PRELOAD names libjemalloc.so.2, which is not there")
def jemalloc_is_preloaded_and_not_installed(image: Image) -> None:
    image.env["LD_PRELOAD"] = "libjemalloc.so.2"


@breaks("config", WARNING, "LD_PRELOAD loads libjemalloc.so.2 into every process")
def jemalloc_is_preloaded(image: Image) -> None:
    image.add(library(f"{LIB}/libjemalloc.so.2"))
    image.env["LD_PRELOAD"] = "libjemalloc.so.2"


@breaks("config", WARNING, "FLASHINFER_CUDA_ARCH_LIST is '9.0', which has nothing for sm_80, sm_89")
def flashinfer_is_told_to_compile_for_other_gpus(image: Image) -> None:
    image.install("flashinfer-python", "0.6.14")
    image.install("flashinfer-cubin", "0.6.14")
    for path in (
        *("bin/nvcc", "bin/cudafe++", "bin/ptxas", "bin/fatbinary", "nvvm/bin/cicc"),
        *(f"include/{name}.h" for name in ("cuda_runtime", "curand", "nvrtc", "cublasLt")),
    ):
        image.file(f"/usr/local/cuda/{path}", mode=0o755)
    for name in ("cudart", "nvrtc", "cublasLt"):
        image.file(f"/usr/local/cuda/lib64/lib{name}.so")
    image.env["FLASHINFER_CUDA_ARCH_LIST"] = "9.0"
    image.want("sm_89")


@breaks("config", WARNING, "TORCH_CUDA_ARCH_LIST is '7.5;8.0', which has nothing for sm_90")
def extensions_are_compiled_for_older_gpus(image: Image) -> None:
    image.file("/usr/local/cuda/bin/nvcc", mode=0o755)
    image.env["TORCH_CUDA_ARCH_LIST"] = "7.5;8.0"


@pytest.mark.parametrize(
    ("value", "arch", "reaches"),
    [
        ("7.0 7.5 8.0 8.9 9.0 10.0 12.0", "sm_89", True),
        ("8.0+PTX", "sm_121", True),
        ("12.0", "sm_121", True),
        ("9.0a", "sm_90", True),
        ("10.0a", "sm_103", False),
        ("Ampere", "sm_90", True),
        ("8.6", "sm_80", False),
    ],
)
def test_a_list_of_architectures_reaches_what_its_code_would(value: str, arch: str, reaches: bool) -> None:
    image = Image()
    image.file("/usr/local/cuda/bin/nvcc", mode=0o755)
    image.env["TORCH_CUDA_ARCH_LIST"] = value
    image.wanted = replace(image.wanted, archs=(arch,))
    assert any("TORCH_CUDA_ARCH_LIST" in one.text for one in image.judged().findings) is not reaches


@pytest.mark.parametrize(("arch", "reaches"), [("sm_103", False), ("sm_121", True), ("sm_100", True)])
def test_flashinfer_ties_what_is_listed_to_an_architecture_or_to_a_family(arch: str, reaches: bool) -> None:
    image = Image()
    image.install("flashinfer-python", "0.6.14")
    image.env["FLASHINFER_CUDA_ARCH_LIST"] = "10.0 12.0"
    image.wanted = replace(image.wanted, archs=(arch,))
    assert any("FLASHINFER_CUDA_ARCH_LIST" in one.text for one in image.judged().findings) is not reaches


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_sabotage_is_found_by_its_rule_and_by_no_other(case: Case) -> None:
    assert_only_its_rule_finds(case)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CUDA_HOME", f"{SITE}/triton"),
        ("CUDA_HOME", "/opt/venv/"),
        ("TRITON_LIBCUDA_PATH", "/usr/local/nvidia/lib64"),
        ("SSL_CERT_FILE", "/run/secrets/ca.pem"),
        ("PYTHONHOME", ""),
    ],
)
def test_what_is_there_or_is_mounted_is_no_finding(variable: str, value: str) -> None:
    image = Image()
    image.env[variable] = value
    assert not [one for one in image.judged().findings if variable in one.text]


def test_what_is_preloaded_by_name_may_be_found_through_the_cache() -> None:
    image = Image()
    image.env["LD_PRELOAD"] = "libjemalloc.so.2"
    image.cache = (Cached("libjemalloc.so.2", "/opt/jemalloc/libjemalloc.so.2"),)
    assert not [one for one in image.judged().findings if "not there" in one.text]
