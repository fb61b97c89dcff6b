"""Closure: the loader finds every library that an object needs, in a version that is new enough."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_families, known_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.known_libraries import KnownLibrary

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
    provided = providers(image)
    broken = _broken(image)
    reported: set[str] = set()
    for root, load in (*image.loads.items(), *image.others.items()):
        lacking: dict[str, list[str]] = {}
        for soname, path in load.missing:
            lacking.setdefault(path, []).append(soname)
        for path, missing in lacking.items():
            if path not in reported and not (known_families.of(path) or known_families.of(root)):
                reported.add(path)
                elsewhere = [soname for soname in missing if soname in provided]
                nowhere = [soname for soname in missing if soname not in provided]
                if nowhere:
                    unread = next((broken[soname] for soname in nowhere if soname in broken), None)
                    yield _finding_of(_Missing(path, root, nowhere, unread=unread), image)
                if elsewhere:
                    yield _finding_of(_Missing(path, root, elsewhere, provided[elsewhere[0]]), image)


@dataclass(frozen=True)
class _Missing:
    """Libraries that ``path`` needs when ``root`` is loaded.

    ``elsewhere`` is where the first of them is, out of the loader's way; ``unread`` is a damaged file with
    the name of one, and why it cannot be read.
    """

    path: str
    root: str
    sonames: list[str]
    elsewhere: str = ""
    unread: tuple[str, str] | None = None

    def __str__(self) -> str:
        verb = "is" if len(self.sonames) == 1 else "are"
        if self.elsewhere:
            where = f"{verb} in {self.elsewhere.rpartition('/')[0]}, where it does not look"
        elif self.unread:
            where = f"cannot be loaded: {self.unread[0]} is damaged ({self.unread[1]})"
        else:
            where = f"{verb} nowhere in the image"
        through = "" if self.root == self.path else f" (needed when {self.root} is loaded)"
        return f"{', '.join(self.sonames)} {where}{through}"


def _finding_of(missing: _Missing, image: ImageModel) -> ImageFinding:
    plugin = _known(known_libraries.PLUGINS, missing.path, missing.root)
    optional = _known(known_libraries.OPTIONAL_MODULES, missing.path, missing.root)
    if plugin:
        why = f"{plugin.reason}: harmless if it is not used ({plugin.source})"
    elif optional:
        why = f"{optional.reason} ({optional.source})"
    elif missing.root in image.others:
        why = "nothing in the image is known to load it"
    elif missing.elsewhere and missing.root not in image.programs:
        why = "it loads only after something else has loaded that library, which files do not show"
    else:
        why = f"loading it fails: {missing.sonames[0]}: cannot open shared object file"
    return _finding(
        severity=Severity.NOTE if plugin else Severity.WARNING if optional else _severity(missing, image),
        path=missing.path,
        text=str(missing),
        why=why,
        hint=_reinstall(image, missing.unread[0]) if missing.unread else _remedy(missing.sonames[0], image),
    )


def _known(rows: tuple[KnownLibrary, ...], path: str, root: str) -> KnownLibrary | None:
    return known_libraries.matching(rows, path) or known_libraries.matching(rows, root)


def _reinstall(image: ImageModel, path: str) -> str:
    owners = image.owners.claimants(path)
    what = f"{owners[0].name}=={owners[0].version}" if owners else "the package that it is from"
    return f"install {what} again: the file was cut off while it was copied or unpacked"


def _broken(image: ImageModel) -> dict[str, tuple[str, str]]:
    """The libraries that are there and cannot be read, by the name of their file: path and reason."""
    return {path.rpartition("/")[2]: (path, reason) for path, reason in image.inventory.unreadable}


def _severity(missing: _Missing, image: ImageModel) -> Severity:
    """How much it matters that a library is missing, elsewhere in the image or altogether."""
    if missing.root in image.programs:
        return Severity.ERROR
    if missing.root in image.modules:
        return Severity.WARNING if missing.elsewhere else Severity.ERROR
    if missing.root in image.packaged:
        return Severity.NOTE if missing.elsewhere else Severity.WARNING
    return Severity.NOTE


def _remedy(soname: str, image: ImageModel) -> str:
    for distribution in image.distributions:
        if any(path.endswith(f"/{soname}") for path in distribution.missing):
            return (
                f"install {distribution.name}=={distribution.version} again: its RECORD has {soname}, which "
                "is gone, as after the uninstallation of another package with the same file"
            )
    if major := known_libraries.cuda_major(soname):
        return f"install the build for the CUDA of the image, or the libraries of CUDA {major}"
    return f"install the package that brings {soname}, or remove what needs it"


def providers(image: ImageModel) -> dict[str, str]:
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
                if known_families.of(path):
                    continue
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
