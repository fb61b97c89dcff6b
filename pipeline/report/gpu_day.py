"""A day with a GPU, as Markdown that can be committed beside the signed parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.formats.units import size
from pipeline.model import Outcome
from pipeline.report.text import escaped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.model import GpuDay, Part

_TITLES = {
    "suite": "The suite on {}",
    "serving": "What serving costs on {}",
    "saboteurs": "Saboteurs of {}, which the suite must refuse",
}


def markdown(day: GpuDay) -> str:
    """The machine, then each part with its checks and measurements, then what was not done."""
    sections = ["# A day with a GPU\n", _table(("machine", ""), _machine(day))]
    for part in day.parts:
        sections += [f"## {_TITLES[part.name].format(part.cell)}\n", *_part(part)]
    if day.left_out:
        sections += ["## Not done\n", _table(("part", "because"), day.left_out)]
    return "\n".join(sections)


def _machine(day: GpuDay) -> Iterator[tuple[str, str]]:
    host = day.host
    yield from (("GPU", gpu) for gpu in host.gpus or ("none",))
    yield "driver", host.driver or "none"
    yield "system", host.system
    yield "processor", host.cpu
    yield "memory", size(host.memory_bytes)


def _part(part: Part) -> Iterator[str]:
    passed = sum(check.outcome is Outcome.PASSED for check in part.checks)
    counted = f"{part.outcome}, {passed}/{len(part.checks)}"
    yield f"{counted}, {part.seconds:.0f} s, {part.finished}, of `{part.digest}`\n"
    rows = (
        (check.name, str(check.outcome), f"{check.seconds:.1f}", _words(part, check.name))
        for check in part.checks
    )
    yield _table(("check", "outcome", "seconds", "what was expected, seen and noted"), rows)
    if part.name == "serving":
        yield _table(("measured", ""), part.facts)


def _words(part: Part, name: str) -> str:
    """What a check expected, saw and noted; of a saboteur, first what it is."""
    check = next(check for check in part.checks if check.name == name)
    noted = ", ".join(f"{fact} {value}" for fact, value in check.facts.items())
    said = [dict(part.facts).get(name, ""), check.expected, check.seen, noted]
    return "; ".join(word for word in said if word)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *(tuple(map(escaped, row)) for row in rows)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
