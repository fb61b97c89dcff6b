"""How bad a weakness is, in the words and numbers in which others say it."""

from __future__ import annotations

from pipeline.model import Threat

_FROM = {9.0: Threat.CRITICAL, 7.0: Threat.HIGH, 4.0: Threat.MEDIUM, 0.1: Threat.LOW, 0.0: Threat.NONE}
"""The least score of each rating (https://www.first.org/cvss/v3.1/specification-document, section 5)."""
_MAX_SCORE = 10.0
_WORDS = {
    "none": Threat.NONE,
    "negligible": Threat.LOW,
    "unimportant": Threat.LOW,
    "info": Threat.LOW,
    "low": Threat.LOW,
    "medium": Threat.MEDIUM,
    "moderate": Threat.MEDIUM,
    "high": Threat.HIGH,
    "critical": Threat.CRITICAL,
}
"""How GitHub's advisories, Debian's, Ubuntu's and CycloneDX write a rating."""


def of_score(score: float) -> Threat | None:
    """The rating of a score of CVSS, from 0 to 10; None for any other number."""
    return next((rating for least, rating in _FROM.items() if least <= score <= _MAX_SCORE), None)


def of_word(word: str) -> Threat | None:
    """The rating that a word stands for; None for one that is not known."""
    return _WORDS.get(word.strip().lower())


def of_text(text: str) -> Threat | None:
    """The rating of a word, or of a score that is written as a number."""
    try:
        return of_score(float(text))
    except ValueError:
        return of_word(text)
