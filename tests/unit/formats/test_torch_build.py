"""What PyTorch's own small files say of its build."""

from __future__ import annotations

import pytest

from pipeline.formats import torch_build


@pytest.mark.parametrize(
    ("source", "cuda"),
    [
        ("cuda = '11.7'", "11.7"),
        ("from typing import Optional\ncuda: Optional[str] = '13.2'\nhip: Optional[str] = None", "13.2"),
        ("cuda: Optional[str] = None", None),
        ("print('cuda = 9.9')", None),
    ],
)
def test_the_version_of_cuda_is_read_from_source_that_is_not_run(source: str, cuda: str | None) -> None:
    assert torch_build.strings(source.encode()).get("cuda") == cuda


def test_machine_code_and_ptx_are_told_apart_in_nvccs_flags() -> None:
    flags = (
        b'#define NVCC_FLAGS_EXTRA "-gencode;arch=compute_90a,code=sm_90a;-gencode;arch=compute_120,'
        b'code=[sm_120,compute_120];-gencode;arch=compute_120,code=compute_120"\n'
    )
    assert torch_build.archs(flags) == ("sm_90a", "sm_120", "compute_120")
    assert torch_build.archs(b"#pragma once\n") is None
