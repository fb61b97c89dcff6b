"""Recorded files: what the RECORDs of packages list is there, as it was installed."""

from __future__ import annotations

from functools import partial
from posixpath import basename, dirname
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.owners import is_code
from pipeline.stages.audit.python import site_of
from pipeline.stages.audit.start import may_be_imported_at_start

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.inventory import Distribution

_finding = partial(ImageFinding, rule="contents")

_MAX_NAMES = 4

_INSTALLERS = frozenset({"pip", "setuptools", "wheel", "uv"})
"""Packages whose files images remove and whose metadata they forget: nothing imports them at run time."""

_DISPENSABLE = frozenset({"distutils-precedence.pth", "a1_coverage.pth", "coloredlogs.pth"})
""".pth files that put nothing on the path: setuptools' for builds, the others' for tests and terminals."""


def present(image: ImageModel) -> Iterator[ImageFinding]:
    """The files of each distribution are there: what puts it on the path, its code, and all else."""
    for distribution in _in_order(image):
        missing = distribution.missing
        code = [path for path in missing if is_code(path)]
        paths = [path for path in code if _puts_on_the_path(path)]
        if not missing:
            continue
        if _is_empty(distribution, image):
            yield _emptied(distribution, image)
        elif paths:
            yield _off_the_path(distribution, paths)
        elif roots := [path for path in code if _is_root(path)]:
            yield _without_a_root(distribution, roots, image)
        elif code:
            yield _incomplete(distribution, code)
        else:
            yield _thinned(distribution, missing)


def as_installed(image: ImageModel) -> Iterator[ImageFinding]:
    """The files of each distribution are its own; one that is another package's has a rule of its own."""
    for distribution in _in_order(image):
        changed = [path for path in distribution.changed if not image.owners.is_anothers(path)]
        code = [path for path in changed if is_code(path)]
        if changed:
            shown = code or changed
            yield _finding(
                severity=Severity.WARNING if code else Severity.NOTE,
                path=distribution.path,
                text=f"{distribution}: {_number(shown)} not as its RECORD says: {_names(shown)}",
                why=_CHANGED if code else _REPLACED,
                hint="install it again; if it is intended, make an exception with the reason",
            )


_CHANGED = (
    "they were changed after it was installed, by hand, by a patch or by a tool: no other package claims them"
)
_REPLACED = "data, such as a list of certificate authorities, was replaced after it was installed"


def on_the_path(image: ImageModel) -> Iterator[ImageFinding]:
    """The folders that ``.pth`` files add to Python's path are there."""
    for path, folders in sorted(image.inventory.path_files.items()):
        site = dirname(path)
        for folder in folders:
            if image.links.real(folder) in image.inventory.nodes:
                continue
            is_inside = folder.startswith(f"{site}/")
            yield _finding(
                severity=Severity.ERROR if is_inside else Severity.WARNING,
                path=path,
                text=f"it puts {folder} on Python's path, which is not there",
                why="what was installed there cannot be imported"
                if is_inside
                else "what was installed from there, editable, cannot be imported unless it is mounted",
                hint="install the package again"
                if is_inside
                else "install it into the image: pip install DIR",
            )


def _in_order(image: ImageModel) -> Sequence[Distribution]:
    return sorted(image.distributions, key=lambda distribution: distribution.path)


def _is_empty(distribution: Distribution, image: ImageModel) -> bool:
    """Whether no code of it is left, though there was some."""
    return (
        any(is_code(path) for path in distribution.missing)
        and distribution.path not in image.owners.with_code
    )


def _puts_on_the_path(path: str) -> bool:
    is_in_site = site_of(path) == dirname(path)
    return path.endswith(".pth") and is_in_site and basename(path) not in _DISPENSABLE


def _is_root(path: str) -> bool:
    """Whether importing the package begins with this file: its ``__init__.py``, or the module that it is."""
    site = site_of(path) or ""
    within = path[len(site) + 1 :].split("/")
    return len(within) == 1 or (len(within) == 2 and within[1] == "__init__.py")  # noqa: PLR2004 - package, file


def _emptied(distribution: Distribution, image: ImageModel) -> ImageFinding:
    return _finding(
        severity=_without(distribution, image),
        path=distribution.path,
        text=f"{distribution}: none of its code is there, only its metadata",
        why="its folder was removed, or a package that had the same files was uninstalled: its import fails",
        hint=f"install {distribution.name}=={distribution.version} again, or remove its .dist-info too",
    )


def _without(distribution: Distribution, image: ImageModel) -> Severity:
    """How much it matters that a package cannot be imported."""
    if distribution.name in _INSTALLERS:
        return Severity.NOTE
    return Severity.ERROR if may_be_imported_at_start(distribution.name, image) else Severity.WARNING


def _off_the_path(distribution: Distribution, paths: list[str]) -> ImageFinding:
    names = ", ".join(map(basename, paths))
    return _finding(
        severity=Severity.ERROR,
        path=paths[0],
        text=f"{names} of {distribution} is gone",
        why="a .pth file puts its package's folders on Python's path, or runs its set-up: without it what is "
        "installed there cannot be imported",
        hint=f"install {distribution.name}=={distribution.version} again (--force-reinstall)",
    )


def _without_a_root(distribution: Distribution, roots: list[str], image: ImageModel) -> ImageFinding:
    verb = "is" if len(roots) == 1 else "are"
    return _finding(
        severity=_without(distribution, image),
        path=roots[0],
        text=f"{distribution}: {_names(roots)}, where its import begins, {verb} gone",
        why="the import fails, or gives an empty module",
        hint=f"install {distribution.name}=={distribution.version} again (--force-reinstall)",
    )


def _incomplete(distribution: Distribution, code: list[str]) -> ImageFinding:
    return _finding(
        severity=Severity.WARNING,
        path=distribution.path,
        text=f"{distribution}: {_number(code)} gone: {_names(code)}",
        why="what imports or opens one of them fails; files were removed after it was installed",
        hint="install it again; if it is intended, make an exception with the reason",
    )


def _thinned(distribution: Distribution, missing: Sequence[str]) -> ImageFinding:
    return _finding(
        severity=Severity.NOTE,
        path=distribution.path,
        text=f"{distribution}: {_number(missing)} gone: {_names(missing)}",
        why="they are data, headers, documentation or tests, which no import asks for",
        hint="take them out of its RECORD too, or install it again",
    )


def _number(paths: Sequence[str]) -> str:
    return f"{len(paths)} of its files are" if len(paths) > 1 else "1 of its files is"


def _names(paths: Sequence[str]) -> str:
    more = len(paths) - _MAX_NAMES
    return ", ".join(paths[:_MAX_NAMES]) + (f" and {more} more" if more > 0 else "")
