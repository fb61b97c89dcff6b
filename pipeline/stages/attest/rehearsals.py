"""The rehearsal as others can check it: a statement of a type of our own, about one image."""

from __future__ import annotations

from pipeline.model import PROJECT, Rehearsal
from pipeline.stages.attest.predicates import Predicate

REHEARSAL = f"urn:{PROJECT}:rehearsal:v1"
"""The predicate of a rehearsal."""

_PREDICATE = Predicate(REHEARSAL, Rehearsal, "rehearsal")
statement, sign, rehearsal_of = _PREDICATE.statement, _PREDICATE.sign, _PREDICATE.read
