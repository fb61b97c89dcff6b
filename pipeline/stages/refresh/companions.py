"""Reading the companions: the requirements of each release's wheel, a range request or two for each.

Like the facts of PyTorch and vLLM, these rows grow and are never written by hand. What was read stays read:
its row carries the wheel's hash. What only the page tells (Pythons) is taken anew.
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version
from pydantic import TypeAdapter

from pipeline.adapters import files
from pipeline.compat.companion_facts import Release
from pipeline.model import Reason, shown
from pipeline.model.errors import FactsError
from pipeline.stages.refresh.reading import METADATA, dist_info
from pipeline.stages.refresh.releases import Project, python_of, version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.adapters.package_index import Index, IndexFile

SCHEMA = 1
ABOUT = (
    "Read from the wheels by nox -s refresh, never edited; pipeline/compat/companion_facts.py explains them."
)

PROJECTS = (
    Project("transformers", oldest="4.36.0"),
    Project("tokenizers", oldest="0.15.0"),
    Project("torchvision", oldest="0.15.0"),
    Project("torchaudio", oldest="2.0.0"),
    Project("torchcodec", oldest="0.1.0"),
    Project("triton", oldest="2.0.0"),
    Project("xformers", oldest="0.0.20"),
    Project("flashinfer-python", oldest="0.2.0"),
    Project("flashinfer-cubin"),
    Project("numba", oldest="0.57.0"),
    Project("numpy", oldest="1.22.0"),
    Project("huggingface-hub", oldest="0.16.4"),
    Project("setuptools", oldest="65.0.0"),
)
"""Those whose requirements decide whether a stack fits, from the first that goes with a release of ours."""

DECIDING = frozenset(
    """
    torch torchvision torchaudio torchcodec triton transformers tokenizers xformers numpy numba vllm
    huggingface-hub flashinfer-python flashinfer-cubin nvidia-cutlass-dsl nvidia-cudnn-frontend cuda-python
    """.split()  # noqa: SIM905 - words on lines are read best
)
"""The packages a requirement on which is kept."""

_ROWS = TypeAdapter(tuple[Release, ...])


def refresh(
    index: Index, known: Sequence[Release], progress: Callable[[str], None]
) -> tuple[tuple[Release, ...], tuple[Reason, ...]]:
    """These rows and one for each release that the index has beside them; and why others could not be read.

    Raises FactsError where the index does not answer, or a wheel on it cannot be read.
    """
    rows, problems = {row.sha256: row for row in known}, []
    for project in PROJECTS:
        page = index.files(project.name)
        if isinstance(page, Reason):
            problems.append(page)
            continue
        read = 0
        for file, pythons in offered(project, page):
            is_new = file.sha256 not in rows
            row = _read(index, project, file) if is_new else rows[file.sha256]
            rows[file.sha256] = replace(row, pythons=pythons)
            read += is_new
        if read:
            progress(f"{project.name}: {read} releases read")
    return in_order(rows.values()), tuple(problems)


def offered(project: Project, page: Iterable[IndexFile]) -> Iterator[tuple[IndexFile, tuple[str, ...]]]:
    """For each release that is no preview and not yanked the wheel that stands for it, and its Pythons."""
    releases: dict[Version, list[IndexFile]] = {}
    for file in page:
        version = version_of(file.name) if file.name.endswith(".whl") and not file.yanked else None
        if version and not version.is_prerelease and version >= Version(project.oldest):
            releases.setdefault(version, []).append(file)
    for version in sorted(releases):
        best = min(map(_rank, releases[version]))
        wheels = sorted(
            (file for file in releases[version] if _rank(file) == best), key=lambda file: file.name
        )
        if best < _ELSEWHERE:
            yield wheels[0], _pythons(wheels)


_ELSEWHERE = 9
"""The rank of a wheel for another system."""


def _rank(file: IndexFile) -> int:
    """Wheels for every machine come first, then those for x86-64, then those for another with Linux."""
    platforms = {tag.platform for tag in parse_wheel_filename(file.name)[3]}
    if "any" in platforms:
        return 0
    if any("linux" in platform and platform.endswith("x86_64") for platform in platforms):
        return 1
    return 2 if any("linux" in platform for platform in platforms) else _ELSEWHERE


def _pythons(wheels: Iterable[IndexFile]) -> tuple[str, ...]:
    """The Pythons that these wheels are made for; none where one is for all of them, or for all newer ones.

    A free-threaded Python is another one.
    """
    tags = [tag for file in wheels for tag in parse_wheel_filename(file.name)[3]]
    if any(tag.abi in {"abi3", "none"} for tag in tags):
        return ()
    named = {python for tag in tags if tag.abi == tag.interpreter and (python := python_of(tag.interpreter))}
    return tuple(sorted(named, key=lambda python: int(python.split(".")[1])))


def _read(index: Index, project: Project, file: IndexFile) -> Release:
    wheel = index.wheel(file)
    metadata = BytesHeaderParser().parsebytes(wheel.read(dist_info(wheel, METADATA)))
    try:
        name, version = canonicalize_name(str(metadata.get("Name", ""))), Version(str(metadata["Version"]))
        requires_python = str(SpecifierSet(str(metadata.get("Requires-Python") or "")))
    except ValueError as error:
        raise FactsError(
            f"{file.shown}: its METADATA is not understood: {shown(error)}", hint=_HINT
        ) from error
    if name != project.name:
        raise FactsError(f"{file.shown}: its METADATA says that it is {shown(name)}", hint=_HINT)
    return Release(
        project.name,
        version.public,
        file.name,
        file.sha256,
        requires_python,
        (),
        tuple(_deciding(metadata.get_all("Requires-Dist", ()))),
    )


_HINT = "the index serves another file than it lists: ask whoever runs it"


def _deciding(requirements: Iterable[object]) -> Iterator[str]:
    """The requirements on what belongs to the stack, without those of extras; odd ones are left out."""
    for text in requirements:
        try:
            requirement = Requirement(str(text))
        except InvalidRequirement:
            continue
        if canonicalize_name(requirement.name) in DECIDING and "extra" not in str(requirement.marker or ""):
            yield str(requirement)


def in_order(rows: Iterable[Release]) -> tuple[Release, ...]:
    """By package and release."""
    return tuple(sorted(rows, key=lambda row: (row.package, Version(row.version))))


def read(path: Path) -> tuple[Release, ...]:
    """The rows of this file; none where there is no such file. Raises FactsError where they are no rows."""
    if not path.exists():
        return ()
    try:
        return _ROWS.validate_python(json.loads(path.read_text("utf-8"))["releases"])
    except (AttributeError, LookupError, OSError, RecursionError, TypeError, ValueError) as error:
        raise FactsError(
            f"{path} does not hold rows as refresh writes them: {shown(error)}",
            hint="take it back from the repository, or remove it and read everything again",
        ) from error


def write(path: Path, rows: Iterable[Release], day: str) -> bool:
    """Write these rows as read on this day. False where the file has them already."""
    ordered = in_order(rows)
    if path.exists() and ordered == read(path):
        return False
    head = json.dumps({"schema": SCHEMA, "about": ABOUT, "read": day})[:-1]
    lines = ",\n".join(json.dumps(asdict(row), ensure_ascii=False) for row in ordered)
    files.write(path, f'{head}, "releases": [\n{lines}\n]}}\n'.encode())
    return True
