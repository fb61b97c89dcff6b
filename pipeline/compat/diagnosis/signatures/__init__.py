"""The failures that are known by what they leave in a log: data by theme, each with its source."""

from __future__ import annotations

from pipeline.compat.diagnosis.signatures import (
    architectures,
    compilers,
    configuration,
    containers,
    driver,
    gpu_access,
    gpu_memory,
    hardware,
    installing,
    kernels,
    libraries,
    memory,
    model_files,
    network,
    packages,
)
from pipeline.compat.diagnosis.signatures.around import ABOUT, QUOTES, STARTED, WRAPPERS

SIGNATURES = (
    *driver.SIGNATURES,
    *gpu_access.SIGNATURES,
    *libraries.SIGNATURES,
    *packages.SIGNATURES,
    *kernels.SIGNATURES,
    *architectures.SIGNATURES,
    *compilers.SIGNATURES,
    *gpu_memory.SIGNATURES,
    *memory.SIGNATURES,
    *network.SIGNATURES,
    *model_files.SIGNATURES,
    *configuration.SIGNATURES,
    *hardware.SIGNATURES,
    *containers.SIGNATURES,
    *installing.SIGNATURES,
)
"""All of them; docs/diagnose.md lists them."""

__all__ = ["ABOUT", "QUOTES", "SIGNATURES", "STARTED", "WRAPPERS"]
