"""Why builds do not fit, and what is near where none does: an empty answer has reasons, too."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compat.judge import judge
from pipeline.compat.stacks import is_of_kind, stacks
from pipeline.model import Cell, Level

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.compat.explain.question import Question
    from pipeline.compat.facts import Facts
    from pipeline.compat.stacks import Asked
    from pipeline.model import Finding, Verdict


@dataclass(frozen=True)
class Refusal:
    """A rule that speaks against builds, against how many; what it says of them, and the remedy.

    Where it says the same of each, ``is_of_all``; else the text is that of the newest.
    """

    rule: str
    builds: int
    text: str
    hint: str = ""
    is_of_all: bool = False


def refusals(against: Iterable[Sequence[Finding]]) -> tuple[Refusal, ...]:
    """Of what is against builds, newest first, a line for each rule, the busiest first."""
    rows = list(against)
    counts = Counter(rule for findings in rows for rule in {finding.rule for finding in findings})
    return tuple(_refusal(rule, count, rows) for rule, count in counts.most_common())


def _refusal(rule: str, count: int, rows: Sequence[Sequence[Finding]]) -> Refusal:
    """What the rule says of all of them, where it says the same of each; else what it says of the newest."""
    of_rule = [finding for findings in rows for finding in findings if finding.rule == rule]
    said = Counter(text for findings in rows for text in {one.text for one in findings if one.rule == rule})
    of_all = next((finding for finding in of_rule if said[finding.text] == count), None)
    finding = of_all or of_rule[0]
    return Refusal(rule, count, finding.text, finding.hint, is_of_all=of_all is not None)


def of_no_candidate(question: Question, facts: Facts) -> tuple[Verdict, ...]:
    """The verdicts on what is asked for, where no build has all that is named.

    The builds that have the most of it are judged as if they had all, so that each says what is against that.
    """
    by_build: dict[tuple[str, str, str | None], Verdict] = {}
    for cell in _having_most(question, facts):
        wish = _with(cell, question.asked)
        verdict = judge(wish, question.conditions, facts)
        build = wish.torch, wish.cuda, wish.vllm
        if build not in by_build or verdict.level.rank < by_build[build].level.rank:
            by_build[build] = verdict
    return tuple(by_build.values())


def _having_most(question: Question, facts: Facts) -> list[Cell]:
    """The cells that have the vLLM that is named; of these those that have the PyTorch, and so on.

    Of a release that there is no cell of, one cell tells as much as all.
    """
    asked = question.asked
    cells = [cell for cell in stacks(facts, question.platform) if is_of_kind(cell, asked)]
    for axis in (axis for axis in ("vllm", "torch", "cuda", "python") if axis in asked):
        having = [cell for cell in cells if getattr(cell, axis) == asked[axis]]
        if having:
            cells = having
        elif axis in {"vllm", "torch"}:
            cells = cells[:1]
    return cells


def _with(cell: Cell, asked: Asked) -> Cell:
    """The cell with what is asked for in the place of its own."""
    return Cell(
        asked.get("torch") or cell.torch,
        asked.get("cuda") or cell.cuda,
        asked.get("python") or cell.python,
        asked.get("vllm", cell.vllm),
        cell.platform,
    )


def level_of(verdicts: Iterable[Verdict]) -> Level:
    """Impossible where each of them is; where one is not, it is not known."""
    return (
        Level.IMPOSSIBLE if all(verdict.level is Level.IMPOSSIBLE for verdict in verdicts) else Level.UNKNOWN
    )
