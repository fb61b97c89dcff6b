"""Whose the files of packages are, and where two packages claim one file with different contents.

Installers unpack one wheel over the other: the last one wins, or, where they unpack in parallel, a mixture.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from posixpath import basename
from typing import TYPE_CHECKING

from pipeline.stages.audit.python import site_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.adapters.image_files.nodes import Node
    from pipeline.stages.audit.inventory import Claim, Distribution

_CODE = re.compile(r".*\.(?:py|pth|so(?:\.[0-9.]+)?)")
_ASIDE = frozenset({"tests", "test", "docs", "doc", "examples", "example", "benchmarks", "licenses"})
"""Folders whose modules no program imports. Many wheels bring them at the top of site-packages by mistake."""

_OF_A_BUILD = frozenset({"setup.py", "conftest.py", "noxfile.py", "build_backend.py", "tasks.py"})
"""Files of a source tree that wheels bring at the top of site-packages by mistake."""

_NAMESPACE_BYTES = 512
"""A namespace's ``__init__.py`` is smaller: each of its packages brings one, to the same effect:
https://packaging.python.org/en/latest/guides/packaging-namespace-packages/."""

_CUDA = re.compile(r"-cu(?:da)?(1[0-9])[0-9x]?(?:-|$)")


def is_code(path: str) -> bool:
    """Whether a program may load this file of a package: a module, a library, a ``.pth`` file."""
    within = path[len(site_of(path) or "") :].strip("/").split("/")
    is_of_a_build = len(within) == 1 and within[0] in _OF_A_BUILD
    return bool(_CODE.fullmatch(within[-1])) and not (_ASIDE & set(within)) and not is_of_a_build


def cuda_of(name: str) -> str:
    """The CUDA major in a package's name ("13" of ``nvidia-nccl-cu13``); empty where there is none."""
    match = _CUDA.search(name)
    return match[1] if match else ""


@dataclass(frozen=True)
class Contest:
    """Code that the same packages claim with different contents: each path, with those whose file it is."""

    packages: tuple[Distribution, ...]
    holders: Mapping[str, tuple[Distribution, ...]]

    @property
    def winner(self) -> Distribution | None:
        """The package whose files all of these are; None for a mixture."""
        for package in self.packages:
            if all(package in holders for holders in self.holders.values()):
                return package
        return None

    def count(self, package: Distribution) -> int:
        """How many of the files are of this package."""
        return sum(package in holders for holders in self.holders.values())


@dataclass(frozen=True, eq=False)
class Owners:
    """Whose each of these nodes is, among these distributions."""

    distributions: Sequence[Distribution]
    claims: Mapping[str, tuple[Claim, ...]]
    nodes: Mapping[str, Node]

    @cached_property
    def _by_info(self) -> Mapping[str, Distribution]:
        return {distribution.path: distribution for distribution in self.distributions}

    def claimants(self, path: str) -> tuple[Distribution, ...]:
        """The distributions that list this file."""
        return self._of(self.claims.get(path, ()))

    def holders(self, path: str) -> tuple[Distribution, ...]:
        """Those of them whose file it is."""
        return self._of(claim for claim in self.claims.get(path, ()) if claim.holds)

    def _of(self, claims: Iterable[Claim]) -> tuple[Distribution, ...]:
        return tuple(self._by_info[claim.owner] for claim in claims if claim.owner in self._by_info)

    def is_anothers(self, path: str) -> bool:
        """Whether it is not as one package's RECORD says because it is another's file."""
        return len(self.claimants(path)) > 1 and bool(self.holders(path))

    @cached_property
    def with_code(self) -> frozenset[str]:
        """The ``.dist-info`` of each distribution that has code there."""
        return frozenset(
            claim.owner for path, claims in self.claims.items() if is_code(path) for claim in claims
        )

    @cached_property
    def contests(self) -> tuple[Contest, ...]:
        """The code that packages of different names claim with different contents, where it is one's."""
        contested: dict[tuple[str, ...], dict[str, tuple[Distribution, ...]]] = {}
        for path, claims in sorted(self.claims.items()):
            if len(claims) == 1 or all(claim.holds for claim in claims) or self._is_harmless(path):
                continue
            packages = self.claimants(path)
            if len({package.name for package in packages}) > 1 and (holders := self.holders(path)):
                contested.setdefault(tuple(package.path for package in packages), {})[path] = holders
        return tuple(
            Contest(tuple(self._by_info[info] for info in infos), holders)
            for infos, holders in contested.items()
        )

    def _is_harmless(self, path: str) -> bool:
        is_namespace = basename(path) == "__init__.py" and self.nodes[path].size < _NAMESPACE_BYTES
        return is_namespace or not is_code(path)
