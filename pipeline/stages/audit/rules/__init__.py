"""The rules of a certificate: small pure functions over one image, each of which says what it found.

An error is what keeps a healthy use of the image from running; a warning what may; a note is worth knowing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipeline.model import ImageFinding
from pipeline.stages.audit.image_model import ImageModel
from pipeline.stages.audit.rules import (
    budget,
    closure,
    config,
    contents,
    cuda,
    devices,
    driver,
    jit,
    requirements,
    secrets,
    shadow,
    symbols,
)

Rule = Callable[[ImageModel], Iterator[ImageFinding]]

RULES: tuple[Rule, ...] = (
    closure.unreadable,
    closure.sonames,
    closure.versions,
    symbols.undefined,
    cuda.majors,
    cuda.minors,
    devices.empty,
    devices.reached,
    driver.label,
    driver.requirement,
    driver.compilers,
    jit.compiler,
    jit.headers,
    jit.ptxas,
    jit.toolkit,
    jit.host_compiler,
    shadow.driver,
    contents.lock,
    contents.claims,
    contents.labels,
    contents.twice,
    contents.copies,
    contents.conda,
    contents.records,
    requirements.hold,
    config.preload,
    config.start,
    config.access,
    config.writable,
    config.devices,
    secrets.settings,
    secrets.files,
    budget.limits,
    budget.growth,
)
"""All rules, in the order in which they speak."""

__all__ = ["RULES", "Rule"]
