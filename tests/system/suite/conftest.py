"""What the tests of the suite share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.suite import tiny_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def model(tmp_path: Path) -> str:
    """The tiny model in the test's own folder, which thus stands in every server's arguments."""
    tiny_model.write(tmp_path / "model")
    return str(tmp_path / "model")
