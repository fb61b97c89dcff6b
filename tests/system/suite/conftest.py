"""What the tests of the suite share."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pipeline.suite import tiny_model
from tests.system.suite.environments import install, shipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Lock


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The tiny model in the test's own folder, which thus stands in every server's arguments."""
    tiny_model.write(tmp_path / "model")
    return str(tmp_path / "model")


@pytest.fixture(scope="session")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Lock]]:
    """An environment with the vLLM whose image is not proven whole by the end-to-end tests."""
    folder = tmp_path_factory.mktemp("environment")
    yield install(shipped("vllm0.31.0-torch2.13.0-cpu-py3.11"), folder)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def pytorch_alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Lock]]:
    """An environment with PyTorch and what it requires, and nothing else."""
    folder = tmp_path_factory.mktemp("pytorch")
    yield install(shipped("torch2.13.0-cpu-py3.11"), folder)
    shutil.rmtree(folder)
