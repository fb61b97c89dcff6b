"""A host as a page: how each thing of it stands, what can be done of each cell, and what helps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.report.columns import columns
from pipeline.report.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.no_cuda import Cause
    from pipeline.model.examinations import Aspect, Examination, Prospect

_COLUMNS = ("cell", "build", "rehearse", "prove")
_WIDTHS = 8, 12


def page(examination: Examination) -> str:
    """The page as lines of text."""
    parts = [
        [f"this host: {examination.host}"],
        [line for one in examination.aspects for line in _aspect(one)],
    ]
    if examination.prospects:
        parts.append(list(columns([_COLUMNS, *map(_row, examination.prospects)])))
        parts.append(list(_summary(examination.prospects)))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _aspect(aspect: Aspect) -> Iterator[str]:
    standing, name = _WIDTHS
    yield f"  {aspect.standing:{standing}} {aspect.name:{name}} {aspect.text}"
    if aspect.hint:
        yield f"  {'':{standing}} {'':{name}} hint: {aspect.hint}"


def _row(prospect: Prospect) -> tuple[str, ...]:
    rehearse = "-" if prospect.rehearse is None else prospect.rehearse or "yes"
    return (prospect.cell.id, prospect.build or "yes", rehearse, prospect.prove or "yes")


def _summary(prospects: tuple[Prospect, ...]) -> Iterator[str]:
    """How many can be built, rehearsed and proven, each with the command that does it."""
    built = [one for one in prospects if not one.build]
    rehearsed = [one for one in prospects if one.rehearse == "" and one.prove]
    proven = [one for one in prospects if not one.prove]
    yield f"of {counted(len(prospects), 'cell')} {len(built)} can be built here (`python -m pipeline build`),"
    yield f"{len(proven)} proven (`python -m pipeline verify`), {len(rehearsed)} rehearsed, as `build` does"
    yield from dict.fromkeys(one.hint for one in prospects if one.hint)


def inside(name: str, text: str, cause: Cause | None, *, is_meant: bool) -> str:
    """What was seen of PyTorch in an image or environment: CUDA is there, or one cause and its remedy."""
    if cause is None:
        return f"{name}\n  CUDA is there: {text}\n"
    if is_meant:
        return f"{name}\n  there is no CUDA, as its labels say: {text}\n"
    fault = "its own fault" if cause.fault == "image" else "the host's fault"
    return f"{name}\n  there is no CUDA ({cause.name}, {fault}): {text}\n  hint: {cause.hint}\n"
