"""Explaining: a question in; the verdict, how to install, what fits and what is near out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.compat.drivers import judged, numbers, windows
from pipeline.compat.facts import version
from pipeline.compat.judge import judge
from pipeline.compat.question import NONE, Question
from pipeline.compat.rules import devices
from pipeline.compat.rules.other_builds import other_vllm
from pipeline.compat.rules.releases import distribution, pinned_by, torch_of, vllm_of
from pipeline.compat.stacks import AXES, changed, nearest, stacks
from pipeline.formats.gpu_arch import Coverage, coverage
from pipeline.model import VARIANT_INDEX, Cell, Finding, Level, Verdict, index_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.compat.facts import Facts
    from pipeline.model import Conditions

POSSIBLE = (Level.OK, Level.WARN)


@dataclass(frozen=True)
class Option:
    """One build and what belongs to it.

    ``cell`` has the newest Python and vLLM that fit; ``rules`` are those that found its level, where
    that is not ok. ``driver`` is the oldest for machine code on all GPUs that are asked for,
    ``last_driver`` the last branch that knows them all, empty while there is none such;
    ``ptx_driver`` is what PTX needs; all empty for a CPU. ``reach`` says, for each kind of
    coverage, which GPUs of which architecture it reaches.
    """

    cell: Cell
    level: Level
    rules: tuple[str, ...]
    pythons: tuple[str, ...]
    install: str
    driver: str = ""
    last_driver: str = ""
    ptx_driver: str = ""
    reach: tuple[tuple[Coverage, tuple[tuple[str, tuple[str, ...]], ...]], ...] = ()

    @property
    def drivers(self) -> str:
        """The drivers that run it, in words."""
        return f"{self.driver} or newer" + (f", up to branch R{self.last_driver}" if self.last_driver else "")


@dataclass(frozen=True)
class Nearest:
    """A possible cell beside one that is not, and the values in which it differs."""

    cell: Cell
    changes: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Refusal:
    """A rule that speaks against builds, against how many, and what it says of the newest of them."""

    rule: str
    builds: int
    text: str


@dataclass(frozen=True)
class Answer:
    """What the facts say to a question.

    Of one build ``verdict`` holds every finding; of several, the findings that all of them share.
    ``options`` are the builds that fit, the newest first; ``refused`` says why others do not.
    """

    summary: str
    level: Level
    verdict: Verdict
    read: str
    options: tuple[Option, ...] = ()
    refused: tuple[Refusal, ...] = ()
    nearest: tuple[Nearest, ...] = ()
    is_of_one_build: bool = False


def explain(question: Question, facts: Facts) -> Answer:
    """Answer a question from the facts."""
    return _of_one(question, facts) if question.is_of_one_build else _of_many(question, facts)


# -- one build --------------------------------------------------------------------------------------


def _of_one(question: Question, facts: Facts) -> Answer:
    cell = _completed(question, facts)
    verdict = judge(cell, question.conditions, facts)
    near: tuple[Nearest, ...] = ()
    options: tuple[Option, ...] = ()
    if verdict.level is Level.IMPOSSIBLE:
        near = tuple(_nearby(cell, candidate) for candidate in nearest(cell, question.conditions, facts))
    else:
        options = (option_of(cell, verdict, question.conditions, facts),)
    summary = f"{words(cell)}: {_SAID[verdict.level]}"
    if question.vllm is None and verdict.level in POSSIBLE:
        summary += f"; {_newest_vllm(question, cell, facts)}"
    return Answer(summary, verdict.level, verdict, facts.read, options, nearest=near, is_of_one_build=True)


_SAID = {
    Level.OK: "possible",
    Level.WARN: "possible, with a warning",
    Level.UNKNOWN: "not known to be possible",
    Level.IMPOSSIBLE: "impossible",
}


def _completed(question: Question, facts: Facts) -> Cell:
    """The cell that is asked about; where no Python is named, on the newest of those that fit best."""
    vllm = None if question.vllm in (None, NONE) else question.vllm
    cell = Cell(question.torch or "", question.cuda or "", question.python or "3", vllm, question.platform)
    if question.python:
        return cell
    cells = [replace(cell, python=python) for python in reversed(_pythons(cell, facts))]
    return min(
        cells or [replace(cell, python=_SOME_PYTHON)],
        key=lambda candidate: _trouble(judge(candidate, question.conditions, facts)),
    )


def _trouble(verdict: Verdict) -> tuple[int, int]:
    """How bad a verdict is: by the worst that was found, then by how much of it is not ok."""
    return verdict.level.rank, sum(finding.level is not Level.OK for finding in verdict.findings)


_SOME_PYTHON = "3.12"
"""Stands in where no part of a cell was read, so no Python can be chosen."""


def _pythons(cell: Cell, facts: Facts) -> tuple[str, ...]:
    """The Pythons that every part has wheels for and is built for, oldest first."""
    parts = [part for part in (torch_of(cell, facts), vllm_of(cell, facts)) if part]
    if not parts:
        return ()
    allowed = [set(part.pythons) & set(part.pythons_built or part.pythons) for part in parts]
    return tuple(sorted(set.intersection(*allowed), key=version))


def _newest_vllm(question: Question, cell: Cell, facts: Facts) -> str:
    """The newest vLLM that can be added to this build, in words."""
    rows = pinned_by(facts, distribution(cell), cell.machine).get(cell.torch, ())
    for row in reversed(rows):
        for python in [question.python] if question.python else list(reversed(row.pythons)):
            with_it = replace(cell, vllm=row.version, python=python)
            if judge(with_it, question.conditions, facts).level in POSSIBLE:
                return f"the newest vLLM for it is {row.version} ({distribution(cell)})"
    why = f"none of {facts.read} pins torch {cell.torch}" if not rows else "those that pin it do not fit"
    return f"no vLLM for it ({why})"


def words(cell: Cell) -> str:
    """A cell in words."""
    parts = [f"vLLM {cell.vllm}"] if cell.vllm else []
    parts += [f"torch {cell.torch}", cell.cuda, f"Python {cell.python}"]
    return ", ".join([*parts, *([cell.platform] if cell.machine != "x86_64" else [])])


def _nearby(wish: Cell, other: Cell) -> Nearest:
    differing = changed(wish, other)
    return Nearest(
        other, tuple((axis, str(getattr(other, axis) or NONE)) for axis in AXES if axis in differing)
    )


# -- many builds ------------------------------------------------------------------------------------


def _of_many(question: Question, facts: Facts) -> Answer:
    best: dict[tuple[str, str], tuple[Cell, Verdict]] = {}
    reasons: dict[tuple[str, str], Sequence[Finding]] = {}
    for cell in stacks(facts, question.platform):
        build = cell.torch, cell.cuda
        if not question.admits(cell):
            continue
        verdict = judge(cell, question.conditions, facts)
        if verdict.level is Level.IMPOSSIBLE:
            reasons.setdefault(build, verdict.at(Level.IMPOSSIBLE))
        elif build not in best or _is_better((cell, verdict), best[build]):
            best[build] = (cell, verdict)
    ranked = sorted(best.values(), key=lambda option: _rank(option[0], option[1], facts), reverse=True)
    options = tuple(option_of(cell, verdict, question.conditions, facts) for cell, verdict in ranked)
    refused = _refusals([findings for build, findings in reasons.items() if build not in best])
    shared = _shared([verdict for _, verdict in ranked])
    nothing = Level.IMPOSSIBLE if refused else Level.UNKNOWN
    level = min((option.level for option in options), key=lambda option: option.rank, default=nothing)
    summary = _on_driver(question, shared, refused, facts) + _summary(question, options, facts)
    return Answer(summary, level, shared, facts.read, options, refused)


def _refusals(against: Sequence[Sequence[Finding]]) -> tuple[Refusal, ...]:
    """Of what is against builds, newest first, a line for each rule, the busiest first."""
    counts = Counter(rule for findings in against for rule in {finding.rule for finding in findings})
    texts: dict[str, str] = {}
    for finding in (finding for findings in against for finding in findings):
        texts.setdefault(finding.rule, finding.text)
    return tuple(Refusal(rule, count, texts[rule]) for rule, count in counts.most_common())


def _on_driver(question: Question, shared: Verdict, refused: Sequence[Refusal], facts: Facts) -> str:
    """Yes or no, where it is asked whether a driver knows a GPU, and runs a CUDA."""
    here = question.conditions.driver
    if here is None:
        return ""
    on_gpus = (judged(here, window) for window in windows(question.conditions, facts))
    if unknown := next((finding.text for finding in on_gpus if finding.level is Level.IMPOSSIBLE), None):
        return f"no: {unknown}; "
    if question.cuda is None:
        return ""
    fits = next((finding.text for finding in shared.findings if finding.rule == "driver"), None)
    against = next((finding.text for finding in refused if finding.rule == "driver"), None)
    return f"yes: {fits}; " if fits else f"no: {against}; " if against else ""


def _is_better(one: tuple[Cell, Verdict], other: tuple[Cell, Verdict]) -> bool:
    """Of two cells of one build: the one with vLLM, then the newer vLLM, then the better verdict."""
    ours, theirs = ((bool(cell.vllm), version(cell.vllm or "0")) for cell, _ in (one, other))
    return ours > theirs or (ours == theirs and _trouble(one[1]) < _trouble(other[1]))


def _rank(cell: Cell, verdict: Verdict, facts: Facts) -> tuple[bool, bool, object, object, bool]:
    """What stands first: known to be possible, with vLLM, the newest, on the default index's CUDA."""
    torch = torch_of(cell, facts)
    is_default = torch is not None and torch.variant == cell.cuda
    is_possible = verdict.level in POSSIBLE
    return is_possible, bool(cell.vllm), version(cell.vllm or "0"), version(cell.torch), is_default


def _shared(verdicts: Sequence[Verdict]) -> Verdict:
    """What was found of every one of them."""
    if not verdicts:
        return Verdict(())
    return Verdict(
        tuple(
            finding
            for finding in verdicts[0].findings
            if all(finding in other.findings for other in verdicts)
        )
    )


def _summary(question: Question, options: Sequence[Option], facts: Facts) -> str:
    requested = question.torch and f"torch {question.torch}"
    if not options and question.torch and not facts.knows("torch", question.torch):
        return f"{requested} is not among the artefacts that were read on {facts.read}: unknown"
    if not options:
        return "nothing that was read fits"
    first = options[0]
    if first.level not in POSSIBLE:
        return f"nothing is known to fit; not confirmed is {words(first.cell)}"
    if first.cell.vllm:
        return f"the newest that fits: {words(first.cell)}" + (
            f", driver {first.drivers}" if first.driver else ""
        )
    if question.vllm == NONE:
        return f"the newest that fits: {words(first.cell)}"
    newest = next((one for one in stacks(facts, question.platform) if one.vllm), None)
    newest_pair = f"; the newest pair is {words(newest)}" if newest and requested else ""
    return f"no vLLM for {requested or 'it'}, PyTorch alone: {words(first.cell)}{newest_pair}"


# -- what belongs to a build ------------------------------------------------------------------------


def option_of(cell: Cell, verdict: Verdict, conditions: Conditions, facts: Facts) -> Option:
    """What belongs to this cell: Pythons, how to install it, drivers, and the GPUs that it reaches."""
    pythons, level = _pythons(cell, facts), verdict.level
    rules = () if level is Level.OK else tuple(dict.fromkeys(finding.rule for finding in verdict.at(level)))
    command = " ".join([install(cell, facts), *(f"{name}=={version}" for name, version in conditions.pins)])
    if cell.cuda_version is None:
        return Option(cell, level, rules, pythons, command)
    toolkit = facts.toolkit(cell.cuda_version)
    oldest, last = _drivers(cell.cuda_version, conditions, facts)
    return Option(
        cell,
        level,
        rules,
        pythons,
        command,
        driver=oldest,
        last_driver=last,
        ptx_driver=toolkit.driver if toolkit else "",
        reach=_reach(cell, facts),
    )


def _drivers(cuda: str, conditions: Conditions, facts: Facts) -> tuple[str, str]:
    """The oldest driver that runs this CUDA on all GPUs that are asked for, and the last branch, if any."""
    floor, windows_of_gpus = facts.floor(cuda), windows(conditions, facts)
    firsts = [*([floor.driver] if floor else []), *(window.first for window in windows_of_gpus)]
    lasts = [window.last for window in windows_of_gpus if window.last]
    return max(firsts, key=numbers, default=""), min(lasts, key=numbers, default="")


def install(cell: Cell, facts: Facts) -> str:
    """The pip command for this cell, with the index that has its build.

    A local version such as ``+cu126`` is on PyTorch's own index only; a plain version is on the default
    one, which serves one build for each release and machine.
    """
    torch = torch_of(cell, facts)
    is_default = torch is not None and torch.variant == cell.cuda
    index = f"{VARIANT_INDEX}/{cell.cuda}"
    if not cell.vllm:
        packages = " ".join([f"torch=={cell.torch}", *_companions(cell, facts)])
        return f"pip install {packages}" + ("" if is_default else f" --index-url {index}")
    other = other_vllm(cell, facts)
    packages = f"vllm=={other.version}" if other else f"{distribution(cell)}=={cell.vllm}"
    indexes = f" --extra-index-url {index_of('vllm', other.version)}" if other else ""
    if is_default:
        return f"pip install {packages}{indexes}"
    local = "" if cell.cuda == "cpu" else f" torch=={cell.torch}+{cell.cuda}"
    return f"pip install {packages}{local}{indexes} --extra-index-url {index}"


def _companions(cell: Cell, facts: Facts) -> Iterable[str]:
    row = next((row for row in facts.pairs if row.torch == cell.torch), None)
    return (f"torchvision=={row.torchvision}", f"torchaudio=={row.torchaudio}") if row else ()


def _reach(cell: Cell, facts: Facts) -> tuple[tuple[Coverage, tuple[tuple[str, tuple[str, ...]], ...]], ...]:
    """For each kind of coverage the architectures with their GPUs; nothing where a part's are not known."""
    built = [archs for _, _, archs, _ in devices.parts(cell, facts)]
    if not built or any(archs is None for archs in built):
        return ()
    kinds: dict[Coverage, dict[str, list[str]]] = {kind: {} for kind in Coverage}
    for gpu in facts.gpus:
        worst = max((coverage(archs or (), gpu.sm) for archs in built), key=list(Coverage).index)
        kinds[worst].setdefault(gpu.sm, []).append(gpu.name)
    return tuple(
        (kind, tuple((sm, tuple(names)) for sm, names in by_arch.items()))
        for kind, by_arch in kinds.items()
        if by_arch
    )
