"""For all tests: what each needs of the machine; and a property is given the time that it takes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.needs import (
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_setup,
    pytest_terminal_summary,
)

__all__ = [
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
]

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def a_persons_machine() -> Iterator[None]:
    """What is tested is not told that this is a job of CI, where no key is made."""
    before = os.environ.pop("CI", None)
    yield
    if before is not None:
        os.environ["CI"] = before


settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
