"""A log of any size, looked through once for phrases: which of them it has, where, and with which values.

A piece of each phrase, its needle, is looked for in the raw bytes; only around hits a few lines are
decoded, freed of their carriers and compared with the phrases. So time goes with the size of the log and
memory does not, whatever the log holds: one line of it may be longer than all others together.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.compat.diagnosis.needles import Needles
from pipeline.formats.log_carriers import text_of, unwrapped
from pipeline.model.diagnoses import LogLine

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from pipeline.compat.diagnosis.signatures.phrase import Phrase

BLOCK_BYTES = 1 << 20
_AROUND = 4096
"""Bytes before and after a hit that are looked at with it, at most; blocks overlap by twice that."""
_LINES_AFTER = 3
"""Lines after that of a hit in which a phrase may end."""

MAX_SIGHTINGS = 16
"""Of one phrase that are kept: the first ones."""
MAX_HITS = 5_000
"""Of one needle that are looked at."""
MAX_WINDOWS = 500
"""Of one needle that differ from each other and are compared with the phrases."""
MAX_EXCERPT = 300
"""Characters of a line that are shown."""
MAX_TROUBLE = 64
"""Lines that look like trouble that are kept: so many of the first, and of the last."""

_TROUBLE = frozenset(
    {b"error", b"exception", b"fatal", b"panic", b"failed", b"aborted", b"killed", b"core dumped"}
)
_ONE_BLANK = bytes.maketrans(b"\n\r\t", b"   ")
"""What a phrase takes for a blank."""


@dataclass(frozen=True)
class Sighting:
    """A phrase in a log: the number of its line, that line, and what its gaps held."""

    line: int
    text: str
    values: Mapping[str, str]


@dataclass
class Sightings:
    """What was found in a log of so many ``lines``.

    ``of`` has the first sightings of each phrase, ``last`` the line of its last one, ``times`` how many there
    are. ``trouble`` are lines that look like an error, the first and the last ones.
    """

    lines: int = 0
    of: dict[str, list[Sighting]] = field(default_factory=dict)
    last: dict[str, int] = field(default_factory=dict)
    times: Counter[str] = field(default_factory=Counter)
    trouble: tuple[LogLine, ...] = ()

    def first(self, phrases: Iterable[str]) -> Sighting | None:
        """The earliest sighting of any of these phrases."""
        found = [self.of[phrase][0] for phrase in phrases if phrase in self.of]
        return min(found, key=lambda sighting: sighting.line, default=None)

    def last_line(self, phrases: Iterable[str]) -> int:
        """The number of the last line with any of these phrases; 0 if there is none."""
        return max((self.last.get(phrase, 0) for phrase in phrases), default=0)

    def count(self, phrases: Iterable[str]) -> int:
        """On how many lines these phrases were seen."""
        return sum(self.times[phrase] for phrase in phrases)


class Searcher:
    """Phrases, made ready to be searched for in any number of logs; on a line with ``quotes`` none counts."""

    def __init__(self, phrases: Iterable[Phrase], quotes: Iterable[str] = ()) -> None:
        self._phrases, self._quotes = tuple(phrases), tuple(quotes)
        self._words = frozenset({phrase.needle.encode() for phrase in self._phrases} | _TROUBLE)

    def search(self, stream: BinaryIO) -> Sightings:
        """Look through a log, to its end."""
        search = _Search(self._phrases, self._quotes, Needles(self._words))
        for block in _blocks(stream):
            search.look_through(block)
        return search.result()


@dataclass(frozen=True)
class _Block:
    """A part of a log. Hits from ``start`` to ``end`` are its own; what is around them is there for context.

    ``first`` is the number of its first line, ``numbers`` those of all of its lines where some were joined.
    """

    text: bytes
    start: int
    end: int
    first: int
    numbers: tuple[int, ...] = ()

    @property
    def lines(self) -> int:
        """How many lines the log has up to its end."""
        last = self.numbers[-1] if self.numbers else self.first + self.text.count(b"\n")
        return last - 1 if not self.text or self.text.endswith(b"\n") else last

    def number(self, line: int) -> int:
        """The number in the log of its line with this index."""
        return self.numbers[min(line, len(self.numbers) - 1)] if self.numbers else self.first + line


def _blocks(stream: BinaryIO) -> Iterator[_Block]:
    """The log in parts. One that is a single part may have been copied from a terminal, and is unwrapped."""
    buffer, more = stream.read(BLOCK_BYTES), stream.read(BLOCK_BYTES)
    if not more:
        text, numbers = unwrapped(buffer.decode("utf-8", "replace"))
        whole = text.encode()
        yield _Block(whole, 0, len(whole), 1, numbers)
        return
    start, first = 0, 1
    while more:
        end = len(buffer) - _AROUND
        yield _Block(buffer, start, end, first)
        kept = end - _AROUND
        first += buffer.count(b"\n", 0, kept)
        buffer, start = buffer[kept:] + more, end - kept
        more = stream.read(BLOCK_BYTES)
    yield _Block(buffer, start, len(buffer), first)


class _Search:
    """One search: what was found so far, and what was looked at already."""

    def __init__(self, phrases: Sequence[Phrase], quotes: Sequence[str], needles: Needles) -> None:
        self.found = Sightings()
        self._phrases, self._quotes, self._needles = phrases, quotes, needles
        self._hits: Counter[bytes] = Counter()
        self._windows: Counter[bytes] = Counter()
        self._seen: dict[int, tuple[tuple[str, int], ...]] = {}
        self._first: list[LogLine] = []
        self._last: deque[LogLine] = deque(maxlen=MAX_TROUBLE)

    def look_through(self, block: _Block) -> None:
        """Find the needles of a block, and look around each that begins a line's first."""
        text = block.text.lower().translate(_ONE_BLANK)
        at, line, seen = 0, 0, None
        for place, needle in self._needles.find(text, block.start, block.end):
            self._hits[needle] += 1
            if self._hits[needle] > MAX_HITS:
                continue
            if self._hits[needle] == MAX_HITS:
                self._needles.drop(needle)
            line += block.text.count(b"\n", at, place)
            at = place
            start = max(block.text.rfind(b"\n", max(place - _AROUND, 0), place), place - _AROUND)
            if start != seen or needle in _TROUBLE:
                self._look(block, place, line, needle)
            seen = start
        self.found.lines = block.lines

    def _look(self, block: _Block, at: int, line: int, needle: bytes) -> None:
        """Compare what is around a hit with all phrases, unless the same was compared before."""
        before, texts = _window(block.text, at)
        first = line - before
        window = "\n".join(texts)
        if (key := hash(window)) in self._seen:
            self._note_again(self._seen[key], block, first)
            return
        self._windows[needle] += 1
        if self._windows[needle] > MAX_WINDOWS:
            return
        self._seen[key] = tuple(self._compare(window, texts, block, first))
        if needle in _TROUBLE and not self._only_quotes(texts[before]):
            self._note_trouble(LogLine(block.number(line), texts[before]))

    def result(self) -> Sightings:
        """All that was found."""
        by_line = {noted.line: noted for noted in (*self._first, *self._last)}
        self.found.trouble = tuple(by_line[line] for line in sorted(by_line))
        return self.found

    def _compare(
        self, window: str, texts: Sequence[str], block: _Block, first: int
    ) -> Iterator[tuple[str, int]]:
        """The phrases in a window, each with the index of its line there."""
        low = " ".join(window.lower().split())
        for phrase in self._phrases:
            if phrase.needle not in low:
                continue
            for start, values in phrase.find(window):
                index, within = _place_in(texts, start)
                if self._only_quotes(texts[index]):
                    continue
                text = _excerpt(texts[index], within)
                self._note(phrase.text, Sighting(block.number(first + index), text, values))
                yield phrase.text, index

    def _only_quotes(self, line: str) -> bool:
        """Whether the errors that a line names are those that may happen, and not one that has."""
        return any(words in line for words in self._quotes)

    def _note(self, phrase: str, sighting: Sighting) -> None:
        """A line may be in several windows."""
        sightings = self.found.of.setdefault(phrase, [])
        if self.found.last.get(phrase, 0) >= sighting.line:
            return
        self.found.last[phrase] = sighting.line
        self.found.times[phrase] += 1
        if len(sightings) < MAX_SIGHTINGS:
            sightings.append(sighting)

    def _note_again(self, phrases: Sequence[tuple[str, int]], block: _Block, first: int) -> None:
        for phrase, index in phrases:
            line = block.number(first + index)
            if line > self.found.last[phrase]:
                self.found.last[phrase] = line
                self.found.times[phrase] += 1

    def _note_trouble(self, line: LogLine) -> None:
        if len(self._first) < MAX_TROUBLE:
            self._first.append(line)
        else:
            self._last.append(line)


def _window(text: bytes, at: int) -> tuple[int, list[str]]:
    """The lines around a place, without carriers, and how many of them are before its own."""
    start = text.rfind(b"\n", max(at - _AROUND, 0), at) + 1 or max(at - _AROUND, 0)
    above = text.rfind(b"\n", max(start - 1 - _AROUND, 0), max(start - 1, 0)) + 1 if start else 0
    before = 1 if text[max(start - 1, 0) : start] == b"\n" else 0
    begin = (above or max(start - 1 - _AROUND, 0)) if before else start
    end = at
    for _ in range(1 + _LINES_AFTER):
        end = text.find(b"\n", end + 1, at + _AROUND)
        if end < 0:
            end = min(at + _AROUND, len(text))
            break
    lines = text[begin:end].decode("utf-8", "replace").split("\n")
    return before, [text_of(line).replace("\r", "\n") for line in lines]


def _place_in(texts: Sequence[str], start: int) -> tuple[int, int]:
    """The line in which this place of the joined texts is, by its index, and the place in that line."""
    for index, text in enumerate(texts):
        if start <= len(text):
            return index, start
        start -= len(text) + 1
    return len(texts) - 1, 0


def _excerpt(text: str, place: int) -> str:
    """A line; of one that is too long, or is several in one, what begins at this place."""
    begin = text.rfind("\n", 0, place) + 1
    line = text[begin:].partition("\n")[0]
    if len(line) <= MAX_EXCERPT:
        return line
    return f"… {text[place : place + MAX_EXCERPT]}".partition("\n")[0]
