"""The certificate as others can check it: a statement of a type of our own, about one image."""

from __future__ import annotations

from pipeline.model import PROJECT, Certificate
from pipeline.stages.attest.predicates import Predicate

CERTIFICATE = f"urn:{PROJECT}:certificate:v1"
"""The predicate of a static certificate."""

_PREDICATE = Predicate(CERTIFICATE, Certificate, "certificate")
statement, sign, certificate_of = _PREDICATE.statement, _PREDICATE.sign, _PREDICATE.read
