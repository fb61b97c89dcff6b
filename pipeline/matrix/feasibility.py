"""Which of the requested cells can exist. Others are left out; one under ``include`` is an error."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.matrix.cells import first_axis
from pipeline.matrix.schema import AUTO
from pipeline.matrix.tree import Problem
from pipeline.model import Conditions, Finding, Level, Pruned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.compat.facts import Facts
    from pipeline.matrix.cells import RequestedCell
    from pipeline.matrix.schema import File
    from pipeline.matrix.tree import Loc, Tree
    from pipeline.model import Cell, Spec

_AXIS_OF = {
    "released": "platform",
    "variant": "cuda",
    "python": "python",
    "pin": "vllm",
    "auto": "vllm",
    "cuda-major": "cuda",
}
"""The axis at which a rule's finding is reported; those of other rules concern the whole cell."""

_MAX_SEARCHES = 10
"""For how many impossible cells the nearest possible ones are searched: each search takes about 20 ms."""


@dataclass(frozen=True)
class Judged:
    """The cells that can exist, with their settings; those left out; and those refused."""

    specs: tuple[Spec, ...]
    pruned: tuple[Pruned, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class Refused:
    """An impossible cell under ``include``: the conditions that it was judged under, and the findings."""

    request: RequestedCell
    conditions: Conditions
    findings: tuple[Finding, ...]


def judge(
    requests: Sequence[RequestedCell], specs: Mapping[str, tuple[Spec, Conditions]], facts: Facts
) -> Judged:
    """Judge every requested cell that is not excluded, under the conditions that the file sets."""
    kept: list[Spec] = []
    pruned: list[Pruned] = []
    refused: list[Refused] = []
    for request in requests:
        if request.excluded:
            pruned.append(Pruned(request.cell, excluded=request.excluded))
            continue
        spec, conditions = specs.get(request.cell.id, (None, Conditions()))
        findings = _impossible(request.cell, conditions, facts)
        if spec and not findings:
            kept.append(spec)
        elif request.is_explicit:
            refused.append(Refused(request, conditions, findings))
        else:
            pruned.append(Pruned(request.cell, findings))
    return Judged(tuple(kept), tuple(pruned), tuple(refused))


def _impossible(cell: Cell, conditions: Conditions, facts: Facts) -> tuple[Finding, ...]:
    """Every finding that makes a cell impossible."""
    if cell.vllm != AUTO:
        return compat.judge(cell, conditions, facts).at(Level.IMPOSSIBLE)
    text = f"no known vLLM pins torch {cell.torch} and runs with {cell.cuda} on Python {cell.python}"
    source = (f"the index, read {facts.read}",)
    hint = "take another PyTorch or CUDA, or vllm: none for an image without vLLM"
    nothing = Finding("auto", Level.IMPOSSIBLE, text, source, hint)
    return (nothing, *_impossible(replace(cell, vllm=None), conditions, facts))


# -- problems ------------------------------------------------------------------------


def impossible(refused: Sequence[Refused], tree: Tree, facts: Facts) -> list[Problem]:
    """Each impossible cell under ``include``, with all reasons and the nearest possible cells."""
    problems = []
    for number, refusal in enumerate(refused):
        what = f"the cell {refusal.request.cell.id} is impossible: {_sentences(refusal.findings)}"
        near = _nearest(refusal.request.cell, refusal.conditions, facts) if number < _MAX_SEARCHES else ""
        problems.append(Problem(tree.place(_at_fault(refusal)), what, near or _remedies(refusal.findings)))
    return problems


def nothing_left(file: File, judged: Judged, tree: Tree) -> Problem:
    """Why no cell is left: the most frequent reason."""
    pruned = judged.pruned
    if not pruned:
        return Problem(
            first_axis(file, tree), "no cell is left", "give each axis a version, or include a cell"
        )
    rule, count = Counter(rule for combination in pruned for rule in _rules(combination)).most_common(1)[0]
    first = next(combination for combination in pruned if rule in _rules(combination))
    findings = tuple(finding for finding in first.findings if finding.rule == rule)
    why = f"excluded: {first.excluded}" if first.excluded else f"impossible: {_sentences(findings)}"
    what = (
        f"no cell is left of the {len(pruned)} that the axes make; {count}, like {first.cell.id}, are {why}"
    )
    hint = _remedies(findings) or "exclude less, correct the axes, or include a cell"
    return Problem(first_axis(file, tree), what, hint)


def _rules(pruned: Pruned) -> frozenset[str]:
    return frozenset({"exclude"} if pruned.excluded else {finding.rule for finding in pruned.findings})


def _sentences(findings: Sequence[Finding]) -> str:
    return "; ".join(f"{finding.rule}: {finding.text}" for finding in findings)


def _remedies(findings: Sequence[Finding]) -> str:
    return "; ".join(dict.fromkeys(finding.hint for finding in findings if finding.hint))


def _nearest(cell: Cell, conditions: Conditions, facts: Facts) -> str:
    """The possible cells nearest to this one, as text; empty if there is none."""
    wish = replace(cell, vllm="0") if cell.vllm == AUTO else cell  # any release will do
    near = [possible.id for possible in compat.nearest(wish, conditions, facts)]
    return f"the nearest possible: {', or '.join(near)}" if near else ""


def _at_fault(refusal: Refused) -> Loc:
    """The location of the axis at fault; of the whole entry if it is not one axis alone."""
    axes = {_AXIS_OF.get(finding.rule) for finding in refusal.findings}
    axis = axes.pop() if len(axes) == 1 else None
    return refusal.request.at(axis) if axis else refusal.request.loc
