"""uv, the resolver: which wheels make up a set of requirements, and where the index keeps them."""

from __future__ import annotations

import os
import subprocess
import tempfile
import tomllib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

from packaging.utils import parse_wheel_filename
from packaging.version import Version
from pydantic import BaseModel, Field

from pipeline.adapters import environ
from pipeline.model import index_of, project_of, shown
from pipeline.model.errors import ResolveError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NEEDED = (
    "INDEX",
    "KEYRING",
    "HTTP",
    "NETRC",
    "SSL",
    "NATIVE_TLS",
    "SYSTEM_CERTS",
    "CACHE_DIR",
    "OFFLINE",
    "INSECURE",
)
"""uv's own settings that say how to reach an index. All others could change what a lock holds."""


GLIBCS = (17, 28, *range(31, 41))
"""The minor versions of glibc 2 for which this uv resolves, on each processor of ours."""


@dataclass(frozen=True)
class FoundWheel:
    """A wheel that the index offers. ``size`` in bytes and ``uploaded`` are None where it does not say."""

    filename: str
    url: str
    sha256: str
    size: int | None
    uploaded: datetime | None = None


@dataclass(frozen=True)
class Found:
    """A package at one version, with its wheels for the environment asked for."""

    name: str
    version: str
    wheels: tuple[FoundWheel, ...]

    @property
    def uploaded(self) -> datetime | None:
        """When the last of its wheels was uploaded; None where the index does not say it of each."""
        times = [wheel.uploaded for wheel in self.wheels if wheel.uploaded]
        return max(times) if times and len(times) == len(self.wheels) else None


@dataclass(frozen=True)
class Cutoff:
    """Only files that were uploaded before this day, by UTC, but for those of the packages ``excepted``.

    uv takes no file whose index gives no time of upload: documented under ``exclude-newer``, and seen of
    uv 0.13.9 (``tests/system/commands/test_cooldown.py``).
    """

    before: date
    excepted: frozenset[str] = frozenset()

    @property
    def options(self) -> list[str]:
        """As uv takes it."""
        excepted = [("--exclude-newer-package", f"{name}=false") for name in sorted(self.excepted)]
        return ["--exclude-newer", f"{self.before}T00:00:00Z", *(word for pair in excepted for word in pair)]


def platform_of(machine: str, glibc: str) -> str:
    """The newest platform that uv knows and that runs there: ``x86_64-manylinux_2_40`` for a glibc 2.41.

    Raises UsageError where the glibc is older than all of them.
    """
    minor = int(glibc.partition(".")[2])
    minors = [version for version in GLIBCS if version <= minor]
    if not minors:
        raise UsageError(
            f"glibc {glibc} is older than 2.{GLIBCS[0]}, the oldest for which wheels can be resolved",
            hint="name a newer `base: image:`, or correct its `glibc:` in matrix.yaml",
        )
    return f"{machine}-manylinux_2_{minors[-1]}"


def resolve(
    requirements: Sequence[str],
    *,
    python: str,
    platform: str,
    constraints: Sequence[str] = (),
    overrides: Sequence[str] = (),
    folders: Sequence[Path] = (),
    dependencies: bool = True,
    cutoff: Cutoff | None = None,
) -> tuple[Found, ...]:
    """Resolve requirements for a Python ("3.11") and what ``platform_of`` says.

    A requirement with a local version part (``torch==2.13.0+cpu``, ``vllm==0.27.0+cu129``) is looked
    for in the folders first and else in the index of its makers for that build, and nothing else is:
    so no other package can come from there, and no other requirement can pick up such a build. Only
    wheels are considered.

    Raises ResolveError where no set of packages fits, or an index cannot be asked.
    """
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        (here / "pyproject.toml").write_text(_project(requirements, python, here, folders))
        (here / "constraints.txt").write_text("\n".join(constraints))
        (here / "overrides.txt").write_text("\n".join(overrides))
        command = [
            *_uv(), "pip", "compile", "pyproject.toml", "--quiet", "--format", "pylock.toml",
            "--output-file", "pylock.toml", "--only-binary", ":all:", "--python-version", python,
            "--python-platform", platform, "--constraint", "constraints.txt", "--override", "overrides.txt",
        ]  # fmt: skip
        command += [] if dependencies else ["--no-deps"]
        command += cutoff.options if cutoff else []
        done = subprocess.run(
            command, cwd=here, env=_environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ResolveError(
                f"uv could not resolve {', '.join(requirements[:4])}:\n{done.stderr.strip()}",
                hint="the versions may not exist together, or the index cannot be reached; "
                "wheels in a folder are found with --find-links or PIP_FIND_LINKS",
            )
        return _read(here / "pylock.toml")


def _project(requirements: Sequence[str], python: str, here: Path, folders: Sequence[Path]) -> str:
    lines = ["[project]", 'name = "cell"', 'version = "0"', f'requires-python = "=={python}.*"']
    lines += ["dependencies = [", *(f'  "{requirement}",' for requirement in requirements), "]"]
    local = [requirement for requirement in dict.fromkeys(requirements) if "+" in requirement]
    sources, indexes = [], []
    for number, requirement in enumerate(local):
        name, version = project_of(requirement), requirement.partition("==")[2]
        sources.append(f'{name} = {{ index = "variant{number}" }}')
        url, flat = _variant_source(name, version, python, here / f"variant{number}", folders)
        indexes += ["[[tool.uv.index]]", f'name = "variant{number}"', f'url = "{url}"', "explicit = true"]
        indexes += ['format = "flat"'] if flat else []
    return "\n".join([*lines, "[tool.uv.sources]", *sources, *indexes, ""])


def _variant_source(
    name: str, version: str, python: str, links: Path, folders: Sequence[Path]
) -> tuple[str, bool]:
    """The one place that may offer this build: a folder of links to it, or the index of its makers."""
    wheels = [wheel for folder in folders for wheel in folder.glob("*.whl") if _is(wheel, name, version)]
    matches = [wheel for wheel in wheels if _is_for(wheel, python)]
    if not matches:
        return index_of(name, version), False
    links.mkdir()
    for wheel in matches:
        link = links / wheel.name
        if not link.exists():
            link.symlink_to(wheel.resolve())
    return links.as_uri(), True


def _is(wheel: Path, name: str, version: str) -> bool:
    """Whether this file is that build; a folder may hold files that are named like no wheel."""
    try:
        project, its_version, _, _ = parse_wheel_filename(wheel.name)
    except ValueError:  # also where a number has thousands of digits
        return False
    return project == name and its_version == Version(version)


def _is_for(wheel: Path, python: str) -> bool:
    """Whether this Python may install it; for which machine it is, uv looks at."""
    tags = parse_wheel_filename(wheel.name)[3]
    own = {f"cp{python.replace('.', '')}", "py3"}
    return any(tag.interpreter in own or tag.abi == "abi3" for tag in tags)


def _uv() -> list[str]:
    from uv import find_uv_bin  # noqa: PLC0415 - only a stage that resolves needs it

    return [find_uv_bin()]


def _environment() -> dict[str, str]:
    """What uv needs to reach an index, and nothing that would make a lock depend on the machine."""
    own = [f"UV_*{word}*" for word in _NEEDED]
    kept = environ.of(environ.HOME, environ.NETWORK, environ.LOGINS, own, ["VIRTUAL_ENV"])
    if default := os.environ.get("PIP_INDEX_URL"):
        kept.setdefault("UV_DEFAULT_INDEX", default)
    return kept


class _Hashes(BaseModel):
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Wheel(BaseModel):
    url: str
    hashes: _Hashes
    size: Annotated[int, Field(ge=0)] | None = None
    upload_time: Annotated[datetime | None, Field(alias="upload-time")] = None

    @property
    def found(self) -> FoundWheel:
        """Raises OSError where it is a file that is not there, ValueError where it has no address."""
        path = Path(unquote(urlsplit(self.url).path))
        size = path.stat().st_size if self.url.startswith("file:") else self.size
        time = self.upload_time
        if time and time.tzinfo is None:
            time = time.replace(tzinfo=UTC)  # PEP 751: a time without a zone is in UTC
        return FoundWheel(path.name, self.url, self.hashes.sha256, size, time)


class _Package(BaseModel):
    name: str
    version: str
    wheels: tuple[_Wheel, ...] = ()


class _Pylock(BaseModel):
    """What is asked of a pylock.toml (PEP 751)."""

    packages: tuple[_Package, ...] = ()


def _read(path: Path) -> tuple[Found, ...]:
    """What uv found. Raises ResolveError where what it wrote is not understood."""
    try:
        lock = _Pylock.model_validate(tomllib.loads(path.read_text("utf-8")))
        return tuple(
            Found(package.name, package.version, tuple(wheel.found for wheel in package.wheels))
            for package in lock.packages
        )
    except (OSError, RecursionError, ValueError) as error:
        raise ResolveError(
            f"what uv wrote is not understood: {shown(error)}", hint="look whether another uv is in use"
        ) from error
