"""A project's page, as the index sent it: its files, none of which is believed to be more than it says."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.model import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pypi_simple import DistributionPackage, ProjectPage

    from pipeline.adapters.package_index.client import Answer

MAX_PAGE = 32 << 20
"""Bytes of a page. Those of torch and vllm have less than two million."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class IndexFile:
    """A file as the index lists it. ``size`` in bytes and ``uploaded``, a day, where it says them."""

    name: str
    url: str = field(repr=False)  # it may hold a user's password
    sha256: str
    size: int | None
    uploaded: str | None
    requires_python: str
    yanked: bool

    @property
    def shown(self) -> str:
        """Its name as a part of a message."""
        return shown(self.name)


def read(answer: Answer, project: str) -> tuple[IndexFile, ...]:
    """The files that a page lists. Raises ValueError for a page that is not what its type says."""
    try:
        page = _parsed(answer, project)
        return tuple(_listed(page, urlsplit(answer.url).scheme))
    except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(shown(error)) from error


def _parsed(answer: Answer, project: str) -> ProjectPage:
    from pypi_simple import ProjectPage, UnsupportedRepoVersionError  # noqa: PLC0415

    kind = answer.headers.get("content-type", "").partition(";")[0].strip()
    try:
        if kind.endswith("json"):
            return ProjectPage.from_json_data(json.loads(answer.body), answer.url)
        if kind.endswith("html"):
            return ProjectPage.from_html(project, answer.body.decode("utf-8", "replace"), answer.url)
    except UnsupportedRepoVersionError as error:
        raise ValueError(str(error)) from error
    raise ValueError(f"its type is {kind or 'unknown'}, neither HTML nor JSON")


def _listed(page: ProjectPage, scheme: str) -> Iterator[IndexFile]:
    for package in page.packages:
        sha256 = package.digests.get("sha256", "")
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{package.filename} has no sha256")
        if package.size is not None and package.size < 0:
            raise ValueError(f"{package.filename} has {package.size} bytes")
        if _scheme(package) not in {"https", scheme}:
            raise ValueError(f"{package.filename} lies where it is not reached by {scheme}")
        yield IndexFile(
            package.filename,
            package.url,
            sha256,
            package.size,
            package.upload_time.date().isoformat() if package.upload_time else None,
            package.requires_python or "",
            package.is_yanked,
        )


def _scheme(package: DistributionPackage) -> str:
    return urlsplit(package.url).scheme
