"""What to take in the place of one of two packages that do not go together."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from pipeline.compat import pairs
from pipeline.compat.companions import OF_TORCH, contains
from pipeline.formats.cuda import version_of
from pipeline.model import VARIANT_INDEX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.compat.companions import Relations
    from pipeline.compat.conflicts import Conflict
    from pipeline.model import Finding

_LINKS_NO_CUDA = SpecifierSet(">0.11.0,<0.14")
"""The releases of torchcodec whose build on the default index serves every CUDA, as their libraries say."""


def hinted(conflict: Conflict, packages: Mapping[str, str], relations: Relations) -> Finding:
    """The finding with what to take in the place of each of the two packages, as far as that is known."""
    finding = conflict.finding
    if finding.hint:
        return finding
    if finding.rule == "cuda-build":
        return replace(finding, hint=_other_build(conflict, packages, relations))
    if not conflict.wanted:
        return finding
    if finding.rule == "equal-versions":
        return replace(finding, hint=_equal(conflict, relations))
    requirement = pairs.requirement(conflict.wanted)
    target = canonicalize_name(requirement.name)
    newest = newest_within(requirement.specifier, relations.releases(target))
    hints = [f"take {target} {newest}" if newest else f"take {conflict.wanted}"]
    owner = next((name for name in conflict.between if name != target), None)
    if (
        owner
        and finding.rule == "requirement"
        and (other := relations.admitting(owner, (target, packages[target])))
    ):
        hints.append(f"{owner} {other}, which takes {target} {packages[target]}")
    return replace(finding, hint=", or ".join(hints))


def _equal(conflict: Conflict, relations: Relations) -> str:
    """What is not on the default index can only go."""
    requirement = pairs.requirement(conflict.wanted)
    target = canonicalize_name(requirement.name)
    if newest_within(requirement.specifier, relations.releases(target)):
        return f"take {conflict.wanted}"
    return f"uninstall {target}, or take {conflict.wanted} from its makers: the default index has none"


def _other_build(conflict: Conflict, packages: Mapping[str, str], relations: Relations) -> str:
    torch, other = conflict.between
    ours, _ = relations.build_of((torch, packages[torch]))
    theirs, _ = relations.build_of((other, packages[other]))
    if other == "torchcodec" and ours != "cpu":
        release = newest_within(_LINKS_NO_CUDA, relations.releases(other))
        return f"take torchcodec {release}, which links no CUDA, or PyTorch for {theirs}"
    if other in OF_TORCH:
        release = packages[other].partition("+")[0]
        return f"take {other}=={release}+{ours} from {VARIANT_INDEX}/{ours}"
    if theirs == "cpu" or ours == "cpu":
        release = packages[torch].partition("+")[0]
        return f"take torch=={release}+{theirs} from {VARIANT_INDEX}/{theirs}"
    hint = f"take PyTorch for CUDA {version_of(theirs or 'cu000').partition('.')[0]}"
    builds = relations.builds_of_vllm(packages[other].partition("+")[0])
    return f"{hint}, or vLLM's build for {ours}" if ours in builds else hint


def newest_within(specifier: SpecifierSet, versions: Iterable[str]) -> str | None:
    """The newest of these versions, oldest first, that is within this range."""
    return _newest_within(str(specifier), tuple(versions))


@cache
def _newest_within(text: str, versions: tuple[str, ...]) -> str | None:
    specifier = SpecifierSet(text)
    return next((version for version in reversed(versions) if contains(specifier, version)), None)
