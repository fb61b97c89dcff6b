"""Names that are visible outside this project, and names of others that it relies on."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

PROJECT = "tagproof"
"""The one name of this project: distribution, label prefix, predicate URIs, folders."""

RUN_LABEL = f"{PROJECT}.run"
"""Label of every container that we start; its value names the owning process."""

VARIANT_INDEX = "https://download.pytorch.org/whl"
"""PyTorch's indexes of builds with a local version part, one for each: /cpu, /cu126, …"""

VLLM_INDEX = "https://wheels.vllm.ai"
"""vLLM's indexes of builds for another CUDA than the default one, one for each: /0.27.0/cu129, …"""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def index_of(project: str, version: str) -> str:
    """The one index that has a build with this local version: ``2.13.0+cu126`` of PyTorch, or of vLLM."""
    release, _, build = version.partition("+")
    return f"{VLLM_INDEX}/{release}/{build}" if project == "vllm" else f"{VARIANT_INDEX}/{build}"


def project_of(requirement: str) -> str:
    """The normalised name of the project in a requirement such as ``Foo_Bar[extra]>=1``."""
    return canonicalize_name(re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0])
