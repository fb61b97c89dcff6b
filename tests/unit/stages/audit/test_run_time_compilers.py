"""What compiles at run time is asked for the GPUs that the image is for, and so is every package of kernels.

Each case is a public report, or a relative of one; its healthy twin differs in the one thing that matters.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from pipeline.formats.elf.objects import DeviceCode
from pipeline.model import Level, Severity
from pipeline.report.certificate import markdown, page
from pipeline.stages.audit.runs_on import runs_on
from tests.unit.stages.audit.audited_image import CUBINS, FACTS, SITE, TORCH, VLLM, Image, library, module
from tests.unit.stages.audit.sabotage import ERROR, NOTE, WARNING, Case, add_case, assert_only_its_rule_finds

if TYPE_CHECKING:
    from pipeline.model import GpuReach

CASES: list[Case] = []
breaks = partial(add_case, CASES)

PTXAS = f"{SITE}/triton/backends/nvidia/bin/ptxas"
SECOND = f"{SITE}/triton/backends/nvidia/bin/ptxas-blackwell"
OF_128 = ("sm_80", "sm_90", "sm_90a", "sm_100", "sm_100a", "sm_120", "sm_120a")
OF_129 = (*OF_128, "sm_103", "sm_103a", "sm_121", "sm_121a")
OF_130 = (*OF_129, "sm_110", "sm_110a")
NVCC = "/usr/local/cuda/bin/nvcc"


def for_blackwell(image: Image, *archs: str) -> None:
    """Let what every model runs have code for Blackwell, and ask for these architectures."""
    code = (*CUBINS, *(DeviceCode("cubin", arch, 1) for arch in ("sm_100", "sm_110", "sm_120")))
    for path in (f"{TORCH}/libtorch_cuda.so", f"{VLLM}/_C.abi3.so", f"{VLLM}/_moe_C.abi3.so"):
        image.change(path, device_code=code)
    image.want(*archs)


# -- Triton's ptxas -----------------------------------------------------------------------------------


@breaks("jit", ERROR, "Triton's ptxas of CUDA 12.8 makes no code for sm_121")
def tritons_ptxas_knows_no_gb10(image: Image) -> None:
    """https://github.com/triton-lang/triton/issues/8539, with Triton 3.5.0."""
    for_blackwell(image, "sm_121")
    image.compiler(PTXAS, "12.8", *OF_128)


@breaks("jit", ERROR, "Triton's ptxas of CUDA 12.8 makes no code for sm_103, sm_110")
def tritons_ptxas_knows_neither_b300_nor_thor(image: Image) -> None:
    """One finding for one cause: https://github.com/vllm-project/vllm/issues/32575."""
    for_blackwell(image, "sm_103", "sm_110")
    image.compiler(PTXAS, "12.8", *OF_128)


@breaks("jit", ERROR, "Triton's ptxas of CUDA 12.4 makes no code for sm_120")
def tritons_ptxas_is_older_than_rtx_5090(image: Image) -> None:
    for_blackwell(image, "sm_120")
    image.compiler(PTXAS, "12.4", "sm_80", "sm_90", "sm_90a")


@breaks("jit", ERROR, "Triton's ptxas of CUDA 12.9 makes no code for sm_110")
def tritons_second_ptxas_knows_no_thor(image: Image) -> None:
    """Triton 3.6.0 calls ptxas-blackwell, of CUDA 12.9, from capability 10.0 on."""
    for_blackwell(image, "sm_110")
    image.compiler(PTXAS, "12.8", *OF_128)
    image.compiler(SECOND, "12.9", *OF_129)


@breaks("jit", WARNING, "Triton's ptxas of CUDA 12.8 makes no code for sm_100")
def what_nobody_asked_for_is_a_warning_where_the_core_has_code(image: Image) -> None:
    for_blackwell(image)
    image.wanted = type(image.wanted)(
        cell=image.wanted.cell, pins=image.wanted.pins, labels=image.wanted.labels
    )
    image.compiler(PTXAS, "12.8", "sm_75", "sm_80", "sm_89", "sm_90", "sm_90a")


def test_a_ptxas_of_cuda_13_serves_gb10() -> None:
    image = Image()
    for_blackwell(image, "sm_121", "sm_110")
    image.compiler(PTXAS, "13.0", *OF_130)
    assert not [one for one in image.judged().findings if one.rule == "jit"]


def test_tritons_second_ptxas_serves_what_the_first_does_not() -> None:
    image = Image()
    for_blackwell(image, "sm_121")
    image.compiler(PTXAS, "12.8", *OF_128)
    image.compiler(SECOND, "13.1", *OF_130)
    assert not [one for one in image.judged().findings if one.rule == "jit"]


@pytest.mark.parametrize(
    ("variable", "second", "helps"),
    [
        ("TRITON_PTXAS_PATH", False, True),
        ("TRITON_PTXAS_PATH", True, False),
        ("TRITON_PTXAS_BLACKWELL_PATH", True, True),
        ("TRITON_PTXAS_BLACKWELL_PATH", False, False),
    ],
)
def test_a_variable_helps_where_triton_reads_it(variable: str, second: bool, helps: bool) -> None:
    """``get_ptxas`` of Triton 3.6.0 does not read TRITON_PTXAS_PATH for Blackwell."""
    image = Image()
    for_blackwell(image, "sm_121")
    image.compiler(PTXAS, "12.8", *OF_128)
    if second:
        image.compiler(SECOND, "12.8", *OF_128)
    image.compiler("/usr/local/cuda-13.0/bin/ptxas", "13.0", *OF_130)
    image.env[variable] = "/usr/local/cuda-13.0/bin/ptxas"
    found = [one for one in image.judged().findings if one.rule == "jit"]
    assert bool(found) is not helps


def test_the_remedy_names_the_variable_that_triton_reads_and_a_ptxas_that_is_there() -> None:
    image = Image()
    for_blackwell(image, "sm_121")
    image.compiler(SECOND, "12.8", *OF_128)
    image.compiler("/usr/local/cuda-13.0/bin/ptxas", "13.0", *OF_130)
    (finding,) = (one for one in image.judged().findings if one.rule == "jit")
    assert "set TRITON_PTXAS_BLACKWELL_PATH to /usr/local/cuda-13.0/bin/ptxas" in finding.hint


def test_without_vllm_a_ptxas_that_is_too_old_is_a_warning() -> None:
    """PyTorch calls Triton for torch.compile only."""
    image = Image()
    for_blackwell(image, "sm_121")
    image.stranger()
    image.want("sm_121")
    image.distributions = [one for one in image.distributions if one.name != "vllm"]
    image.compiler(PTXAS, "12.8", *OF_128)
    severities = {one.severity for one in image.judged().findings if "makes no code" in one.text}
    assert severities == {Severity.WARNING}


# -- nvcc ---------------------------------------------------------------------------------------------


@breaks("jit", WARNING, "nvcc of CUDA 12.8 cannot compile FlashInfer's kernels for sm_120")
def flashinfer_refuses_an_nvcc_that_knows_rtx_5090(image: Image) -> None:
    """https://github.com/vllm-project/vllm/issues/50705: nvcc 12.8 knows sm_120, FlashInfer wants 12.9."""
    for_blackwell(image, "sm_120")
    image.install("flashinfer-python", "0.6.14")
    image.compiler(NVCC, "12.8", *OF_128)


@breaks("jit", WARNING, "nvcc of CUDA 12.9 cannot compile FlashInfer's kernels for sm_110")
def flashinfers_nvcc_knows_no_thor(image: Image) -> None:
    for_blackwell(image, "sm_110")
    image.install("flashinfer-python", "0.6.14")
    image.compiler(NVCC, "12.9", *OF_129)


@breaks("jit", WARNING, "nvcc of CUDA 12.4 cannot compile DeepGEMM's kernels for sm_100")
def deep_gemms_nvcc_knows_no_b200(image: Image) -> None:
    for_blackwell(image, "sm_100")
    image.folder(f"{VLLM}/third_party/deep_gemm")
    image.file("/usr/local/cuda/bin/cuobjdump", mode=0o755)
    image.compiler(NVCC, "12.4", "sm_80", "sm_90", "sm_90a")


def with_gcc(image: Image, name: str, **env: str) -> list[str]:
    """What is said of nvcc of CUDA 13.0, which takes gcc up to 15, where this gcc is on PATH too."""
    image.compiler(NVCC, "13.0", *OF_130)
    image.file(f"/usr/bin/{name}", mode=0o755)
    image.env |= env
    return [one.text for one in image.judged().findings if "supports up to" in one.text]


@pytest.mark.parametrize(
    "env",
    [
        {"NVCC_PREPEND_FLAGS": "-ccbin g++-16"},
        {"NVCC_APPEND_FLAGS": "--compiler-bindir=/usr/bin/g++-16"},
        {"NVCC_CCBIN": "g++-16"},
        {"CC": "g++-16"},
    ],
)
def test_nvcc_calls_the_gcc_that_it_is_told_to(env: dict[str, str]) -> None:
    assert with_gcc(Image(), "g++-16", **env) == ["gcc is of version 16, nvcc of CUDA 13.0 supports up to 15"]


def test_nvcc_may_be_told_to_take_any() -> None:
    env = {"NVCC_PREPEND_FLAGS": "-ccbin g++-16 -allow-unsupported-compiler"}
    assert not with_gcc(Image(), "g++-16", **env)


def test_a_newer_gcc_that_nvcc_does_not_call_is_no_finding() -> None:
    assert not with_gcc(Image(), "gcc-16")


def test_the_gcc_of_an_environment_of_conda_says_its_version_by_its_parts() -> None:
    image = Image()
    image.file("/opt/conda/lib/gcc/x86_64-conda-linux-gnu/16.1.0/cc1", mode=0o755)
    image.file("/opt/conda/bin/x86_64-conda-linux-gnu-cc", mode=0o755)
    assert with_gcc(image, "gcc-12", CC="/opt/conda/bin/x86_64-conda-linux-gnu-cc")


@pytest.mark.parametrize(("release", "archs"), [("12.9", OF_129), ("13.0", OF_130)])
def test_an_nvcc_of_129_or_newer_serves_flashinfer_on_rtx_5090(release: str, archs: tuple[str, ...]) -> None:
    image = Image()
    for_blackwell(image, "sm_120")
    image.install("flashinfer-python", "0.6.14")
    image.compiler(NVCC, release, *archs)
    assert not [
        one for one in image.judged().findings if "makes no code" in one.text or "cannot compile" in one.text
    ]


def test_compiled_kernels_of_its_version_do_without_nvcc() -> None:
    image = Image()
    for_blackwell(image, "sm_120")
    image.install("flashinfer-python", "0.6.14")
    image.install("flashinfer-jit-cache", "0.6.14+cu130")
    image.add(library(f"{SITE}/flashinfer_jit_cache/jit_cache/silu/silu.so", device_code=CUBINS))
    assert not [one for one in image.judged().findings if "FlashInfer compiles" in one.text]


@pytest.mark.parametrize("package", ["flashinfer-cubin", "flashinfer-jit-cache"])
def test_kernels_of_another_version_do_not_stand_for_nvcc(package: str) -> None:
    """https://github.com/vllm-project/vllm/issues/49804; and cubins are what it downloads, not compiles."""
    image = Image()
    image.install("flashinfer-python", "0.6.14")
    image.install(package, "0.6.13")
    assert any("FlashInfer compiles at run time, and no nvcc" in one.text for one in image.judged().findings)


# -- packages of kernels ------------------------------------------------------------------------------


@breaks("device-code", ERROR, "fbgemm_gpu has no code for sm_103")
def a_package_of_kernels_stops_at_b200(image: Image) -> None:
    """https://github.com/pytorch/FBGEMM/issues/6151: sm_100a runs on 10.0 alone."""
    for_blackwell(image, "sm_103")
    code = tuple(DeviceCode("cubin", arch, 1) for arch in ("sm_80", "sm_90a", "sm_100a"))
    for name in ("fbgemm_gpu_tbe_inference", "fbgemm_gpu_config"):
        path = f"{SITE}/fbgemm_gpu/{name}.so"
        image.add(library(path, "libc10.so", rpath=("$ORIGIN/../torch/lib",), device_code=code))


@breaks("device-code", ERROR, "flash_attn_2_cuda has no code for sm_120")
def flash_attention_was_built_for_ampere_and_hopper(image: Image) -> None:
    for_blackwell(image, "sm_120")
    path = f"{SITE}/flash_attn_2_cuda.cpython-311-x86_64-linux-gnu.so"
    image.add(module(path, "libc10.so", rpath=("$ORIGIN/torch/lib",), device_code=CUBINS))


@breaks("device-code", WARNING, "bitsandbytes has no code for sm_120")
def bitsandbytes_opens_a_library_without_blackwell(image: Image) -> None:
    for_blackwell(image, "sm_120")
    image.add(library(f"{SITE}/bitsandbytes/libbitsandbytes_cuda130.so", device_code=CUBINS))


@breaks("device-code", WARNING, "bitsandbytes has no code for sm_120")
def the_variant_that_bitsandbytes_opens_lacks_what_another_has(image: Image) -> None:
    for_blackwell(image, "sm_120")
    newer = (*CUBINS, DeviceCode("cubin", "sm_120", 1))
    image.add(library(f"{SITE}/bitsandbytes/libbitsandbytes_cuda130.so", device_code=CUBINS))
    image.add(library(f"{SITE}/bitsandbytes/libbitsandbytes_cuda131.so", device_code=newer))


@breaks("device-code", ERROR, "/opt/app/libllama.so")
def a_program_without_python_links_kernels(image: Image) -> None:
    for_blackwell(image, "sm_120")
    image.add(library("/opt/app/libllama.so", "libc.so.6", device_code=CUBINS))
    image.change("/usr/bin/tini", needs=("libllama.so",), runpath=("/opt/app",))


@breaks("device-code", NOTE, "it has no code for sm_120")
def one_library_of_a_package_lacks_what_another_has(image: Image) -> None:
    for_blackwell(image, "sm_120")
    image.change(f"{VLLM}/_moe_C.abi3.so", device_code=CUBINS)


def test_a_package_that_reaches_the_gpu_by_one_library_is_no_finding() -> None:
    """SGLang has one library for Hopper and one for Blackwell."""
    image = Image()
    for_blackwell(image, "sm_100")
    for folder, arch in (("sm90", "sm_90a"), ("sm100", "sm_100a")):
        path = f"{SITE}/sgl_kernel/{folder}/ops.abi3.so"
        code = (DeviceCode("cubin", "sm_80", 1), DeviceCode("cubin", arch, 1))
        image.add(module(path, "libc10.so", rpath=("$ORIGIN/../../torch/lib",), device_code=code))
    assert not [one for one in image.judged().findings if one.rule == "device-code"]


# -- the table of GPUs --------------------------------------------------------------------------------


def reach_of_b200(image: Image) -> GpuReach:
    return next(row for row in image.judged().gpus if row.name == "B200")


def test_the_table_says_native_where_all_of_it_is_for_the_gpu() -> None:
    image = Image()
    for_blackwell(image)
    image.compiler(PTXAS, "12.8", *OF_128)
    row = reach_of_b200(image)
    assert (row.reach, row.lacks) == ("native", "")
    assert "lacks" not in row.model_dump()


def test_the_table_says_partly_where_tritons_ptxas_knows_no_such_gpu() -> None:
    """It has a driver nevertheless: PyTorch's own code runs there."""
    image = Image()
    for_blackwell(image)
    image.compiler(PTXAS, "12.4", "sm_80", "sm_90")
    row = reach_of_b200(image)
    assert (row.reach, row.driver) == ("partly", "580")
    assert row.lacks == "Triton's ptxas of CUDA 12.4 makes no code for it"


def test_the_table_says_none_where_a_package_of_kernels_has_no_code() -> None:
    image = Image()
    for_blackwell(image)
    path = f"{SITE}/xformers/_C.so"
    image.add(module(path, "libc10.so", rpath=("$ORIGIN/../torch/lib",), device_code=CUBINS))
    row = reach_of_b200(image)
    assert (row.reach, row.lacks) == ("none", "xformers has no code for it")


@pytest.mark.parametrize(
    ("archs", "level", "words"),
    [(OF_128, Level.OK, "machine code for B200"), (("sm_90",), Level.WARN, "but Triton's ptxas")],
)
def test_a_question_is_answered_by_what_compiles_at_run_time_too(
    archs: tuple[str, ...], level: Level, words: str
) -> None:
    image = Image()
    for_blackwell(image)
    image.compiler(PTXAS, "12.8", *archs)
    (finding,) = (one for one in runs_on(image.judged(), "B200", None, FACTS).findings if one.rule == "archs")
    assert (finding.level, words in finding.text) == (level, True)


def test_the_page_names_what_is_lacking() -> None:
    image = Image()
    for_blackwell(image)
    image.compiler(PTXAS, "12.4", "sm_80", "sm_89", "sm_90")
    certificate = image.judged()
    lacks = "Triton's ptxas of CUDA 12.4 makes no code for it"
    assert f"partly   sm_100 (B200): {lacks}\n" in page(certificate)
    assert f"| B200 | sm\\_100 | partly: {lacks} | 580 | - |" in markdown(certificate)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.spoil.__name__)
def test_sabotage_is_found_by_its_rule_and_by_no_other(case: Case) -> None:
    if case.words.startswith("/"):
        image = Image()
        case.spoil(image)
        (finding,) = (one for one in image.judged().findings if one.rule == case.rule)
        assert (finding.path, finding.severity) == (case.words, case.severity)
    else:
        assert_only_its_rule_finds(case)
