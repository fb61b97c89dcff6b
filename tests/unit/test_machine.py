"""What the stages are handed: the model that a cell is tried with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.flow import Machine, Settings
from pipeline.nouns import Cell, Matrix, Policy, Repository
from pipeline.suite import golden, tiny_model

if TYPE_CHECKING:
    from pathlib import Path

HERE = Repository("127.0.0.1:5000", "a")
WITH_VLLM = Cell("2.13.0", "cpu", "3.11", "0.32.0")
PYTORCH_ALONE = Cell("2.13.0", "cpu", "3.11", None)


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose matrix names a model of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    matrix = Matrix(tmp_path / "matrix.yaml", (), HERE, HERE, (), Policy(()), model=str(model))
    return Machine(Settings(matrix))


def test_the_model_that_the_matrix_names_is_served(named: Machine, tmp_path: Path) -> None:
    model = str(tmp_path / "model")
    assert named.model_of(WITH_VLLM) == (model, tiny_model.digest(tmp_path / "model"))


def test_a_cell_without_vllm_is_tried_with_the_tiny_model_whatever_the_matrix_names(named: Machine) -> None:
    """The suite's own forward pass knows the architecture of that one only."""
    assert named.model_of(PYTORCH_ALONE)[1] == golden.read().model
