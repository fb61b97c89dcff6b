"""A registry of the test's own, and an image in it of which nothing was said yet."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from tests.memory_registry import MemoryRegistry, memory_registry
from tests.unit.stages.attest.samples import IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.adapters.registry import Registry


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryRegistry]:
    """A registry of the test's own, where nobody else writes: there is nothing to wait for."""
    monkeypatch.setattr("pipeline.adapters.registry.referrers.time", SimpleNamespace(sleep=lambda _: None))
    with memory_registry() as running:
        yield running


@pytest.fixture
def staging(registry: MemoryRegistry) -> Registry:
    """A repository with an image in it, of which nothing was said yet."""
    found = registry.at("a-staging")
    found.put_manifest(IMAGE)
    return found
