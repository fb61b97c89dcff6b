"""From a log to what is behind it: the causes, the most specific first, with the lines that show them."""

from __future__ import annotations

import io
from functools import cache
from typing import TYPE_CHECKING

from pipeline.compat.diagnosis.sightings import Searcher, Sighting, Sightings
from pipeline.compat.diagnosis.signatures import ABOUT, QUOTES, SIGNATURES, STARTED, WRAPPERS
from pipeline.compat.diagnosis.signatures.phrase import Phrase
from pipeline.compat.diagnosis.signatures.signature import Signature, filled
from pipeline.compat.lookup import driver_floor
from pipeline.model.diagnoses import Diagnosis, LogLine, LogReading

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import BinaryIO

MAX_UNEXPLAINED = 5
"""Lines that are shown of a log in which nothing was recognised."""


def read(stream: BinaryIO) -> LogReading:
    """What a log says of the failure behind it. It is read to its end, whatever its size."""
    sightings = _searcher().search(stream)
    present = [signature for signature in SIGNATURES if _is_present(signature, sightings)]
    causes = _causes(present)
    values = _values_about(sightings)
    ordered = sorted(causes, key=lambda signature: _order(signature, sightings))
    return LogReading(
        lines=sightings.lines,
        diagnoses=tuple(_diagnosis(signature, sightings, values) for signature in ordered),
        consequences=tuple(signature.id for signature in present if signature not in causes),
        unexplained=() if causes else _unexplained(sightings),
        wrappers=() if causes else _wrappers(sightings),
        came_up=sightings.last_line(STARTED),
    )


def of_text(text: str) -> LogReading:
    """The same of a text."""
    return read(io.BytesIO(text.encode("utf-8", "replace")))


@cache
def _searcher() -> Searcher:
    phrases = {phrase for signature in SIGNATURES for phrase in signature.phrases}
    return Searcher(map(Phrase, sorted({*phrases, *STARTED, *WRAPPERS, *ABOUT})), QUOTES)


# -- which causes -------------------------------------------------------------------------------------


def _is_present(signature: Signature, sightings: Sightings) -> bool:
    """Whether the log has the signature, and nothing in it speaks against it."""
    if sightings.count(signature.seen) < signature.times:
        return False
    if any(sightings.first(group) is None for group in signature.needs):
        return False
    if sightings.first(signature.unless) is not None:
        return False
    return not (signature.may_pass and sightings.last_line(STARTED) > sightings.last_line(signature.seen))


def _causes(present: Sequence[Signature]) -> list[Signature]:
    """Those that no other explains; what broke down only where nothing says why."""
    explained = {name for signature in present for name in signature.explains}
    left = [signature for signature in present if signature.id not in explained]
    return [signature for signature in left if not signature.is_symptom] or left


def _order(signature: Signature, sightings: Sightings) -> tuple[int, int]:
    """What asks for more is more specific; of two alike the one that was seen first."""
    first = sightings.first(signature.seen)
    return -len(signature.needs), first.line if first else 0


# -- what is said of them -----------------------------------------------------------------------------


def _diagnosis(signature: Signature, sightings: Sightings, about: Mapping[str, str]) -> Diagnosis:
    shown = _first_of(signature.seen, sightings)
    values = dict(about)
    for group in reversed((signature.seen, *signature.needs)):
        values |= _values_of(group, sightings)
    values |= shown.values
    return Diagnosis(
        id=signature.id,
        blame=signature.blame,
        cause=filled(signature.cause, values),
        remedy=filled(signature.remedy, values),
        line=shown.line,
        text=shown.text,
        contradicts=filled(signature.contradicts, values),
        decides=filled(signature.decides, values),
        sources=signature.sources,
    )


def _first_of(phrases: Sequence[str], sightings: Sightings) -> Sighting:
    """The first sighting of the first phrase that was seen: they are in the order of what they tell."""
    return next(sightings.of[phrase][0] for phrase in phrases if phrase in sightings.of)


def _values_of(phrases: Sequence[str], sightings: Sightings) -> dict[str, str]:
    """What these phrases hold, those that tell more before others."""
    values: dict[str, str] = {}
    for phrase in reversed(phrases):
        for sighting in reversed(sightings.of.get(phrase, ())):
            values |= sighting.values
    return values


def _values_about(sightings: Sightings) -> dict[str, str]:
    """What the log says of machine and software beside any failure."""
    values = _values_of(ABOUT, sightings)
    if "built" in values and (floor := driver_floor(values["built"])):
        values["floor"] = floor
    return values


# -- what was not recognised --------------------------------------------------------------------------


def _unexplained(sightings: Sightings) -> tuple[LogLine, ...]:
    """The first lines that look like an error and are no wrapper of another; the last ones where none is."""
    wrapping = [Phrase(text) for text in WRAPPERS]
    lines: dict[str, LogLine] = {}
    for line in sightings.trouble:
        if line.text.strip() and not any(any(phrase.find(line.text)) for phrase in wrapping):
            lines.setdefault(line.text.strip(), line)
    errors = [line for line in lines.values() if _names_an_error(line.text)]
    return tuple(errors or lines.values())[:MAX_UNEXPLAINED]


def _names_an_error(text: str) -> bool:
    """Whether a line begins as the end of a traceback does, or says that it is fatal."""
    name, colon, _ = text.strip().partition(":")
    is_exception = bool(colon) and " " not in name and name.endswith(("Error", "Exception", "Exit"))
    return is_exception or text.lower().startswith(("fatal", "panic", "error"))


def _wrappers(sightings: Sightings) -> tuple[LogLine, ...]:
    found = [sightings.of[phrase][0] for phrase in WRAPPERS if phrase in sightings.of]
    return tuple(
        LogLine(sighting.line, sighting.text) for sighting in sorted(found, key=lambda one: one.line)
    )
