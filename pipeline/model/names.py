"""The names that this project gives to things outside of it, and those of others that it goes by."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

PROJECT = "tagproof"
"""The one name of this project: distribution, label prefix, predicate URIs, folders."""

RUN_LABEL = f"{PROJECT}.run"
"""Label on every container that we start; its value names the process that owns it."""

VARIANT_INDEX = "https://download.pytorch.org/whl"
"""Where PyTorch keeps builds with a local version part, one index for each: /cpu, /cu126, …"""

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def project_of(requirement: str) -> str:
    """The normalised name of the project in a requirement such as ``Foo_Bar[extra]>=1``."""
    return canonicalize_name(re.split(r"[^A-Za-z0-9._-]", requirement.strip(), maxsplit=1)[0])
