"""NVIDIA's compilers: what a ptxas or nvcc can make is read from its bytes."""

from __future__ import annotations

import pytest

from pipeline.formats.cuda_compilers import CudaCompiler, read

PTXAS_128 = (
    b"\x7fELF\0sm_90\0sm_90a\0sm_100\0compute_89\0sm_120\0sm_120a\0"
    b"Cuda compilation tools, release 12.8, V12.8.93\0"
)
"""The texts that matter of Triton 3.5's ptxas; neighbours share the zero byte between them."""


def compiler(content: bytes) -> CudaCompiler:
    found = read(memoryview(content))
    assert found
    return found


def test_a_compiler_says_its_release() -> None:
    assert compiler(PTXAS_128).release == "12.8"


@pytest.mark.parametrize(
    ("arch", "makes"),
    [
        ("sm_90", True),
        ("sm_120", True),
        ("sm_89", True),
        ("sm_121", False),
        ("sm_103", False),
        ("sm_12", False),
    ],
)
def test_a_compiler_makes_code_for_what_it_names(arch: str, makes: bool) -> None:
    """https://github.com/triton-lang/triton/issues/8539: this one knows no sm_121."""
    assert compiler(PTXAS_128).makes(arch) is makes


def test_a_name_with_a_suffix_alone_counts_for_its_gpu() -> None:
    assert compiler(b"\0sm_103a\0").makes("sm_103")


def test_a_name_inside_a_sentence_is_none() -> None:
    assert not compiler(b"\0sm_90\0needs sm_121 or newer\0").makes("sm_121")


def test_a_file_that_names_no_architecture_is_no_compiler() -> None:
    assert read(memoryview(b"#!/bin/sh\nexec /opt/ptxas\n")) is None
