"""What both gates ask of a record and of a certificate, by a policy."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pipeline.model import (
    FIRST,
    FIRST_CHECKS,
    FIRST_RULES,
    OPTIONAL,
    RULE_NAMES,
    Outcome,
    checks_of,
    is_users,
    leaving_out,
)

if TYPE_CHECKING:
    from pipeline.model import Attestations, Cell, Certificate, Policy, Record

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of ours the clock of a machine that made a record may be."""

MAX_ERRORS = 10
"""Errors of a certificate that a refusal names."""

MAX_NAMED = 10
"""Statements that count for nothing, or are gone, that a refusal names."""


def required_checks(cell: Cell, policy: Policy, record: Record) -> tuple[str, ...]:
    """The checks that the policy names, of those that such a cell has, or else all; and the user's tests.

    So nothing is refused for a server that it never had, and nothing gets through because the policy
    speaks of servers only. All are those of the first day and those of the record's own: a check that came
    later is asked of what is proven later. One that may be impossible and was is not among them, nor is
    one, also of the user's, that the policy leaves out of the cell.
    """
    checks = checks_of(cell)
    named = tuple(name for name in checks if name in policy.required.get(cell.kind, ()))
    first = (name for name in checks if name in FIRST_CHECKS)
    impossible = OPTIONAL & frozenset(record.named(Outcome.NOT_RUN))
    every = tuple(name for name in dict.fromkeys((*first, *record.versions)) if name not in impossible)
    left_out = policy.left_out.get(cell.id, frozenset())
    users = (check.name for check in record.checks if is_users(check.name))
    asked = (name for name in (*(() if named else every), *users) if not leaving_out(name, left_out))
    return (*named, *asked)


def old_checks(cell: Cell, record: Record, policy: Policy) -> tuple[str, ...]:
    """The checks of such a cell that were made in an older version than the policy asks for."""
    named = (name for name in checks_of(cell) if name in policy.at_least)
    return tuple(name for name in named if record.version_of(name) < policy.at_least[name])


def old_rules(certificate: Certificate, policy: Policy) -> bool:
    """Whether a family of rules is missing, or older than the policy asks for.

    All are asked for that were there on the first day, and of later ones those that the policy names.
    """
    least = dict.fromkeys(FIRST_RULES, FIRST) | {
        name: version for name, version in policy.at_least.items() if name in RULE_NAMES
    }
    return any(certificate.version_of(family) < version for family, version in least.items())


def signed_by_others(beside: Attestations) -> str:
    """What a refusal for want of a proof adds where statements lie there that nobody trusted here signed."""
    if not beside.strangers:
        return ""
    names = ", ".join(beside.strangers[:MAX_NAMED])
    return f"; what lies beside it names as its signer {names}, whom nobody trusts here"
