"""Runs in a CUDA image, without a GPU: what its compilers make at run time, they make here too.

usage: python compiles.py triton | nvcc | inductor
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import flashinfer
import torch
import triton
from triton import language
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

KERNEL = """\
#include <cuda_bf16.h>
#include <cute/tensor.hpp>
__global__ void twice(__nv_bfloat16 *x) { x[threadIdx.x] = __hadd(x[threadIdx.x], x[threadIdx.x]); }
"""


@triton.jit
def twice(x):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - Triton reads them
    language.store(x, language.load(x) * 2)


def by_triton() -> None:
    """Machine code for H100 and B200, by the two ptxas that Triton brings."""
    for capability in (90, 100):
        source = ASTSource(fn=twice, signature={"x": "*fp32"})
        assert triton.compile(source, target=GPUTarget("cuda", capability, 32)).asm["cubin"]


def by_nvcc() -> None:
    """A kernel with CUDA's headers and those of CUTLASS, as FlashInfer compiles its own."""
    site = Path(flashinfer.__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        kernel = Path(folder) / "kernel.cu"
        kernel.write_text(KERNEL)
        cutlass = site / "flashinfer" / "data" / "cutlass" / "include"
        program = site / "nvidia" / "cu13" / "bin" / "nvcc"
        options = ["-std=c++17", "-arch=sm_90a", "-c", f"-I{cutlass}"]
        subprocess.run([program, *options, kernel, "-o", kernel.with_suffix(".o")], check=True)


def by_inductor() -> None:
    """A function of PyTorch's, by its compiler for CPUs: g++, and the headers of PyTorch and Python."""
    compiled = torch.compile(lambda x: (x * 2).relu() + 1)
    assert compiled(torch.ones(64)).tolist() == [3.0] * 64


if __name__ == "__main__":
    {"triton": by_triton, "nvcc": by_nvcc, "inductor": by_inductor}[sys.argv[1]]()
