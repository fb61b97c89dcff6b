"""Executable stacks, which glibc refuses to what is opened at run time, since 2.41."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from pipeline.formats.numbers import whole
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="closure")

Release = tuple[int, int]

_FIRST: Release = (2, 41)
"""https://sourceware.org/glibc/wiki/Release/2.41: dlopen no longer makes the stack executable."""


_VERSION = re.compile(r"GLIBC_([0-9]{1,4})\.([0-9]{1,4})")


def executable(image: ImageModel) -> Iterator[ImageFinding]:
    """Nothing that a Python opens asks for an executable stack that the image's own glibc refuses.

    What a program links is still given one as it starts, and after that nothing is refused any more; so is
    everything where GLIBC_TUNABLES has glibc.rtld.execstack=2.
    """
    glibc = _glibc(image)
    if glibc is None or "glibc.rtld.execstack=2" in image.env.get("GLIBC_TUNABLES", "").split(":"):
        return
    reported: set[str] = set()
    for opened in (image.modules, image.packaged):
        for root, load in opened.items():
            for path in load.order:
                obj = image.inventory.objects[path]
                if obj.executable_stack and path not in reported and not _has_one(image, root):
                    reported.add(path)
                    yield _asking(image, path, root, glibc)


def _asking(image: ImageModel, path: str, root: str, release: Release) -> ImageFinding:
    through = "" if root == path else f" (needed when {root} is loaded)"
    glibc, first = (f"{major}.{minor}" for major, minor in (release, _FIRST))
    text = "it asks for an executable stack (PT_GNU_STACK)"
    clear = "clear the flag (patchelf --clear-execstack)"
    if release < _FIRST:
        return _finding(
            severity=Severity.NOTE,
            path=path,
            text=f"{text}{through}",
            why=f"glibc {glibc} grants it, {first} and newer refuse to load it: a newer base breaks it",
            hint=f"take a newer release of its package, or {clear}, before the base is raised",
        )
    plugin = known_libraries.matching(known_libraries.PLUGINS, path)
    severity = Severity.ERROR if root in image.modules else Severity.WARNING
    return _finding(
        severity=Severity.NOTE if plugin else severity,
        path=path,
        text=f"{text}, which this image's glibc {glibc} refuses{through}",
        why="loading it fails: cannot enable executable stack as shared object requires: Invalid argument "
        "(https://github.com/OpenNMT/CTranslate2/issues/1849)",
        hint=f"take a newer release of its package, {clear}, or set GLIBC_TUNABLES=glibc.rtld.execstack=2",
    )


def _has_one(image: ImageModel, root: str) -> bool:
    """Whether the Python that opens it has an executable stack from its start."""
    environment = image.environment_of(root)
    load = image.programs.get(environment.python) if environment else None
    return load is not None and any(image.inventory.objects[path].executable_stack for path in load.order)


def _glibc(image: ImageModel) -> Release | None:
    """The release of the image's libc.so.6: the newest version of symbols that it defines."""
    releases = [
        (whole(match[1]) or 0, whole(match[2]) or 0)
        for obj in image.inventory.objects.values()
        if obj.soname == "libc.so.6" and obj.machine == image.machine
        for name in obj.version_defines
        if (match := _VERSION.match(name))
    ]
    return max(releases, default=None)
