"""Names in which CUDA's version stands."""

from __future__ import annotations

import pytest

from pipeline.formats.cuda import runtime_of, variant_of


@pytest.mark.parametrize(("cuda", "variant"), [("13.0", "cu130"), ("12.6", "cu126"), (None, "cpu")])
def test_a_variant_is_named_after_its_cuda(cuda: str | None, variant: str) -> None:
    assert variant_of(cuda) == variant


@pytest.mark.parametrize(
    ("library", "major"),
    [
        ("libcudart.so.13", "13"),
        ("libcudart.so.11.0", "11"),
        ("libcudart.so", None),
        ("libcudart-d0da41ae.so.11.0", None),
        ("libcuda.so.1", None),
    ],
)
def test_the_runtime_says_its_major(library: str, major: str | None) -> None:
    assert runtime_of(library) == major
