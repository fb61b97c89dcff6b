"""Requirements: the packages that installed packages require are installed, in versions that fit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from pipeline.formats.requirements import Fault, TooManyError, broken, needed
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.start import SERVERS, TORCHS, starts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.formats.requirements import Broken, Packages
    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.installed import Installed

_finding = partial(ImageFinding, rule="requirements")

_FIRST, _LAST = "0", "99"
"""The patch releases of a Python: its folders do not say which one it is."""

_OF_PATCHES = ("python_full_version", "implementation_version")
"""The markers that depend on the patch release."""


def hold(image: ImageModel) -> Iterator[ImageFinding]:
    """Every requirement holds, as ``pip check`` and the suite would check in a container.

    For a Python that serves nothing, only contradictions are reported.
    """
    environments = [
        installed
        for installed in image.installations
        if any(distribution.requires for distribution in installed.distributions.values())
    ]
    is_known = any(installed.environment == image.main for installed in environments)
    for installed in environments:
        serves = not is_known or installed.environment == image.main
        if installed.environment.version == "3":
            yield _not_judged(installed)
            continue
        try:
            yield from _judged(installed, image, serves=serves)
        except TooManyError as error:
            yield _too_many(installed, error)


def _judged(installed: Installed, image: ImageModel, *, serves: bool) -> list[ImageFinding]:
    packages = installed.packages(_FIRST, image.machine)[0]
    imported = _imported(packages) if serves else frozenset[str]()
    starts = starts_of(packages) if serves else ()
    return [
        _finding_of(
            violation,
            installed,
            image,
            is_imported=violation.owner in imported,
            is_at_start=any(start.imports(violation) for start in starts),
        )
        for violation in _broken(installed, image)
        if serves or violation.fault is Fault.OTHER_VERSION
    ]


def _imported(packages: Packages) -> frozenset[str]:
    """The packages that the server and torch require; all packages if there is no server."""
    starts = [name for name in SERVERS if packages.requires.get(name)]
    return needed([*starts, *TORCHS], packages) if starts else frozenset(packages.installed)


def _broken(installed: Installed, image: ImageModel) -> list[Broken]:
    """The requirements that fail for any patch release of Python and are not excused by the matrix."""
    excused = {canonicalize_name(name) for name in image.expected.excused}
    always = set.intersection(
        *(
            {
                violation
                for packages in installed.packages(patch, image.machine)
                for violation in broken(packages)
            }
            for patch in _patches(installed)
        )
    )
    return sorted(violation for violation in always if violation.name not in excused)


def _patches(installed: Installed) -> tuple[str, ...]:
    """The first and the last patch release, if any requirement depends on them."""
    requirements = (
        text for distribution in installed.distributions.values() for text in distribution.requires
    )
    return (
        (_FIRST, _LAST) if any(word in text for text in requirements for word in _OF_PATCHES) else (_FIRST,)
    )


def _severity(
    violation: Broken, installed: Installed, image: ImageModel, *, is_imported: bool, is_at_start: bool
) -> Severity:
    """An error is what is missing at the start or of the lock, or contradicts what the server imports.

    NVIDIA's libraries are loaded, not imported: other rules find what they lack. If a package is installed
    twice, it is unknown which one counts.
    """
    if violation.fault is Fault.UNREADABLE:
        return Severity.NOTE
    if image.expected.pins is not None and is_imported:
        return Severity.ERROR
    is_library = violation.name.startswith("nvidia-")
    if violation.fault is Fault.MISSING and is_imported and not is_library:
        return Severity.ERROR if is_at_start else Severity.WARNING
    is_doubtful = {violation.name, violation.owner} & installed.doubtful.keys()
    is_contradiction = violation.fault is Fault.OTHER_VERSION and is_imported
    return Severity.ERROR if is_contradiction and not is_library and not is_doubtful else Severity.WARNING


def _finding_of(
    violation: Broken, installed: Installed, image: ImageModel, *, is_imported: bool, is_at_start: bool
) -> ImageFinding:
    severity = _severity(violation, installed, image, is_imported=is_imported, is_at_start=is_at_start)
    owner = installed.distributions[violation.owner]
    asks = f"{violation.owner} {owner.version} asks for {violation.requirement}"
    text, why, hint = {
        Fault.MISSING: (
            f"{asks}, which is not installed",
            "it is imported at the start, which fails: ModuleNotFoundError"
            if is_at_start
            else "what imports it fails at first use; nothing that is known imports it at the start",
            f"install {violation.name}; if it is left out on purpose, make an exception with the reason",
        ),
        Fault.OTHER_VERSION: (
            f"{asks}, {violation.name} {violation.installed} is installed",
            "a package that checks it fails at import, others fail in use; pip check reports it too",
            "install both in one resolve, and nothing afterwards",
        ),
        Fault.UNREADABLE: (
            f"{violation.owner} {owner.version} has an unreadable requirement: {violation.requirement}"
            + (f", with {violation.name} {violation.installed} installed" if violation.name else ""),
            "whether it holds cannot be decided; installers ignore it or refuse",
            "report it to its authors, or use another release",
        ),
    }[violation.fault]
    return _finding(severity=severity, path=owner.path, text=text, why=why, hint=hint)


def _not_judged(installed: Installed) -> ImageFinding:
    return _finding(
        severity=Severity.NOTE,
        path=installed.environment.site,
        text=f"the requirements of {len(installed.distributions)} packages are not checked",
        why="neither the folder's name nor an interpreter says which Python they are for",
        hint="add the interpreter to the image",
    )


def _too_many(installed: Installed, error: TooManyError) -> ImageFinding:
    return _finding(
        severity=Severity.ERROR,
        path=installed.environment.site,
        text=f"its packages have too many requirements to check: {error}",
        why="no ordinary environment has as many, and the rest was not checked",
        hint="check where these packages come from",
    )
