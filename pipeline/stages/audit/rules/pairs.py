"""Pairs: packages that fail together although no requirement of theirs says so."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.compat.pairs import clashes, holds, project, undeclared, unequal
from pipeline.model import ImageFinding, Level, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.pairs import Clash, Equal, Undeclared
    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.installed import Installed

_finding = partial(ImageFinding, rule="requirements")

_SEVERITIES = {Level.IMPOSSIBLE: Severity.ERROR, Level.WARN: Severity.WARNING}
_OFF = ("", "0")
"""Values of a variable that leave what it would turn off on."""


def together(image: ImageModel) -> Iterator[ImageFinding]:
    """Packages of one release have one version, and none is installed with one that it fails with."""
    environments = image.installations
    is_known = any(installed.environment == image.main for installed in environments)
    for installed in environments:
        serves = not is_known or installed.environment == image.main
        versions = {name: distribution.version for name, distribution in installed.distributions.items()}
        for row, here in unequal(versions):
            if not row.unless or image.env.get(row.unless, "") in _OFF:
                yield _unequal(row, here, installed, serves=serves)
        for name, version in versions.items():
            for wanted in undeclared(name, version):
                if project(wanted.requirement) in versions and not holds(wanted.requirement, versions):
                    yield _unstated(wanted, installed, versions)
        for clash in clashes(versions):
            yield _clash(clash, installed, versions, serves=serves)


def _unequal(
    row: Equal, here: tuple[tuple[str, str], ...], installed: Installed, *, serves: bool
) -> ImageFinding:
    (name, version), *others = here
    public = version.partition("+")[0]
    differing = [(other, its) for other, its in others if its.partition("+")[0] != public]
    remedy = " and ".join(f"{other}=={public}" for other, _ in differing)
    switch = f"; {row.unless}=1 turns the check off, at your own risk" if row.unless else ""
    return _finding(
        severity=Severity.ERROR if serves else Severity.WARNING,
        path=installed.distributions[differing[0][0]].path,
        text=f"{' and '.join(f'{other} {its}' for other, its in differing)} beside {name} {version}",
        why=f"{row.text} ({row.source[0]})",
        hint=f"install {remedy}, or remove {'it' if len(differing) == 1 else 'them'}{switch}",
    )


def _unstated(row: Undeclared, installed: Installed, versions: dict[str, str]) -> ImageFinding:
    owner = installed.distributions[project(row.owner)]
    name = project(row.requirement)
    return _finding(
        severity=Severity.WARNING,
        path=owner.path,
        text=f"{owner} is for {row.requirement}, {name} {versions[name]} is installed",
        why=f"its METADATA does not say so; its libraries are compiled for that {name} ({row.source[0]})",
        hint=f"install the release of {owner.name} for {name} {versions[name]}",
    )


def _clash(clash: Clash, installed: Installed, versions: dict[str, str], *, serves: bool) -> ImageFinding:
    names = [project(one) for one in (*clash.ones, clash.other) if holds(one, versions)]
    packages = [installed.distributions[name] for name in names]
    severity = _SEVERITIES.get(clash.level, Severity.NOTE)
    return _finding(
        severity=severity if serves else max(severity, Severity.WARNING, key=lambda one: one.rank),
        path=packages[-1].path,
        text=" beside ".join(map(str, packages)),
        why=f"{clash.text} ({clash.source[0]})",
        hint=f"install {clash.remedy!r}",
    )
