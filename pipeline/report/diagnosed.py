"""What logs say of a failure, for people and for programs."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

from pipeline.model import to_json
from pipeline.model.diagnoses import Blame
from pipeline.report.text import counted, line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.model.diagnoses import Diagnosis, LogLine, LogReading

SCHEMA = 1
"""The number of the schema of its JSON."""

_WIDTH = 110
_MAX_LINE = 300
_AT_FAULT = {
    Blame.IMAGE: "the image",
    Blame.HOST: "the machine, not the image",
    Blame.MODEL: "the model",
    Blame.USAGE: "how it was started or asked",
}


def text_of(readings: Sequence[tuple[str, LogReading]]) -> str:
    """What was found in each log, by its name."""
    return "\n".join("\n".join(_page(name, reading)) + "\n" for name, reading in readings)


def as_json(readings: Sequence[tuple[str, LogReading]]) -> dict[str, Any]:
    """The same for programs."""
    return {"schema": SCHEMA, "logs": [{"name": name, **to_json(reading)} for name, reading in readings]}


def brief(diagnosis: Diagnosis) -> str:
    """A diagnosis in a few lines, for what stands beside other things."""
    return "\n".join(_diagnosis(diagnosis))


def _page(name: str, reading: LogReading) -> Iterator[str]:
    size = counted(reading.lines, "line")
    if not reading.diagnoses:
        yield from _not_recognised(name, reading, size)
        return
    yield f"{name} ({size}): {counted(len(reading.diagnoses), 'cause')}"
    for diagnosis in reading.diagnoses:
        yield ""
        yield from _diagnosis(diagnosis)
    if len(reading.diagnoses) > 1:
        yield ""
        yield "more than one was recognised: the first is the most specific; see what decides"
    if reading.consequences:
        yield ""
        yield _labelled("follows", f"{', '.join(reading.consequences)}: seen too, and explained by the above")


def _diagnosis(diagnosis: Diagnosis) -> Iterator[str]:
    yield f"{diagnosis.id}: at fault is {_AT_FAULT[diagnosis.blame]}"
    yield _labelled("cause", diagnosis.cause)
    yield _labelled("seen", f"line {diagnosis.line}: {line(diagnosis.text)[:_MAX_LINE]}")
    if diagnosis.contradicts:
        yield _labelled("not", diagnosis.contradicts)
    if diagnosis.decides:
        yield _labelled("decides", diagnosis.decides)
    yield _labelled("hint", diagnosis.remedy)
    yield from (_labelled("source", source) for source in diagnosis.sources)


def _not_recognised(name: str, reading: LogReading, size: str) -> Iterator[str]:
    if reading.came_up:
        yield f"{name} ({size}): a server came up (line {reading.came_up}), and no failure is recognised"
        yield from map(_quoted, (line for line in reading.unexplained if line.line > reading.came_up))
        return
    if reading.unexplained:
        yield f"{name} ({size}): not recognised. The lines that most likely matter:"
        yield from map(_quoted, reading.unexplained)
        yield "hint: search for the first of them; `--json` has the numbers of its lines"
    elif reading.wrappers:
        yield f"{name} ({size}): not recognised. It only says that something else has failed:"
        yield from map(_quoted, reading.wrappers)
        yield "hint: the cause stands earlier: take the log from its start, of all processes and nodes"
    else:
        yield f"{name} ({size}): nothing in it looks like a failure"
        yield "hint: if something failed, look at the other containers, at `kubectl describe pod` and dmesg"


def _quoted(quoted: LogLine) -> str:
    return f"  line {quoted.line}: {line(quoted.text)[:_MAX_LINE]}"


def _labelled(label: str, text: str) -> str:
    start = f"  {label:8} "
    return fill(
        line(text),
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
