"""Sabotage of the healthy image: a case of each way to spoil it, and the rule that alone finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.model import Severity
from tests.unit.stages.audit.audited_image import Image, listing

ERROR, WARNING, NOTE = Severity
Spoil = Callable[[Image], None]


@dataclass(frozen=True)
class Case:
    """The rule that must find what ``spoil`` does, how severe that is, and words of the finding."""

    rule: str
    severity: Severity
    words: str
    spoil: Spoil


def add_case(cases: list[Case], rule: str, severity: Severity, words: str) -> Callable[[Spoil], Spoil]:
    """Decorate a function that spoils an image: it becomes a case of these."""

    def add(spoil: Spoil) -> Spoil:
        cases.append(Case(rule, severity, words, spoil))
        return spoil

    return add


def assert_only_its_rule_finds(case: Case) -> None:
    """What is found in the spoilt image and not in the healthy one is of this rule and no worse than this."""
    healthy, image = set(Image().judged().findings), Image()
    case.spoil(image)
    certificate = image.judged()
    found = [one for one in certificate.findings if one not in healthy]
    assert {one.rule for one in found} == {case.rule}, listing(certificate)
    assert min(one.severity.rank for one in found) == case.severity.rank, listing(certificate)
    assert any(case.words in one.text and one.severity is case.severity for one in found), listing(
        certificate
    )
