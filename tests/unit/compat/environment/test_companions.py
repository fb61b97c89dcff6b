"""What companions ask of PyTorch, of vLLM and of each other, from the rows that were read of their wheels."""

from __future__ import annotations

import pytest

from pipeline.compat import companion_facts, explain, shipped
from pipeline.compat.companions import Place, Relations
from pipeline.compat.explain import question
from pipeline.compat.remedies import hinted
from pipeline.model import Finding, Level


def findings(python: str | None = "3.12", machine: str = "x86_64", **versions: str) -> list[Finding]:
    """What is said against these packages together."""
    packages = {name.replace("_", "-"): version for name, version in versions.items()}
    relations = Relations(Place(python, machine), shipped(), companion_facts.shipped())
    return [hinted(conflict, packages, relations) for conflict in relations.among(packages)]


def level_of(*words: str) -> Level:
    """The level of an answer to a question."""
    return explain.explain(question.parse(words, shipped()), shipped()).level


# -- questions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        # https://github.com/zai-org/GLM-OCR/issues/140
        (("vllm=0.17.1", "transformers=5.3.0"), Level.IMPOSSIBLE),
        # https://github.com/vllm-project/vllm/issues/35395
        (("vllm=0.16.0", "transformers=5.2.0"), Level.IMPOSSIBLE),
        (("vllm=0.19.1", "transformers=4.57.6"), Level.OK),
        (("vllm=0.19.1", "transformers=5.3.0"), Level.IMPOSSIBLE),
        (("vllm=0.24.0", "transformers=4.57.6"), Level.IMPOSSIBLE),
        # https://github.com/runpod-workers/worker-vllm/pull/258
        (("vllm=0.11.0", "transformers=5.1.0"), Level.IMPOSSIBLE),
        (("vllm=0.11.0", "transformers=5"), Level.IMPOSSIBLE),
        # https://github.com/vllm-project/vllm/issues/22178
        (("vllm=0.9.2", "transformers=4.54.1"), Level.IMPOSSIBLE),
        (("vllm=0.11.0", "transformers=4.57.1"), Level.OK),
        # https://github.com/vllm-project/vllm/issues/56829
        (("torch=2.14.0", "cuda=cu130", "torchvision=0.28.0"), Level.IMPOSSIBLE),
        (("torch=2.14.0", "cuda=cu130", "torchvision=0.29.0"), Level.OK),
        # https://github.com/Tavris1/ComfyUI-Easy-Install/issues/192
        (("torch=2.11.0", "cuda=cu130", "triton=3.5.1"), Level.IMPOSSIBLE),
        (("torch=2.9.1", "cuda=cu128", "triton=3.5.1"), Level.OK),
        # https://github.com/vast-ai/base-image/pull/291
        (("torch=2.8.0", "cuda=cu128", "torchaudio=2.11.0"), Level.IMPOSSIBLE),
        # https://github.com/Dao-AILab/flash-attention/issues/2425
        (("torch=2.11.0", "cuda=cu130", "flash-attn=2.8.3"), Level.WARN),
        (("torch=2.8.0", "cuda=cu128", "flash-attn=2.8.3"), Level.UNKNOWN),
        (("vllm=0.26.0", "flashinfer=0.6.13"), Level.IMPOSSIBLE),
        (("vllm=0.26.0", "flashinfer=0.6.14"), Level.OK),
        # https://github.com/pytorch/pytorch/issues/107302
        (("torch=2.2.2", "cuda=cu121", "numpy=2.0.0"), Level.IMPOSSIBLE),
        (("torch=2.14.0", "cuda=cu130", "torchvision=9.9.0"), Level.UNKNOWN),
    ],
)
def test_a_companion_may_be_asked_about(words: tuple[str, ...], expected: Level) -> None:
    assert level_of(*words) is expected


@pytest.mark.parametrize(
    ("word", "pin"),
    [
        ("transformers=v4.57.6", ("transformers", "4.57.6")),
        ("flash_attn=2.8.3", ("flash-attn", "2.8.3")),
        ("flash-attn=2.8.3+cu12torch2.8cxx11abiTRUE", ("flash-attn", "2.8.3+cu12torch2.8cxx11abitrue")),
        ("flashinfer=0.6.14", ("flashinfer-python", "0.6.14")),
        ("flashinfer-python=0.6.14", ("flashinfer-python", "0.6.14")),
        ("transformers==5.3.0", ("transformers", "5.3.0")),
    ],
)
def test_a_companion_is_named_as_people_name_it(word: str, pin: tuple[str, str]) -> None:
    assert question.parse([word], shipped()).conditions.pins == (pin,)


def test_a_vllm_that_nothing_keeps_transformers_5_from_is_warned_about() -> None:
    """https://github.com/QwenLM/Qwen3-VL/issues/2058."""
    answer = explain.explain(
        question.parse(["vllm=0.11.0", "torch=2.8.0", "cuda=cu128"], shipped()), shipped()
    )
    (warned,) = answer.verdict.at(Level.WARN)
    assert "transformers>=5" in warned.text
    assert "transformers<5" in warned.hint


def test_a_vllm_whose_requirements_keep_it_out_is_not() -> None:
    assert level_of("vllm=0.12.0", "torch=2.9.0", "cuda=cu129") is not Level.IMPOSSIBLE
    answer = explain.explain(
        question.parse(["vllm=0.12.0", "torch=2.9.0", "cuda=cu129"], shipped()), shipped()
    )
    assert not [one for one in answer.verdict.findings if "transformers" in one.text]


# -- pairs --------------------------------------------------------------------------------------------


def test_a_torchvision_for_another_cuda_is_told_apart_from_one_for_another_torch() -> None:
    """https://github.com/vllm-project/vllm/issues/56829."""
    found = findings(torch="2.14.0+cu130", torchvision="0.28.0+cu129", torchaudio="2.11.0+cu129")
    assert [(one.rule, one.level) for one in found] == [
        ("cuda-build", Level.IMPOSSIBLE),
        ("requirement", Level.IMPOSSIBLE),
        ("cuda-build", Level.IMPOSSIBLE),
    ]
    assert "torchaudio==2.11.0+cu130" in found[0].hint


@pytest.mark.parametrize(
    ("torch", "torchvision", "machine", "is_broken"),
    [
        # https://github.com/tenstorrent/tt-forge/pull/890
        ("2.9.0+cpu", "0.24.0", "x86_64", True),
        ("2.9.0+cpu", "0.24.0+cpu", "x86_64", False),
        # the default index's PyTorch for arm64 has no CUDA before 2.11, and neither has its torchvision
        ("2.9.0+cpu", "0.24.0", "aarch64", False),
        ("2.9.0", "0.24.0", "x86_64", False),
        ("2.9.0+cu128", "0.24.0", "x86_64", False),
        ("2.9.0+cu126", "0.24.0", "x86_64", False),  # one major
    ],
)
def test_a_torchvision_of_the_default_index_has_the_cuda_of_its_pytorch(
    torch: str, torchvision: str, machine: str, is_broken: bool
) -> None:
    assert bool(findings(torch=torch, torchvision=torchvision, machine=machine)) is is_broken


def test_vllm_of_the_default_index_is_not_for_a_pytorch_of_another_major() -> None:
    """https://github.com/vllm-project/vllm/issues/44335."""
    (found,) = findings(vllm="0.22.0", torch="2.11.0+cu129")
    assert (found.rule, found.level) == ("cuda-build", Level.IMPOSSIBLE)
    assert found.hint == "take PyTorch for CUDA 13, or vLLM's build for cu129"
    assert not findings(vllm="0.22.0+cu129", torch="2.11.0+cu129")
    assert findings(vllm="0.22.0+cu129", torch="2.11.0")


@pytest.mark.parametrize(
    ("torch", "torchcodec", "is_broken"),
    [
        # https://github.com/vllm-project/vllm/issues/48592
        ("2.11.0+cu129", "0.14.0", True),
        ("2.11.0+cu129", "0.13.0", False),
        ("2.11.0+cu129", "0.11.0", True),
        ("2.11.0+cpu", "0.14.0", True),
        ("2.11.0", "0.14.0", False),
        ("2.12.0+cu126", "0.17.0", True),
        # https://github.com/meta-pytorch/torchcodec#installing-torchcodec
        ("2.10.0", "0.9.0", True),
        ("2.9.1", "0.9.0", False),
    ],
)
def test_torchcodec_says_nowhere_what_it_is_for(torch: str, torchcodec: str, is_broken: bool) -> None:
    assert bool(findings(torch=torch, torchcodec=torchcodec)) is is_broken


@pytest.mark.parametrize(
    ("torch", "wheel", "is_broken"),
    [
        # https://github.com/Dao-AILab/flash-attention/issues/1644
        ("2.7.0", "2.7.4.post1+cu12torch2.6cxx11abiFALSE", True),
        ("2.8.0", "2.8.3+cu12torch2.8cxx11abiTRUE", False),
        ("2.11.0", "2.8.3+cu12torch2.11cxx11abiTRUE", True),  # CUDA 13
        ("2.11.0+cu128", "2.8.3+cu12torch2.11cxx11abiTRUE", False),
        ("2.8.0+cpu", "2.8.3+cu12torch2.8cxx11abiTRUE", True),
        ("2.5.1+cu118", "2.5.9+cu118torch2.5cxx11abiFALSE", False),
        ("2.10.0", "2.8.3+cu128torch2.10", False),
    ],
)
def test_a_wheel_of_flash_attention_names_what_it_is_for(torch: str, wheel: str, is_broken: bool) -> None:
    found = findings(torch=torch, flash_attn=wheel)
    assert bool([one for one in found if one.level is Level.IMPOSSIBLE]) is is_broken


@pytest.mark.parametrize(
    ("package", "version", "is_broken"),
    [
        ("flashinfer_python", "0.2.2.post1+cu124torch2.6", True),
        ("mamba_ssm", "2.2.4+cu12torch2.5cxx11abiFALSE", True),
        ("causal_conv1d", "1.5.0.post8+cu12torch2.8cxx11abiTRUE", False),
        ("torch_scatter", "2.1.2+pt26cu124", True),
        ("torch_scatter", "2.1.2+pt28cu128", False),
        ("torch_sparse", "0.6.18+pt28cpu", False),
        ("torch_sparse", "0.6.18+pt211cu130", True),
    ],
)
def test_whatever_names_the_pytorch_that_it_is_compiled_for_is_held_to_it(
    package: str, version: str, is_broken: bool
) -> None:
    """As https://github.com/Dao-AILab/flash-attention/issues/1644 for flash-attn."""
    found = findings(torch="2.8.0", **{package: version})
    assert [one.rule for one in found if one.level is Level.IMPOSSIBLE] == ["cuda-build"] * is_broken


def test_what_transformers_checks_at_its_import_is_asked() -> None:
    (found,) = findings(transformers="4.40.0", tokenizers="0.23.1")
    assert found.hint == "take tokenizers 0.19.1, or transformers 5.24.0, which takes tokenizers 0.23.1"


def test_numba_refuses_a_newer_numpy() -> None:
    """https://github.com/gpustack/gpustack/issues/2769."""
    (found,) = findings(numba="0.61.2", numpy="2.3.0")
    assert (found.level, found.text) == (
        Level.IMPOSSIBLE,
        "numba 0.61.2 asks for numpy<2.3,>=1.24, not 2.3.0",
    )


def test_xformers_is_for_one_pytorch() -> None:
    assert [one.rule for one in findings(torch="2.8.0", xformers="0.0.31")] == ["requirement"]
    assert not findings(torch="2.8.0", xformers="0.0.32.post2")


def test_libraries_of_another_cuda_are_left_over() -> None:
    """https://github.com/vllm-project/vllm/issues/36099."""
    found = findings(torch="2.9.1", nvidia_cublas_cu12="12.8.4.1", nvidia_cuda_runtime="13.0.96")
    assert [(one.rule, one.level) for one in found] == [("one-cuda", Level.WARN)]
    assert "nvidia-cuda-runtime 13.0.96" in found[0].text


def test_a_build_for_another_cuda_is_not_held_to_the_default_builds_libraries() -> None:
    """Which libraries torch 2.11.0+cu129 pins was not read; those of the default build are others."""
    assert not findings(torch="2.11.0+cu129", nvidia_nccl_cu12="2.28.9", nvidia_cudnn_cu12="9.17.1.4")
    (found,) = findings(torch="2.9.1", nvidia_nccl_cu12="2.28.9")
    assert (found.rule, found.level) == ("requirement", Level.WARN)


def test_a_build_for_cpus_is_not_held_to_the_triton_of_the_default_one() -> None:
    assert not findings(torch="2.13.0+cpu", triton="3.9.0")


def test_a_package_that_brings_code_for_several_cudas_is_not_left_over() -> None:
    """What vLLM 0.26.0 brings along."""
    assert not findings(torch="2.11.0", nvidia_cutlass_dsl_libs_cu12="4.6.0")


def test_a_release_that_asks_for_nothing_need_not_be_read() -> None:
    """NumPy 2.4.0 was withdrawn."""
    assert level_of("vllm=0.26.0", "torch=2.11.0", "cuda=cu130", "numpy=2.4.0") is Level.OK


def test_a_companion_without_a_wheel_for_this_python_is_none() -> None:
    (found,) = findings("3.14", torchvision="0.23.0")
    assert found.text == "torchvision 0.23.0 has no wheel for Python 3.14"
    assert not findings("3.13", torchvision="0.23.0")
    assert not findings(None, torchvision="0.23.0")


def test_every_release_of_the_pair_table_agrees_with_what_was_read() -> None:
    for pair in shipped().pairs:
        assert not findings(None, torch=pair.torch, torchvision=pair.torchvision, torchaudio=pair.torchaudio)


def test_every_row_has_its_wheel_and_each_package_is_in_order() -> None:
    rows = companion_facts.shipped().rows
    assert all(len(row.sha256) == 64 and row.file.endswith(".whl") for row in rows)
    assert {row.package for row in rows} >= {
        "transformers",
        "torchvision",
        "torchaudio",
        "triton",
        "xformers",
    }
