"""What a program says when it fails, as a sentence with gaps: data that nobody has to read as an expression.

``libcudart.so.{major:n}: cannot open shared object file`` is such a phrase. A gap has a name, and a kind
after a colon; ``{}`` is any text on the line. A blank stands for any run of blanks and line breaks, a
quotation mark for any other, a letter for its capital: wordings differ by that from release to release, and
wrapping breaks lines. What is searched for can therefore neither be slow nor match more than it says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from pipeline.formats.cuda import shown_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_GAP = 160
"""Characters that a gap without a kind may span."""

_KINDS = {
    "": r"[^\s'\"`,;:()\[\]{}]{1,120}",
    "n": r"[0-9]{1,12}",
    "cuda": r"[0-9]{4,6}",
    "v": r"[0-9][\w.+-]{0,40}",
    "number": r"[0-9][0-9.]{0,40}",
    "name": r"[A-Za-z0-9][A-Za-z0-9_.-]{0,80}",
    "path": r"[^\s'\"`]{1,300}",
    "symbol": r"\w{1,300}",
    "text": r"[^\n]{1,200}",
}
"""What a gap of a kind may hold; each is bounded."""

_SHOWN: Mapping[str, Callable[[str], str]] = {
    "cuda": lambda number: shown_version(int(number)),
    "v": lambda version: version.rstrip(".-+"),
    "number": lambda number: number.rstrip("."),
    "name": lambda name: name.rstrip("."),
    "path": lambda path: path.rstrip(".,:;"),
    "text": str.strip,
}


def _as_it_is(value: str) -> str:
    return value


_GAP = re.compile(r"\{(\w*)(?::(\w+))?\}")
_QUOTES = r"\\?['\"`‘’“”]"  # noqa: RUF001 - typographic ones are what a copy may have
_RARE = re.compile(r"[^\s\"'`\\<>&{}]+(?:(?<!:) [^\s\"'`\\<>&{}]+)*")
"""Text that is the same in JSON, where quotation marks and ``<`` are escaped, and in what is aligned by
blanks after a colon."""

_MAX_NEEDLE = 24
_NOT_WITHIN_A_WORD = "(?<![A-Za-z0-9])"
_NOT_WITHIN_A_NUMBER = "(?![0-9])"


@dataclass(frozen=True)
class Phrase:
    """One phrase, and how it is found."""

    text: str

    @property
    def fields(self) -> frozenset[str]:
        """The names of its gaps."""
        return frozenset(name for name, _ in _GAP.findall(self.text) if name)

    @cached_property
    def needle(self) -> str:
        """A piece that each text with the phrase has, in small letters: what is looked for first."""
        pieces: list[str] = [
            piece for literal in _GAP.split(self.text)[::3] for piece in _RARE.findall(literal)
        ]
        return max(pieces, key=len)[:_MAX_NEEDLE].strip().lower()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """The phrase as an expression. It is matched from left to right, and never tried again from a gap."""
        first, *rest = _GAP.split(self.text)
        gaps = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        parts = (_literal(first), *(_gap(name, kind or "", _literal(after)) for name, kind, after in gaps))
        begin = _NOT_WITHIN_A_WORD if self.text[0].isalnum() else ""
        end = _NOT_WITHIN_A_NUMBER if self.text[-1].isdigit() else ""
        return re.compile(f"{begin}{''.join(parts)}{end}", re.IGNORECASE)

    def find(self, text: str) -> Iterator[tuple[int, dict[str, str]]]:
        """Where the phrase begins in a text, and what its gaps hold, each time that it is there."""
        kinds = dict(_GAP.findall(self.text))
        for found in self.pattern.finditer(text):
            yield (
                found.start(),
                {
                    name: _SHOWN.get(kinds[name], _as_it_is)(value)
                    for name, value in found.groupdict().items()
                    if value
                },
            )


def _literal(text: str) -> str:
    """The text between two gaps as an expression; after a colon there may be no blank, as in JSON."""
    marked = re.sub(r"['`\"]", "\0", text)
    words = [re.escape(word).replace("\\\x00", _QUOTES).replace("\0", _QUOTES) for word in marked.split(" ")]
    return r"\s+".join(words).replace(r":\s+", r":\s*")


def _gap(name: str, kind: str, after: str) -> str:
    """A gap with the text after it; where it may hold anything, the shortest is taken, for good."""
    if not name and not kind:
        return rf"(?>[^\n]{{0,{MAX_GAP}}}?{after})"
    return (f"(?P<{name}>{_KINDS[kind]})" if name else f"(?:{_KINDS[kind]})") + after
