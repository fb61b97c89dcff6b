"""An answer of ``explain`` for people: the verdict, then what to do, then every rule and its source."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from pipeline.compat.rules.releases import span
from pipeline.model import Level
from pipeline.report.columns import columns
from pipeline.report.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.compat.explain.answers import Answer
    from pipeline.compat.explain.options import Option
    from pipeline.compat.explain.refusals import Refusal
    from pipeline.model import Cell, Finding, Verdict

MAX_OPTIONS = 8
_MAX_NAMES = 3
_COLUMNS = ("vLLM", "torch", "CUDA", "Python", "driver", "verdict")


def text_of(answer: Answer, cells: Sequence[tuple[Cell, Verdict]] = ()) -> str:
    """The answer as lines of text; ``cells`` are those of the matrix that it is about, and their verdicts."""
    parts = [[answer.summary, *(f"note: {note}" for note in answer.notes)]]
    if answer.options:
        parts.append(list(_option(answer.options[0]) if answer.is_of_one_build else _table(answer.options)))
    if cells:
        parts.append(["the cells of this matrix:", *(_cell(*row) for row in cells)])
    if answer.nearest:
        parts.append(["the nearest that are possible:", *_nearest(answer)])
    if answer.refused:
        title = "why others do not fit:" if answer.options else "why nothing fits:"
        parts.append([title, *chain.from_iterable(map(_refusal, answer.refused))])
    if answer.verdict.findings:
        title = "why:" if answer.is_of_one_build else "true of all of them:"
        parts.append([title, *reasons(answer.verdict.findings)])
    parts.append([f"from artefacts read on {answer.read}"])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _option(option: Option) -> Iterator[str]:
    """What belongs to one build, a line for each thing."""
    yield f"install  {option.install}"
    yield f"python   {span(option.pythons)}"
    if option.driver:
        ptx = f"; where code is PTX: {option.ptx_driver}" if option.ptx_driver else ""
        yield f"driver   {option.drivers}{ptx}"
        if not option.reach:
            yield "GPUs     not known: nobody has read for which architectures this build is"
    for kind, architectures in option.reach:
        label = {"none": "not on"}.get(kind.value, kind.value)
        yield f"{label:8} " + ", ".join(f"{sm} ({_names(names)})" for sm, names in architectures)


def _names(names: Sequence[str]) -> str:
    shown = " ".join(name.removeprefix("GeForce ") for name in names[:_MAX_NAMES])
    return shown if len(names) <= _MAX_NAMES else f"{shown} …"


def _table(options: Sequence[Option]) -> Iterator[str]:
    """The newest options, in columns."""
    yield from columns([_COLUMNS, *map(_row, options[:MAX_OPTIONS])])
    if len(options) > MAX_OPTIONS:
        yield f"and {len(options) - MAX_OPTIONS} more: --json has them all"


def _row(option: Option) -> tuple[str, ...]:
    cell = option.cell
    last = f", ≤ R{option.last_driver}" if option.last_driver else ""
    driver = f"≥ {option.driver}{last}" if option.driver else "-"
    verdict = f"{option.level}: {', '.join(option.rules)}" if option.rules else str(option.level)
    return (
        option.vllm.removeprefix("vllm ") or "-",
        cell.torch,
        cell.cuda,
        span(option.pythons),
        driver,
        verdict,
    )


def _cell(cell: Cell, verdict: Verdict) -> str:
    worst = [finding for finding in verdict.findings if finding.level is verdict.level]
    why = "" if verdict.level is Level.OK else f": {worst[0].text}"
    return f"  {verdict.level:10} {cell.id}{why}"


def _nearest(answer: Answer) -> Iterator[str]:
    for near in answer.nearest:
        yield f"  {near.cell.id}  with {', '.join(f'{axis} {value}' for axis, value in near.changes)}"
        yield f"      {near.install}"


def _refusal(refusal: Refusal) -> Iterator[str]:
    which = "" if refusal.is_of_all else ", the newest"
    yield f"  {refusal.rule}: {counted(refusal.builds, 'build')}{which}: {refusal.text}"
    if refusal.hint:
        yield f"      hint: {refusal.hint}"


def reasons(findings: Sequence[Finding]) -> Iterator[str]:
    """The worst first, each with the numbers of its sources, which follow."""
    distinct = dict.fromkeys(source for finding in findings for source in finding.source)
    sources = {source: number for number, source in enumerate(distinct, start=1)}
    for finding in sorted(findings, key=lambda finding: -finding.level.rank):
        numbers = "".join(f" [{sources[source]}]" for source in finding.source)
        yield f"  {finding.level:10} {finding.rule}: {finding.text}{numbers}"
        if finding.hint:
            yield f"             hint: {finding.hint}"
    yield from (f"  [{number}] {source}" for source, number in sources.items())
