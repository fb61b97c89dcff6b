"""The packages that one Python of an image has installed, in the folders that it imports from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from pipeline.formats import markers
from pipeline.formats.requirements import Fault, Packages, TooManyError, broken
from pipeline.formats.requirements import askers as asking
from pipeline.stages.audit.python import site_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.inventory import Distribution
    from pipeline.stages.audit.python import Environment

_EGG = re.compile(r"(?P<name>[^-]+)(?:-(?P<version>[^-]+)(?:-py[0-9.]+)?)?\.egg-(?:info|link)")
_SYSTEM = re.compile(r"^include-system-site-packages\s*=\s*true\s*$", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True)
class Installed:
    """The distributions of one environment by name, and the versions of its ``eggs`` by name.

    ``doubtful`` has the other copy of each package that is installed twice in one folder: which of the two a
    program imports cannot be known.
    """

    environment: Environment
    distributions: Mapping[str, Distribution]
    eggs: Mapping[str, str]
    doubtful: Mapping[str, Distribution]

    def packages(self, patch: str, machine: str) -> tuple[Packages, ...]:
        """What requirements are judged by, for a patch release of this Python ("0"): once for each doubt."""
        ways = (
            (self.distributions, {**self.distributions, **self.doubtful})
            if self.doubtful
            else (self.distributions,)
        )
        here = markers.environment(self.environment.version, machine, patch)
        return tuple(
            Packages(
                {**self.eggs, **{name: distribution.version for name, distribution in way.items()}},
                {name: distribution.requires for name, distribution in way.items()},
                here,
            )
            for way in ways
        )


def installed_per_environment(image: ImageModel) -> tuple[Installed, ...]:
    """The packages of each environment that has any."""
    by_site: dict[str, list[Distribution]] = {}
    for distribution in image.distributions:
        by_site.setdefault(site_of(distribution.path) or "", []).append(distribution)
    return tuple(_of(image.environments[site], by_site, image) for site in sorted(by_site))


def askers(image: ImageModel) -> Mapping[str, tuple[str, ...]]:
    """For each package that another one of its environment requires, the names of those, in order."""
    names: dict[str, set[str]] = {}
    for installed in image.installations:
        for packages in installed.packages("0", image.machine):
            try:
                of_one = asking(packages)
            except TooManyError:  # the rule on requirements reports it
                continue
            for name, owners in of_one.items():
                names.setdefault(name, set()).update(owners)
    return {name: tuple(sorted(owners)) for name, owners in names.items()}


def requirement_on(package: Distribution, asker: Distribution, image: ImageModel) -> str:
    """What one package asks of another whose version does not fit, as it writes it; empty if it fits."""
    for installed in image.installations:
        if installed.distributions.get(asker.name) != asker:
            continue
        packages = installed.packages("0", image.machine)[0]
        alone = Packages(packages.installed, {asker.name: asker.requires}, packages.markers)
        try:
            violations = broken(alone)
        except TooManyError:  # the rule on requirements reports it
            return ""
        for violation in violations:
            if violation.name == package.name and violation.fault is Fault.OTHER_VERSION:
                return violation.requirement.partition(";")[0].strip()
    return ""


def _of(environment: Environment, by_site: Mapping[str, list[Distribution]], image: ImageModel) -> Installed:
    folders = [environment.site, *_other_sites(environment, image)]
    chosen: dict[str, Distribution] = {}
    doubtful: dict[str, Distribution] = {}
    for folder in folders:
        for name, several in _by_name(by_site.get(folder, ())).items():
            if name not in chosen:
                candidates = most_intact(several)
                chosen[name] = candidates[-1]
                doubtful |= {name: candidates[0]} if len(candidates) > 1 else {}
    return Installed(environment, chosen, dict(_eggs(folders, image)), doubtful)


def most_intact(several: Sequence[Distribution]) -> list[Distribution]:
    """Of several distributions of one name, those with the fewest files that differ from their RECORD."""
    least = min(len(distribution.broken_files) for distribution in several)
    return [distribution for distribution in several if len(distribution.broken_files) == least]


def _by_name(distributions: Iterable[Distribution]) -> dict[str, list[Distribution]]:
    by_name: dict[str, list[Distribution]] = {}
    for distribution in sorted(distributions, key=lambda distribution: distribution.path):
        by_name.setdefault(distribution.name, []).append(distribution)
    return by_name


def _other_sites(environment: Environment, image: ImageModel) -> list[str]:
    """The other folders that this Python imports from: those of its prefix, and the system's if allowed.

    A virtual environment imports the system's packages only if its pyvenv.cfg allows it:
    https://docs.python.org/3/library/site.html.
    """
    config = f"{environment.prefix}/pyvenv.cfg"
    is_closed = config in image.inventory.nodes and not _SYSTEM.search(image.inventory.texts.get(config, ""))
    others = (other for other in image.environments.values() if other.site != environment.site)
    visible = [other for other in others if _is_visible(other, environment, is_closed=is_closed)]
    return [
        other.site for other in sorted(visible, key=lambda other: ("/local/" not in other.site, other.site))
    ]


def _is_visible(other: Environment, environment: Environment, *, is_closed: bool) -> bool:
    if other.prefix == environment.prefix and other.version == environment.version:
        return True
    return not is_closed and bool(environment.python) and other.python == environment.python


def _eggs(folders: Sequence[str], image: ImageModel) -> Iterator[tuple[str, str]]:
    """Packages that are installed as eggs, as Debian does: name and version."""
    for path in image.inventory.nodes:
        folder, _, name = path.rpartition("/")
        if folder in folders and (match := _EGG.fullmatch(name)):
            yield canonicalize_name(match["name"]), match["version"] or ""
