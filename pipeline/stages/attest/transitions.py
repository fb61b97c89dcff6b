"""The transition as others can check it: a statement of a type of our own, about one image."""

from __future__ import annotations

from pipeline.model import PROJECT, Transition
from pipeline.stages.attest.predicates import Predicate

TRANSITION = f"urn:{PROJECT}:transition:v1"
"""The predicate of a transition."""

_PREDICATE = Predicate(TRANSITION, Transition, "transition")
statement, sign, transition_of = _PREDICATE.statement, _PREDICATE.sign, _PREDICATE.read
