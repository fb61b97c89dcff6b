"""Saboteurs: each can be given to a cell of its kind, and a check of that cell is meant to notice it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.model import Cell, checks_of
from pipeline.suite.saboteurs import saboteurs_of
from tests.builders import CPU_CELL, CUDA_CELL

CELLS = [cell for kind in (CPU_CELL, CUDA_CELL) for cell in (kind, replace(kind, vllm=None))]


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_every_saboteur_is_meant_for_a_check_that_the_cell_has(cell: Cell) -> None:
    made = list(saboteurs_of(cell, takes_code=True))
    assert made
    assert {saboteur.caught_by for saboteur in made} <= set(checks_of(cell))


@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: cell.id)
def test_an_image_is_given_no_code(cell: Cell) -> None:
    """It would have to lie in the image, which then were another image."""
    assert not any(saboteur.code for saboteur in saboteurs_of(cell, takes_code=False))


def test_only_what_has_a_gpu_can_lose_it() -> None:
    def names(cell: Cell) -> set[str]:
        return {saboteur.name for saboteur in saboteurs_of(cell, takes_code=True)}

    assert "hidden_gpu" in names(CUDA_CELL) - names(CPU_CELL)
