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

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def project_of(requirement: str) -> str:
    """The normalised name of the project in a requirement such as ``Foo_Bar[extra]>=1``."""
    return canonicalize_name(re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0])
