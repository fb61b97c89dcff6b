"""Closure: the loader finds every library that an object needs, in a version that is new enough."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="closure")


def unreadable(image: ImageModel) -> Iterator[ImageFinding]:
    """Files that are named like libraries but cannot be parsed, mostly broken copies."""
    for path, reason in image.inventory.unreadable:
        yield _finding(
            severity=Severity.WARNING,
            path=path,
            text=f"it cannot be read: {reason}",
            why="whatever loads it fails, and its content could not be checked",
            hint="install the package again that it is from",
        )


def sonames(image: ImageModel) -> Iterator[ImageFinding]:
    """Each soname is found as the dynamic loader would, or is one of the driver's.

    For a program or a module a missing one is an error. For a library that only its package may open it is
    milder: files do not show what that package opened before.
    """
    provided = _provided(image)
    reported: set[str] = set()
    for root, load in (*image.loads.items(), *image.others.items()):
        lacking: dict[str, list[str]] = {}
        for soname, path in load.missing:
            lacking.setdefault(path, []).append(soname)
        for path, missing in lacking.items():
            if path not in reported:
                reported.add(path)
                elsewhere = [soname for soname in missing if soname in provided]
                nowhere = [soname for soname in missing if soname not in provided]
                if nowhere:
                    yield _missing(image, path, root, nowhere, None)
                if elsewhere:
                    yield _missing(image, path, root, elsewhere, provided[elsewhere[0]])


def _missing(
    image: ImageModel, path: str, root: str, missing: list[str], elsewhere: str | None
) -> ImageFinding:
    plugin = known_libraries.matching(known_libraries.PLUGINS, path) or known_libraries.matching(
        known_libraries.PLUGINS, root
    )
    names = ", ".join(missing)
    verb = "is" if len(missing) == 1 else "are"
    if elsewhere:
        where = f"{verb} in {elsewhere.rpartition('/')[0]}, where it does not look"
    else:
        where = f"{verb} nowhere in the image"
    if plugin:
        why = f"{plugin.reason}: harmless if it is not used ({plugin.source})"
    elif root in image.others:
        why = "nothing in the image is known to load it"
    elif elsewhere and root not in image.programs:
        why = "it loads only after something else has loaded that library, which files do not show"
    else:
        why = f"loading it fails: {missing[0]}: cannot open shared object file"
    through = "" if root == path else f" (needed when {root} is loaded)"
    return _finding(
        severity=Severity.NOTE if plugin else _severity(image, root, is_there=elsewhere is not None),
        path=path,
        text=f"{names} {where}{through}",
        why=why,
        hint=_remedy(missing[0]),
    )


def _severity(image: ImageModel, root: str, *, is_there: bool) -> Severity:
    """How much it matters that a library is missing, elsewhere in the image or altogether."""
    if root in image.programs:
        return Severity.ERROR
    if root in image.modules:
        return Severity.WARNING if is_there else Severity.ERROR
    if root in image.packaged:
        return Severity.NOTE if is_there else Severity.WARNING
    return Severity.NOTE


def _remedy(soname: str) -> str:
    if major := known_libraries.cuda_major(soname):
        return f"install the build for the CUDA of the image, or the libraries of CUDA {major}"
    return f"install the package that brings {soname}, or remove what needs it"


def _provided(image: ImageModel) -> dict[str, str]:
    """For each soname an object in the image that provides it."""
    objects = image.inventory.objects.values()
    fitting = [obj for obj in objects if obj.machine == image.machine]
    by_name = {obj.path.rpartition("/")[2]: obj.path for obj in fitting}
    return by_name | {obj.soname: obj.path for obj in fitting if obj.soname}


def versions(image: ImageModel) -> Iterator[ImageFinding]:
    """Each required symbol version (GLIBC_, GLIBCXX_, CXXABI_ …) is defined by the library that is loaded."""
    reported: set[tuple[str, str, str]] = set()
    for root, load in image.loads.items():
        for path in load.order:
            for soname, needed in image.inventory.objects[path].version_needs:
                provider = load.names.get(soname)
                offered = image.inventory.objects[provider].version_defines if provider else ()
                lacking = [version for version in needed if offered and version not in offered]
                if provider and lacking and (path, soname, provider) not in reported:
                    reported.add((path, soname, provider))
                    plugin = known_libraries.matching(known_libraries.PLUGINS, path)
                    yield _finding(
                        severity=Severity.NOTE if plugin else _of_version(image, root),
                        path=path,
                        text=f"{provider} has no {', '.join(lacking)}",
                        why=f"loading it fails: version `{lacking[-1]}' not found",
                        hint="take a newer base, or a build of this package for an older one",
                    )


def _of_version(image: ImageModel, root: str) -> Severity:
    return Severity.WARNING if root in image.packaged else Severity.ERROR
