"""What Debian's package manager has installed: /var/lib/dpkg/status, and status.d where an image has no dpkg.

Paragraphs of fields (deb-control(5), dpkg-query(1)). Distroless images keep one file for each package in
``status.d`` (https://github.com/GoogleContainerTools/distroless), beside files of checksums.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.model import Package, PackageKind

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS = "/var/lib/dpkg/status"
FOLDER = "/var/lib/dpkg/status.d"

_FIELD = re.compile(r"(?P<name>[!-9;-~]+):[ \t]*(?P<value>.*)")
_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]{0,199}")
_VERSION = re.compile(r"[0-9A-Za-z.+:~-]{1,200}")
_ARCHITECTURE = re.compile(r"[a-z0-9-]{1,50}")
_SOURCE = re.compile(r"(?P<name>\S+)(?:[ \t]+\((?P<version>[^)]+)\))?")


def is_status(path: str) -> bool:
    """Whether the file at this absolute path says what is installed."""
    return path == STATUS or (path.startswith(f"{FOLDER}/") and not path.endswith(".md5sums"))


def packages(text: str) -> Iterator[Package]:
    """The packages that are installed; a paragraph that names none, by its rules, is left out."""
    for paragraph in re.split(r"\n[ \t]*\n", text):
        fields = _fields(paragraph)
        if fields.get("status", "install ok installed").split()[-1:] == ["installed"]:
            package = _package(fields)
            if package:
                yield package


def _fields(paragraph: str) -> dict[str, str]:
    """The first line of each field, by its name in small letters."""
    matches = map(_FIELD.fullmatch, paragraph.split("\n"))
    return {match["name"].lower(): match["value"].strip() for match in matches if match}


def _package(fields: dict[str, str]) -> Package | None:
    name, version = fields.get("package", ""), fields.get("version", "")
    architecture = fields.get("architecture", "")
    if not (_NAME.fullmatch(name) and _VERSION.fullmatch(version) and _ARCHITECTURE.fullmatch(architecture)):
        return None
    source = _SOURCE.fullmatch(fields.get("source", ""))
    source_name = source["name"] if source and _NAME.fullmatch(source["name"]) else name
    source_version = (source["version"] if source else None) or version
    return Package(
        PackageKind.DEBIAN,
        name,
        version,
        architecture=architecture,
        source=source_name,
        source_version=source_version if _VERSION.fullmatch(source_version) else version,
    )
