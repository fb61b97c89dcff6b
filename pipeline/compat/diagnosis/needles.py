"""Hundreds of words, looked for at once in many bytes.

Of each word eight neighbouring bytes are chosen, those that a log has least often. All groups of four bytes
of a text are looked up in a table at once; only where both halves of a word may be is it compared. So the
time goes with the bytes and hardly with the words: an expression with all of them as alternatives takes ten
times as long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

MIN_LENGTH = 4
"""Bytes of a word."""

_HALF = 4
_BITS = 16
_FACTOR = np.uint32(2654435761)
"""Knuth's multiplier: the upper bits of a product are well mixed."""

_FREQUENT = b" etaoinsrldcpumgf.:/_-0123456789"
"""What logs are made of, the most frequent first."""


class Needles:
    """A set of words in small letters; one may be dropped when enough of it was seen."""

    def __init__(self, words: Iterable[bytes]) -> None:
        self._places: dict[bytes, int] = {word: _rarest(word) for word in words}
        self._index()

    def drop(self, word: bytes) -> None:
        """Look for it no more."""
        self._places.pop(word, None)
        self._index()

    def find(self, text: bytes, start: int, end: int) -> list[tuple[int, bytes]]:
        """Where words begin in a text in small letters, in its order: those that begin from start to end."""
        return sorted(self._found(text, start, end))

    def _found(self, text: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
        for at in self._candidates(text, max(start - _REACH, 0), min(end + _REACH, len(text))):
            pair = text[at : at + 2 * _HALF]
            words = self._words.get(pair, ())
            if len(pair) > _HALF:
                words = (*words, *self._words.get(pair[:_HALF], ()))
            for offset, word in words:
                begin = at - offset
                if start <= begin < end and text.startswith(word, begin):
                    yield begin, word

    def _index(self) -> None:
        self._first = np.zeros(1 << _BITS, dtype=np.uint8)
        self._second = np.zeros(1 << _BITS, dtype=np.uint8)
        self._words: dict[bytes, tuple[tuple[int, bytes], ...]] = {}
        for word, place in self._places.items():
            half, other = word[place : place + _HALF], word[place + _HALF : place + 2 * _HALF]
            is_long = len(other) == _HALF
            key = half + other if is_long else half
            self._words[key] = (*self._words.get(key, ()), (place, word))
            self._first[_hashes(np.frombuffer(half, "<u4"))] |= _LONG if is_long else _SHORT
            if is_long:
                self._second[_hashes(np.frombuffer(other, "<u4"))] = 1

    def _candidates(self, text: bytes, start: int, end: int) -> list[int]:
        """The places where both halves of some word may be, in order."""
        found = [self._at_phase(text, start + phase, end) for phase in range(_HALF)]
        return sorted(place for places in found for place in places.tolist())

    def _at_phase(self, text: bytes, start: int, end: int) -> NDArray[np.int64]:
        """The same of every fourth place from the start on."""
        count = (end - start) // _HALF
        if count <= 0:
            return np.zeros(0, dtype=np.int64)
        hashes = _hashes(np.frombuffer(text, "<u4", count, start))
        kinds = self._first[hashes]
        hits = np.flatnonzero(kinds)
        nexts = self._second[hashes[np.minimum(hits + 1, count - 1)]]
        is_word = (kinds[hits] & _SHORT).astype(bool) | nexts.astype(bool) | (hits + 1 == count)
        places: NDArray[np.int64] = hits[is_word] * _HALF + start
        return places


_SHORT, _LONG = np.uint8(1), np.uint8(2)
_REACH = 64
"""Bytes around a part of a text in which a word that belongs to it may lie."""


def _hashes(groups: NDArray[np.uint32]) -> NDArray[np.uint32]:
    return (groups * _FACTOR) >> np.uint32(32 - _BITS)


def _rarest(word: bytes) -> int:
    """Where in a word its rarest eight bytes begin; four where it is short."""
    if len(word) < MIN_LENGTH:
        raise ValueError(f"{word!r} is too short to be looked for")
    width = min(len(word), 2 * _HALF) if len(word) >= 2 * _HALF else _HALF
    rarity = [_FREQUENT.find(byte) % (len(_FREQUENT) + 1) for byte in word]
    return max(range(len(word) - width + 1), key=lambda at: sum(rarity[at : at + width]))
