"""Families of alternatives: of the builds that a package chooses from, one can be loaded."""

from __future__ import annotations

from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from pipeline.compat.pairs import holds, project
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.known_families import FAMILIES
from pipeline.stages.audit.rules.closure import providers
from pipeline.stages.audit.undefined import first, undefined

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.known_families import Family
    from pipeline.stages.audit.loader import Load
    from pipeline.stages.audit.python import Environment

_finding = partial(ImageFinding, rule="closure")


def alternatives(image: ImageModel) -> Iterator[ImageFinding]:
    """One alternative of each family loads, in every environment that has it."""
    loads = {**image.others, **image.loads}
    for family in FAMILIES:
        for environment in image.environments.values():
            members = {
                path: load
                for path, load in loads.items()
                if fnmatchcase(path, family.alternatives) and path.startswith(f"{environment.site}/")
            }
            if members and not family.has_fallback:
                yield from _judged(family, members, environment, image)


def _judged(
    family: Family, members: Mapping[str, Load], environment: Environment, image: ImageModel
) -> Iterator[ImageFinding]:
    """What is missing for all of them, or else for the one whose libraries are there."""
    starter = _imported_at_start_by(family, environment, image)
    failure = _failure_of_all(family, members, image)
    if failure:
        reason, remedy, is_of_choice = failure
        mild = Severity.NOTE if is_of_choice else Severity.WARNING
        count = len(members)
        yield _finding(
            severity=Severity.ERROR if starter else mild,
            path=min(members),
            text=f"none of the {count} builds of {family.package} can be loaded: {reason}",
            why=f"{starter} imports it at its start, and fails with it ({family.at_start_source})"
            if starter
            else f"what uses {family.package} fails at first use ({family.source})",
            hint=remedy,
        )


def _failure_of_all(
    family: Family, members: Mapping[str, Load], image: ImageModel
) -> tuple[str, str, bool] | None:
    """Why none loads, the remedy, and whether only what they differ by is missing; None if one does."""
    lacks = {path: frozenset(soname for soname, _ in load.missing) for path, load in members.items()}
    common = [
        soname
        for soname in sorted(frozenset.intersection(*lacks.values()))
        if not family.is_of_choice(soname)
    ]
    if common:
        where = "is where it does not look" if common[0] in providers(image) else "is nowhere in the image"
        return f"all need {', '.join(common)}, and {common[0]} {where}", _remedy(common), False
    complete = sorted(path for path, missing in lacks.items() if not missing)
    if not complete:
        reason = f"each is for another {family.differ_by}, and none of those is there"
        return reason, f"install {family.differ_by}, if {family.package} is used", True
    symbols = [lacking for path in complete for lacking in undefined(image, path, members[path], set())]
    if len({lacking.path for lacking in symbols} & set(complete)) < len(complete):
        return None
    name = symbols[0].path.rpartition("/")[2]
    reason = f"{name}, whose libraries are there, finds no {first(symbols[0].names)[:200]}"
    return reason, f"install the release of {family.package} for the PyTorch that is there", False


def _imported_at_start_by(family: Family, environment: Environment, image: ImageModel) -> str:
    """The package that imports it at its start, with its version; empty if none is known to."""
    if environment != image.main:
        return ""
    versions = {name: distribution.version for name, distribution in image.installed.items()}
    names = (project(one) for one in family.at_start if holds(one, versions))
    return next((str(image.installed[name]) for name in names), "")


def _remedy(missing: list[str]) -> str:
    majors = sorted({major for soname in missing if (major := known_libraries.cuda_major(soname))})
    if majors:
        return (
            f"install its build for the CUDA of the image (this one is for CUDA {majors[-1]}), or remove it"
        )
    return f"install the package that brings {missing[0]}, or remove what needs it"
