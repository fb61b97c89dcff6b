"""What tests of publication share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.publish.signed_cell import Cell, proven

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Bench


@pytest.fixture
def cell(bench: Bench, tmp_path: Path) -> Iterator[Cell]:
    """A cell whose image is in staging, certified and proven."""
    with proven(bench, tmp_path, "0.32.0") as (made,):
        yield made
