"""For all tests: what each needs of the machine; and a property is given the time that it takes."""

from __future__ import annotations

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

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
