"""What a known failure looks like in a log, and what is known of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipeline.compat.diagnosis.signatures.phrase import Phrase
from pipeline.model.diagnoses import Blame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.compat.no_cuda import Cause

_FIELD = re.compile(r"\{(\w+)\}")
_CLAUSE = re.compile(r"\[([^][]*)\]")


@dataclass(frozen=True)
class Signature:
    """One kind of failure.

    It is in a log that has one of the phrases ``seen``, of each group of ``needs`` one as well, and none of
    ``unless``. ``cause`` and ``remedy`` are templates: ``{name}`` is what a gap of a phrase held, and a
    clause in brackets is left out where one of its values is not known.

    ``contradicts`` says which words of the log are wrong about themselves, ``decides`` what would tell this
    cause from another with the same words. ``explains`` are the ids of other signatures that are its
    consequences. One that ``is_symptom`` says what broke down and not why: any cause comes before it. One
    that ``may_pass`` is no failure of a server that came up afterwards. ``times`` is how often it has to be
    said.
    """

    id: str
    blame: Blame
    cause: str
    remedy: str
    seen: tuple[str, ...]
    sources: tuple[str, ...]
    needs: tuple[tuple[str, ...], ...] = ()
    unless: tuple[str, ...] = ()
    contradicts: str = ""
    decides: str = ""
    explains: tuple[str, ...] = ()
    is_symptom: bool = False
    may_pass: bool = False
    times: int = 1

    @property
    def phrases(self) -> tuple[str, ...]:
        """Every phrase by which it is judged."""
        return (*self.seen, *(phrase for group in self.needs for phrase in group), *self.unless)


def of_cause(
    cause: Cause, *, seen: tuple[str, ...], sources: tuple[str, ...], explains: tuple[str, ...]
) -> Signature:
    """The signature of a cause that PyTorch has no CUDA, as ``compat/no_cuda.py`` words it."""
    return Signature(
        id=cause.name,
        blame=Blame(cause.fault),
        cause=cause.what,
        remedy=cause.hint,
        seen=seen,
        sources=sources,
        explains=explains,
    )


def filled(template: str, values: Mapping[str, str]) -> str:
    """The template with these values; a clause in brackets is kept where all of its own are known."""

    def clause(found: re.Match[str]) -> str:
        return found[1] if all(name in values for name in _FIELD.findall(found[1])) else ""

    return _FIELD.sub(lambda field: values.get(field[1], "?"), _CLAUSE.sub(clause, template))


def required(signature: Signature) -> frozenset[str]:
    """The values without which its texts have a hole: those outside of brackets."""
    texts = (signature.cause, signature.remedy, signature.contradicts, signature.decides)
    return frozenset(name for text in texts for name in _FIELD.findall(_CLAUSE.sub("", text)))


def provided(signature: Signature) -> frozenset[str]:
    """The values that each log with the signature gives: those that all phrases of a group hold."""
    groups = (signature.seen, *signature.needs)
    return frozenset().union(
        *(frozenset.intersection(*(Phrase(text).fields for text in group)) for group in groups)
    )


__all__ = ["Signature", "filled", "of_cause", "provided", "replace", "required"]
