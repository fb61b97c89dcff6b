"""Every reader of bytes from outside, each with samples that it reads and a way to feed it.

A function that parses and that none of these samples brings to run must stand in ``EXCUSED``, with a reason.
"""

from __future__ import annotations

from tests.fuzz.readers import (
    deployments,
    engine,
    environments,
    evidence,
    facts,
    images,
    index,
    programs,
    registry,
    weaknesses,
    written,
)
from tests.fuzz.readers.excused import EXCUSED

__all__ = ["EXCUSED", "READERS"]

READERS = (
    *written.READERS,
    *evidence.READERS,
    *images.READERS,
    *facts.READERS,
    *index.READERS,
    *programs.READERS,
    *engine.READERS,
    *registry.READERS,
    *environments.READERS,
    *deployments.READERS,
    *weaknesses.READERS,
)
