"""Locks, and other lists in JSON and TOML: those of uv, poetry, pipenv and PEP 751, of pip and of conda."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion

from pipeline.formats.environments.conda_lists import from_conda
from pipeline.formats.environments.listing import Listed, Listing, holds, numbered
from pipeline.formats.environments.pip_lists import listed_as, of_requirements

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def of_json(text: str, here: dict[str, str]) -> Listing:
    """``pip list --format=json``, ``conda list --json``, ``pip inspect``, ``Pipfile.lock``."""
    document = json.loads(text)
    if isinstance(document, list):
        is_conda = any(isinstance(row, dict) and "channel" in row for row in document)
        rows = [_of_conda(row) if is_conda else (row["name"], row["version"]) for row in document]
        return numbered("conda list" if is_conda else "pip list", "pip", rows)
    if "installed" in document:
        rows = [(row["metadata"]["name"], row["metadata"]["version"]) for row in document["installed"]]
        listing = numbered("pip inspect", "pip", rows)
        version = str(document.get("environment", {}).get("python_version", ""))
        return replace(listing, python=version if re.fullmatch(r"3\.[0-9]{1,2}", version) else "")
    unread: list[str] = []
    packages = [
        listed_as(name, str(entry.get("version", "")), f"package {number}")
        for number, (name, entry) in enumerate(document["default"].items(), 1)
        if holds(str(entry.get("markers", "")), here)
    ]
    return Listing("Pipfile.lock", "pipenv", tuple(packages), tuple(unread))


def _of_conda(row: Mapping[str, Any]) -> tuple[str, str]:
    return from_conda(str(row["name"]), str(row["version"]), str(row.get("build_string", "")))


def of_toml(text: str, here: dict[str, str]) -> Listing:
    """``uv.lock``, ``pylock.toml``, ``poetry.lock`` and ``pyproject.toml``."""
    document = tomllib.loads(text)
    if "packages" in document:
        return _locked("pylock.toml", "pip", document, document["packages"], here)
    if "package" in document:
        is_uv = "lock-version" not in document.get("metadata", {})
        return _locked("uv.lock" if is_uv else "poetry.lock", "uv" if is_uv else "poetry", document,
                       document["package"], here)  # fmt: skip
    project = document["project"]
    text = "\n".join(str(line).replace("\n", " ") for line in project.get("dependencies", ()))
    listing = of_requirements(text, here)
    return replace(listing, kind="pyproject.toml", tool="uv")


def _locked(
    kind: str, tool: str, document: Mapping[str, Any], rows: list[dict[str, Any]], here: dict[str, str]
) -> Listing:
    """The rows of a lock that are for this Python and machine; of two of one package none is chosen."""
    found: dict[str, list[Listed]] = {}
    unread: list[str] = []
    for number, row in enumerate(rows, 1):
        name: str = canonicalize_name(str(row["name"]))
        markers = row.get("resolution-markers") or [row.get("marker", row.get("markers", ""))]
        if not any(holds(marker, here) for marker in _texts(markers)) or _is_the_project(row):
            continue
        if "version" in row:
            listed = Listed(name, str(row["version"]), "", f"package {number}")
            found.setdefault(name, []).append(listed)
        else:
            unread.append(f"package {number}: {name} has no version")
    packages: list[Listed] = []
    for several in found.values():
        versions = dict.fromkeys(listed.version for listed in several)
        if len(versions) == 1:
            packages.append(several[0])
        else:
            unread.append(f"{several[0].name} is there in several versions: {', '.join(versions)}")
    bounds = str(
        document.get("requires-python", "") or document.get("metadata", {}).get("python-versions", "")
    )
    return Listing(kind, tool, tuple(packages), tuple(unread), _only_python(bounds))


def _texts(markers: Any) -> Iterator[str]:
    """The markers of a lock's row: a text, or in poetry's locks one for each group."""
    for marker in markers:
        yield from (str(value) for value in marker.values()) if isinstance(marker, dict) else (str(marker),)


def _is_the_project(row: Mapping[str, Any]) -> bool:
    """Whether a row of uv.lock is the project itself, which is no package of an index."""
    source = row.get("source")
    return isinstance(source, dict) and bool({"virtual", "editable"} & source.keys())


def _only_python(bounds: str) -> str:
    """The one Python that a lock is for, where it is for one alone."""
    try:
        allowed = SpecifierSet(bounds)
        minors = [minor for minor in range(6, 20) if bounds and allowed.contains(f"3.{minor}.5")]
    except (InvalidSpecifier, InvalidVersion, ValueError):
        return ""
    return f"3.{minors[0]}" if len(minors) == 1 else ""
