"""The platforms that images are made for, by their two names: OCI's, and that of the kernel and of wheels."""

from __future__ import annotations

AMD64, ARM64 = "linux/amd64", "linux/arm64"
"""By OCI's names."""

MACHINES = {AMD64: "x86_64", ARM64: "aarch64"}
"""What the kernel and wheels call the processor of each."""


def platform_of(machine: str) -> str:
    """``linux/amd64`` for ``x86_64``; ``linux/`` and its own name for a processor that no cell is for."""
    return next((platform for platform, name in MACHINES.items() if name == machine), f"linux/{machine}")
