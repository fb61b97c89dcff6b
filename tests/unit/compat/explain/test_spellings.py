"""How people write what they ask, and what is said of what they ask by mistake."""

from __future__ import annotations

import pytest

from pipeline.compat.explain import question
from pipeline.model.errors import UsageError
from tests.unit.compat.explain.test_explain import facts

# -- what is asked by mistake -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("cuda=rocm6.3", "ROCm and XPU"),
        ("cuda=xpu", "ROCm and XPU"),
        ("gpu=MI300X", "no GPU of NVIDIA's"),
        ("gpu=Radeon RX 7900", "no GPU of NVIDIA's"),
        ("gpu=Gaudi 3", "no GPU of NVIDIA's"),
        ("python=3.13t", "free-threaded"),
        ("cuda=13", "cu130 cu132"),
        ("vllm=0.33.0foo", "as in vllm=0.32.0"),
        ("torch=2.9.0.x1", "as in torch=2.13.0"),
        ("cuda=12.x", "cu126 cu128 cu129"),
        ("platform=windows", "under WSL"),
        ("glibc=alpine", "musl"),
        ("torch=2.9", "torch=2.9.0 or torch=2.9.1"),
        ("pytorch=2.9.0", "did you mean torch=?"),
        ("os=ubuntu22.04", "did you mean glibc=?"),
    ],
)
def test_what_is_asked_by_mistake_is_answered_with_what_is_meant(word: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        question.parse([word], facts())
    assert hint in caught.value.hint


def test_how_many_gpus_there_are_changes_nothing() -> None:
    assert question.parse(["gpu=8xH100"], facts()) == question.parse(["gpu=H100"], facts())


@pytest.mark.parametrize(
    ("shown", "gpu"),
    [
        ("NVIDIA A100-SXM4-80GB", "A100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("Tesla V100-SXM2-32GB", "V100"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "GeForce RTX 4070 Ti"),
        ("NVIDIA GH200 480GB", "GH200"),
        ("Orin (nvgpu)", "Jetson AGX Orin"),
        ("NVIDIA Thor", "Jetson T5000 (Thor)"),
        ("HGX B200", "B200"),
        ("1080 ti", "GeForce GTX 1080 Ti"),
    ],
)
def test_a_gpu_may_be_written_as_nvidia_smi_does(shown: str, gpu: str) -> None:
    assert question.parse([f"gpu={shown}"], facts()).conditions.gpus == (gpu,)


@pytest.mark.parametrize("name", ["H10", "A3", "RTX 6000", "Titan"])
def test_a_gpu_that_may_be_several_or_none_is_not_guessed(name: str) -> None:
    with pytest.raises(UsageError):
        question.parse([f"gpu={name}"], facts())


def test_a_build_and_a_cuda_that_contradict_are_refused() -> None:
    with pytest.raises(UsageError, match="contradict"):
        question.parse(["torch=2.11.0+cu128", "cuda=cu130"], facts())
