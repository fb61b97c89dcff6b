"""Explaining: a question in; the verdict, how to install, what fits and what is near out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.compat.drivers import judged, windows
from pipeline.compat.explain.answers import POSSIBLE, SAID, Answer, Nearest, nearby
from pipeline.compat.explain.cpu_builds import notes_on_distributions, of_own_build
from pipeline.compat.explain.options import Option, install, option_of, pythons_of
from pipeline.compat.explain.question import NONE
from pipeline.compat.explain.refusals import Refusal, level_of, of_no_candidate, refusals
from pipeline.compat.facts import version
from pipeline.compat.judge import judge
from pipeline.compat.rules.other_builds import other_vllm
from pipeline.compat.rules.releases import distribution, pinned_by, torch_of
from pipeline.compat.stacks import nearest, nearest_to, stacks
from pipeline.model import VARIANT_INDEX, Cell, Conditions, Finding, Level, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pipeline.compat.explain.question import Question
    from pipeline.compat.facts import Facts


def explain(question: Question, facts: Facts) -> Answer:
    """Answer a question from the facts."""
    if question.of_own_cpu_build:
        answer = of_own_build(question, facts)
    else:
        answer = _of_one(question, facts) if question.is_of_one_build else _of_many(question, facts)
    return replace(answer, notes=tuple(dict.fromkeys((*question.notes, *_notes(question, answer, facts)))))


# -- one build --------------------------------------------------------------------------------------


def _of_one(question: Question, facts: Facts) -> Answer:
    cell = _completed(question, facts)
    verdict = judge(cell, question.conditions, facts)
    near: tuple[Nearest, ...] = ()
    options: tuple[Option, ...] = ()
    if verdict.level not in POSSIBLE:
        found = nearest(cell, question.conditions, facts)
        near = tuple(nearby(cell, candidate, facts) for candidate in found)
    if verdict.level is not Level.IMPOSSIBLE:
        options = (option_of(cell, verdict, question.conditions, facts),)
    summary = f"{words(cell)}: {SAID[verdict.level]}"
    if question.vllm is None and verdict.level is not Level.IMPOSSIBLE:
        summary += f"; {_newest_vllm(question, cell, facts)}"
    return Answer(summary, verdict.level, verdict, facts.read, options, nearest=near, is_of_one_build=True)


def _completed(question: Question, facts: Facts) -> Cell:
    """The cell that is asked about; where no Python is named, on the newest of those that fit best."""
    vllm = None if question.vllm in (None, NONE) else question.vllm
    cell = Cell(question.torch or "", question.cuda or "", question.python or "3", vllm, question.platform)
    if question.python:
        return cell
    cells = [replace(cell, python=python) for python in reversed(pythons_of(cell, facts))]
    return min(
        cells or [replace(cell, python=_SOME_PYTHON)],
        key=lambda candidate: _trouble(judge(candidate, question.conditions, facts)),
    )


def _trouble(verdict: Verdict) -> tuple[int, int]:
    """How bad a verdict is: by the worst that was found, then by how much of it is not ok."""
    return verdict.level.rank, sum(finding.level is not Level.OK for finding in verdict.findings)


_SOME_PYTHON = "3.12"
"""Stands in where no part of a cell was read, so no Python can be chosen."""


def _newest_vllm(question: Question, cell: Cell, facts: Facts) -> str:
    """The newest vLLM that can be added to this build, in words."""
    rows = pinned_by(facts, distribution(cell), cell.machine).get(cell.torch, ())
    for row in reversed(rows):
        for python in [question.python] if question.python else list(reversed(row.pythons)):
            with_it = replace(cell, vllm=row.version, python=python)
            if judge(with_it, question.conditions, facts).level in POSSIBLE:
                return f"the newest vLLM for it is {row.version} ({distribution(cell)})"
    why = "those that pin it do not fit" if rows else f"none of {facts.read} pins torch {cell.torch}"
    return f"no vLLM for it ({why}{_first_on_machine(cell, facts)})"


def _first_on_machine(cell: Cell, facts: Facts) -> str:
    """The first vLLM for this machine with the PyTorch that it pins, where that is newer than this one."""
    by_torch = pinned_by(facts, distribution(cell), cell.machine)
    oldest = min(by_torch, key=version, default=None)
    if oldest is None or version(oldest) <= version(cell.torch):
        return ""
    return f"; for {cell.machine} the first is {by_torch[oldest][0].version}, with torch {oldest}"


def words(cell: Cell, vllm: str = "") -> str:
    """A cell in words; ``vllm`` is distribution and version of the vLLM that it has, where that is told."""
    named = vllm.replace("vllm ", "vLLM ") or f"vLLM {cell.vllm}"
    parts = [named] if cell.vllm else []
    parts += [f"torch {cell.torch}", cell.cuda, f"Python {cell.python}"]
    return ", ".join([*parts, *([cell.platform] if cell.machine != "x86_64" else [])])


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
    against = {build: findings for build, findings in reasons.items() if build not in best}
    if not (best or against):
        return _of_none(question, facts)
    refused = refusals(against.values())
    decisive = _decisive(options, against)
    answering = {option.cell for option in decisive}
    shared = _shared([verdict for cell, verdict in ranked if cell in answering])
    level = min((option.level for option in decisive), key=lambda level: level.rank, default=Level.IMPOSSIBLE)
    on_driver = _on_driver(question, shared, refused, facts)
    recommended = "" if on_driver and not decisive else _summary(question, decisive, refused, facts)
    summary = "; ".join(filter(None, (on_driver, recommended)))
    near: tuple[Nearest, ...] = ()
    if (question.cuda is None and not _is_served(decisive, facts)) or level not in POSSIBLE:
        near = _near(question, facts, on_default_index=level in POSSIBLE)
    return Answer(summary, level, shared, facts.read, options, refused, near)


def _decisive(options: Sequence[Option], against: Iterable[tuple[str, str]]) -> tuple[Option, ...]:
    """The options that answer: those for GPUs, unless nothing that was looked at is for one."""
    of_gpus = tuple(option for option in options if option.cell.needs_gpu)
    is_of_gpus = bool(of_gpus) or any(cuda != "cpu" for _, cuda in against)
    return of_gpus if is_of_gpus else tuple(options)


def _is_served(options: Sequence[Option], facts: Facts) -> bool:
    """Whether something is known to fit, and is on the default index."""
    return any(option.level in POSSIBLE and other_vllm(option.cell, facts) is None for option in options)


def _of_none(question: Question, facts: Facts) -> Answer:
    """No build has all that is named: what each of the nearest lacks, and what fits instead."""
    verdicts = of_no_candidate(question, facts)
    refused = refusals([verdict.at(verdict.level) for verdict in verdicts])
    summary = f"nothing fits: {refused[0].text}" if refused else "nothing that was read fits"
    near = _near(question, facts)
    return Answer(summary, level_of(verdicts), Verdict(()), facts.read, refused=refused, nearest=near)


def _near(question: Question, facts: Facts, *, on_default_index: bool = False) -> tuple[Nearest, ...]:
    """The nearest that are known to fit, and what in them is another than is asked for."""
    if not (asked := question.asked):
        return ()
    found = nearest_to(
        asked, question.platform, question.conditions, facts, on_default_index=on_default_index
    )
    return tuple(
        Nearest(
            cell,
            tuple((axis, str(getattr(cell, axis) or NONE)) for axis in question.against(cell)),
            install(cell, facts),
        )
        for cell in found
    )


def _on_driver(question: Question, shared: Verdict, refused: Sequence[Refusal], facts: Facts) -> str:
    """No, where it is asked whether a driver knows a GPU, and it does not; or, with what fits, yes."""
    here = question.conditions.driver
    if here is None:
        return ""
    on_gpus = (judged(here, window) for window in windows(question.conditions, facts))
    if unknown := next((finding.text for finding in on_gpus if finding.level is Level.IMPOSSIBLE), None):
        return f"no: {unknown}"
    if question.cuda is None:
        return ""
    fits = next((finding.text for finding in shared.findings if finding.rule == "driver"), None)
    against = next((finding.text for finding in refused if finding.rule == "driver"), None)
    return f"yes: {fits}" if fits else f"no: {against}" if against else ""


def _is_better(one: tuple[Cell, Verdict], other: tuple[Cell, Verdict]) -> bool:
    """Of two cells of one build: the one with vLLM, then the newer vLLM, then the better verdict."""
    ours, theirs = ((bool(cell.vllm), version(cell.vllm or "0")) for cell, _ in (one, other))
    return ours > theirs or (ours == theirs and _trouble(one[1]) < _trouble(other[1]))


def _rank(cell: Cell, verdict: Verdict, facts: Facts) -> tuple[object, ...]:
    """What stands first: for a GPU, known to be possible, with vLLM, the newest, on the default index's CUDA.

    A vLLM from an index of its own comes with the libraries that it was built for, or stands behind.
    """
    torch, other = torch_of(cell, facts), other_vllm(cell, facts)
    is_default = torch is not None and torch.variant == cell.cuda
    is_possible = verdict.level in POSSIBLE
    is_sound = other is None or other.build == cell.cuda
    newest = version(cell.vllm or "0"), version(cell.torch)
    return cell.needs_gpu, is_possible, is_sound, bool(cell.vllm), *newest, other is None, is_default


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


def _summary(question: Question, options: Sequence[Option], refused: Sequence[Refusal], facts: Facts) -> str:
    """What is recommended, or that there is nothing, and why."""
    requested = question.torch and f"torch {question.torch}"
    if not options:
        return f"nothing fits: {refused[0].text}"
    first = options[0]
    if first.level not in POSSIBLE:
        return f"nothing is known to fit; not confirmed is {words(first.cell, first.vllm)}"
    if first.cell.vllm:
        driver = f", driver {first.drivers}" if first.driver else ""
        return f"the newest that fits: {words(first.cell, first.vllm)}{driver}"
    if question.vllm == NONE:
        return f"the newest that fits: {words(first.cell)}"
    newest = next((one for one in stacks(facts, question.platform) if one.vllm), None)
    newest_pair = f"; the newest pair is {words(newest)}" if newest and requested else ""
    because = _why_no_vllm(question, options, facts)
    return f"no vLLM for {requested or 'it'}{because}, PyTorch alone: {words(first.cell)}{newest_pair}"


def _why_no_vllm(question: Question, options: Sequence[Option], facts: Facts) -> str:
    """What is against the newest vLLM for one of these builds, or which was the first for this machine."""
    for option in options:
        rows = pinned_by(facts, distribution(option.cell), option.cell.machine).get(option.cell.torch, ())
        for row in reversed(rows):
            cell = replace(option.cell, vllm=row.version, python=row.pythons[-1])
            if judge(cell, Conditions(), facts).level in POSSIBLE:
                against = judge(cell, question.conditions, facts).at(Level.IMPOSSIBLE)
                return f" ({against[0].text})" if against else ""
    first = _first_on_machine(options[0].cell, facts).removeprefix("; ")
    return f" ({first})" if first else ""


# -- what an answer should not be read without ------------------------------------------------------


def _notes(question: Question, answer: Answer, facts: Facts) -> Iterator[str]:
    yield from _on_indexes(question, answer, facts)
    if question.cuda == "cpu" and question.vllm not in (None, NONE) and not question.of_own_cpu_build:
        yield from notes_on_distributions(question, facts)
    if question.cuda is None and answer.options and not answer.options[-1].cell.needs_gpu:
        cpu = next(option for option in answer.options if not option.cell.needs_gpu)
        yield f"builds for a CPU are others, asked for by cuda=cpu: {cpu.install}"


def _on_indexes(question: Question, answer: Answer, facts: Facts) -> Iterator[str]:
    """Where the first of what fits is not what the default index installs."""
    first = answer.options[0].cell if answer.options else None
    if first is None or not first.needs_gpu:
        return
    torch = torch_of(first, facts)
    if other := other_vllm(first, facts, question.conditions.pins):
        default = replace(first, cuda=torch.variant) if torch else first
        is_named = any(name == "vllm" for name, _ in question.conditions.pins)
        against = () if is_named else judge(default, question.conditions, facts).at(Level.IMPOSSIBLE)
        because = f" ({against[0].text})" if against else ""
        yield f"vllm {other.version} is not the default index's build{because}: it is on {other.place}"
    if torch and not torch.cuda:
        yield (
            f"the default index's torch {first.torch} for {first.machine} is a build for CPUs; "
            f"the one for {first.cuda} is on {VARIANT_INDEX}/{first.cuda}"
        )
