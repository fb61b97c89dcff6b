"""What is expected of a cell's image, told once for the suite and for the audit of its files."""

from __future__ import annotations

from dataclasses import replace

from pipeline.model import Budget, JustifiedRequirement, Lock, Pin
from pipeline.runner.expectations import expectations_of
from tests.builders import CPU_CELL, spec

CELL = CPU_CELL
SPEC = spec(archs=("sm_90",))
LOCK = Lock(
    CELL,
    (Pin("torch", "2.13.0+cpu", "0" * 64, "torch.whl", 1), Pin("numpy", "2.0", "1" * 64, "numpy.whl", 1)),
    omitted=(JustifiedRequirement("torchvision", "a CUDA build"),),
)


def test_what_an_image_must_be_comes_from_cell_lock_and_labels() -> None:
    """Versions and pins are the lock's, the excused names those with a reason."""
    expected = expectations_of(SPEC, LOCK)
    assert (expected.cell, expected.torch, expected.archs) == (CELL, "2.13.0+cpu", ("sm_90",))
    assert (expected.pins, expected.excused) == (
        (("numpy", "2.0"), ("torch", "2.13.0+cpu")),
        ("torchvision",),
    )
    assert dict(expected.labels)["tagproof.cell"] == CELL.id


def test_a_cell_without_a_budget_has_no_limit() -> None:
    """One that has one is held to it."""
    budget = Budget(compressed=1)
    assert expectations_of(SPEC, LOCK).budget == Budget()
    assert expectations_of(replace(SPEC, budget=budget), LOCK).budget == budget
