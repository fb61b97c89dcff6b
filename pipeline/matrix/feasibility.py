"""Which of the cells that are asked for can exist: the others are left out, or, written out, refused."""

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
    from pipeline.matrix.cells import Written
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
"""The axis at which a rule's finding is shown; what another rule finds concerns the whole cell."""

_MOST_SEARCHED = 10
"""Impossible cells for which the nearest possible ones are looked up: each takes some 20 ms."""


@dataclass(frozen=True)
class Judged:
    """The cells that can exist, each with what is said of it; those left out; and those refused."""

    specs: tuple[Spec, ...]
    pruned: tuple[Pruned, ...]
    refused: tuple[Refused, ...]


@dataclass(frozen=True)
class Refused:
    """A cell that is written out and impossible, under what it was judged, and what was found."""

    written: Written
    conditions: Conditions
    findings: tuple[Finding, ...]


def judge(asked: Sequence[Written], specs: Mapping[str, tuple[Spec, Conditions]], facts: Facts) -> Judged:
    """Judge every cell that is asked for and not excluded, under the conditions that the file sets."""
    kept: list[Spec] = []
    pruned: list[Pruned] = []
    refused: list[Refused] = []
    for one in asked:
        if one.excluded:
            pruned.append(Pruned(one.cell, excluded=one.excluded))
            continue
        spec, conditions = specs.get(one.cell.id, (None, Conditions()))
        findings = _impossible(one.cell, conditions, facts)
        if spec and not findings:
            kept.append(spec)
        elif one.is_explicit:
            refused.append(Refused(one, conditions, findings))
        else:
            pruned.append(Pruned(one.cell, findings))
    return Judged(tuple(kept), tuple(pruned), tuple(refused))


def _impossible(cell: Cell, conditions: Conditions, facts: Facts) -> tuple[Finding, ...]:
    """All that makes a cell impossible."""
    if cell.vllm != AUTO:
        return compat.judge(cell, conditions, facts).at(Level.IMPOSSIBLE)
    text = f"no vLLM that was read pins torch {cell.torch} and runs with {cell.cuda} on Python {cell.python}"
    source = (f"the index, read {facts.read}",)
    hint = "take another PyTorch or CUDA, or vllm: none for an image without vLLM"
    nothing = Finding("auto", Level.IMPOSSIBLE, text, source, hint)
    return (nothing, *_impossible(replace(cell, vllm=None), conditions, facts))


# -- what is wrong with that ------------------------------------------------------------------------


def impossible(refused: Sequence[Refused], tree: Tree, facts: Facts) -> list[Problem]:
    """Each cell that is written out and impossible, with all reasons and the nearest that is possible."""
    problems = []
    for number, one in enumerate(refused):
        what = f"the cell {one.written.cell.id} is impossible: {_sentences(one.findings)}"
        near = _nearest(one.written.cell, one.conditions, facts) if number < _MOST_SEARCHED else ""
        problems.append(Problem(tree.place(_at_fault(one)), what, near or _remedies(one.findings)))
    return problems


def nothing_left(file: File, judged: Judged, tree: Tree) -> Problem:
    """Why of all that the file asks for no cell is left: the reason that is given most often."""
    pruned = judged.pruned
    if not pruned:
        return Problem(
            first_axis(file, tree), "no cell is left", "give each axis a version, or include a cell"
        )
    rule, count = Counter(rule for one in pruned for rule in _rules(one)).most_common(1)[0]
    first = next(one for one in pruned if rule in _rules(one))
    findings = tuple(one for one in first.findings if one.rule == rule)
    why = f"excluded: {first.excluded}" if first.excluded else f"impossible: {_sentences(findings)}"
    what = (
        f"no cell is left of the {len(pruned)} that the axes make; {count}, like {first.cell.id}, are {why}"
    )
    hint = _remedies(findings) or "exclude less, correct the axes, or include a cell"
    return Problem(first_axis(file, tree), what, hint)


def _rules(pruned: Pruned) -> frozenset[str]:
    return frozenset({"exclude"} if pruned.excluded else {one.rule for one in pruned.findings})


def _sentences(findings: Sequence[Finding]) -> str:
    return "; ".join(f"{one.rule}: {one.text}" for one in findings)


def _remedies(findings: Sequence[Finding]) -> str:
    return "; ".join(dict.fromkeys(one.hint for one in findings if one.hint))


def _nearest(cell: Cell, conditions: Conditions, facts: Facts) -> str:
    """The possible cells that are nearest to this one, in words; empty where there is none."""
    wish = replace(cell, vllm="0") if cell.vllm == AUTO else cell  # any release will do
    near = [one.id for one in compat.nearest(wish, conditions, facts)]
    return f"the nearest possible: {', or '.join(near)}" if near else ""


def _at_fault(one: Refused) -> Loc:
    """The way to the axis at fault; to the whole entry where several are, or none by itself."""
    axes = {_AXIS_OF.get(finding.rule) for finding in one.findings}
    axis = axes.pop() if len(axes) == 1 else None
    return one.written.at(axis) if axis else one.written.loc
