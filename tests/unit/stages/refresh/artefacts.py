"""Rows of facts that agree with themselves, and files as an index lists them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pipeline.adapters.package_index import IndexFile
from pipeline.compat.rows import Artefact

TORCH = Artefact(
    package="torch",
    version="2.13.0",
    machine="x86_64",
    file="torch-2.13.0-cp310-cp310-manylinux_2_28_x86_64.whl",
    sha256="a" * 64,
    size=500_000_000,
    released="2026-07-08",
    yanked=False,
    pythons=("3.10", "3.11"),
    pythons_built=None,
    cuda="13.0",
    archs=("sm_80", "sm_90"),
    glibc="2.28",
    glibc_seen="2.17",
    needs=("libcudart.so.13",),
    pins=('cuda-toolkit==13.0.2; platform_system == "Linux"',),
    read_from=tuple((name, "a member") for name in ("cuda", "archs", "glibc_seen", "needs", "pins")),
)


VLLM = replace(
    TORCH, package="vllm", version="0.32.0", file="vllm.whl", sha256="b" * 64, pins=("torch==2.13.0",)
)


def listed(name: str, **changes: Any) -> IndexFile:
    """A file on a page."""
    file = IndexFile(
        name, f"http://127.0.0.1/{name}", f"{abs(hash(name)):064x}"[-64:], 1, None, "", yanked=False
    )
    return replace(file, **changes)


def torch(version: str, tag: str, platform: str = "manylinux_2_28_x86_64") -> IndexFile:
    """A wheel of torch on a page."""
    return listed(f"torch-{version}-{tag}-{platform}.whl")
