"""What the gate before a deployment says, word for word: what, with the values, and what is left to do."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pipeline.model import Digest, Host, Links, Outcome, Result, WaivedFinding
from pipeline.stages.gate import ANOTHER, MAX_ERRORS, MAX_NAMED, unnamed
from pipeline.stages.gate.deployment import REVIEW
from tests.builders import CERTIFIED, CUDA_CELL, FINISHED, NOW, REPOSITORY, STAGING, check, rfc3339
from tests.unit.stages.deployed_image import (
    FAILED,
    GOOD,
    NOWHERE,
    OURS,
    POLICY,
    STRANGER,
    TAG,
    Beside,
    certificate,
    fingerprint,
    record,
    rehearsal,
    signer,
)

ELSEWHERE, GONE = "127.0.0.1:5000/elsewhere", Digest(f"sha256:{'e' * 64}")
OLD, SKEW, SECOND = timedelta(days=90), timedelta(minutes=5), timedelta(seconds=1)
LATER, EARLIER = rfc3339(NOW), "2030-01-02T03:00:05Z"
OF_RECORD, OF_CERTIFICATE = f"the record of {FINISHED}", f"the certificate of {CERTIFIED}"
NO_IMPORTS = (check("versions"), check("imports", Outcome.FAILED))
WAIVED = WaivedFinding(finding=NOWHERE, reason="known", expires="2030-01-01")
ON_H100 = Host(hardware="sm_90-x86_64", system="Linux", cpu="", memory_bytes=1)
UNTESTED = "nothing that a signer of the policy signed says that it was tested"
BY_STRANGER = f"'{fingerprint(STRANGER)}'"
FOREIGN = f"was made for {ELSEWHERE}, a repository that the policy does not name"
FUTURE = "the record is of 2030-01-02T04:00:00Z, and now is 2030-01-02T03:04:05Z"
UNPUBLISHED = f"{REPOSITORY}:{TAG[:-12]}{'e' * 12} is absent or names another image"
REPAIR = "whoever publishes it looks for a copy: python -m pipeline repair; else deploy another"


def of(**changes: Any) -> Beside:
    return Beside((record(**changes), certificate()))


def certified(**changes: Any) -> Beside:
    return Beside((record(), certificate(**changes)))


SAID: list[tuple[Beside, dict[str, Any], str, str, str]] = [
    (Beside((certificate(),)), {}, "no-proof", UNTESTED, ANOTHER),
    (
        Beside((record(STRANGER), certificate())),
        {},
        "no-proof",
        f"{UNTESTED}; what lies beside it names as its signer {BY_STRANGER}, whom nobody trusts here",
        ANOTHER,
    ),
    (
        Beside((record(),)),
        {},
        "no-certificate",
        "nothing that a signer of the policy signed says what its files are",
        ANOTHER,
    ),
    (of(repository=ELSEWHERE), {}, "repository-unnamed", f"{OF_RECORD} {FOREIGN}", REVIEW),
    (certified(repository=ELSEWHERE), {}, "repository-unnamed", f"{OF_CERTIFICATE} {FOREIGN}", REVIEW),
    (
        of(cell="none-such"),
        {},
        "unknown-kind",
        f"{OF_RECORD} is of none-such, which is no cell that is known here",
        "use the newest release of this program",
    ),
    (of(**FAILED), {}, "not-passed", f"{OF_RECORD}, signed by team, says FAILED: serve", ANOTHER),
    (
        of(result=Result.FAILED),
        {},
        "not-passed",
        f"{OF_RECORD}, signed by team, says FAILED: no check named",
        ANOTHER,
    ),
    (
        GOOD,
        {"required": {"vllm-cpu": ("serve", "chat", "correct")}},
        "required-missing",
        f"these required checks did not pass in {OF_RECORD}: chat, correct",
        ANOTHER,
    ),
    (
        of(cell=CUDA_CELL.id),
        {},
        "other-hardware",
        f"it needs a GPU, and {OF_RECORD} was made on cpu-amd64",
        ANOTHER,
    ),
    (
        GOOD,
        {"at_least": {"serve": 3}},
        "old-check",
        "serve was tested in version 1, the policy asks for 3",
        ANOTHER,
    ),
    (
        GOOD,
        {"at_least": {"jit": 3}},
        "no-certificate",
        f"{OF_CERTIFICATE} was made by older rules than the policy asks for",
        ANOTHER,
    ),
    (
        of(finished="2029-12-01T00:00:00Z"),
        {"max_age_days": 7},
        "stale",
        "it was proven at 2029-12-01T00:00:00Z, more than 7 days ago",
        ANOTHER,
    ),
    (of(finished="2030-01-02T04:00:00Z"), {}, "from-the-future", FUTURE, "set the clocks right"),
    (
        of(result=Result.WARNED),
        {},
        "flaky",
        f"it passed at {FINISHED}, after it had failed with nothing changed",
        ANOTHER,
    ),
    (of(attempt=4), {"max_attempts": 3}, "attempts", "it passed at attempt 4, the policy allows 3", ANOTHER),
    (
        GOOD.and_also(record(**FAILED, finished=LATER)),
        {},
        "superseded",
        f"it failed later, at {LATER}: serve; signed by team",
        ANOTHER,
    ),
    (
        GOOD.and_also(record(result=Result.WARNED, finished=LATER)),
        {},
        "superseded",
        f"it failed later, at {LATER}: WARNED; signed by team",
        ANOTHER,
    ),
    (
        GOOD.and_also(rehearsal(checks=NO_IMPORTS, finished=LATER)),
        {},
        "rehearsal-failed",
        f"it failed without a GPU already, at {LATER}: imports; signed by team",
        ANOTHER,
    ),
    (
        certified(findings=(NOWHERE,)),
        {},
        "certificate-refused",
        f"{OF_CERTIFICATE}: closure: libx.so.1 is nowhere at /opt/x.so",
        "install it",
    ),
    (
        certified(waived=(WAIVED,)),
        {},
        "exception-ended",
        "the exception for libx.so.1 is nowhere ended on 2030-01-01",
        ANOTHER,
    ),
    (
        of(links=Links((GONE,))),
        {},
        "statement-missing",
        f"1 signed beside it before, and gone: {GONE}",
        REPAIR,
    ),
    (of(build_key="e" * 64), {}, "unpublished", f"no publication names it: {UNPUBLISHED}", ANOTHER),
    (
        of(cell=CUDA_CELL.id, host=ON_H100),
        {"architectures": ("sm_100",), "repositories": {REPOSITORY: "any"}},
        "architecture-unproven",
        "no proof on sm_100 that the policy accepts lies beside it",
        ANOTHER,
    ),
]


@pytest.mark.parametrize(("beside", "asked", "code", "text", "hint"), SAID, ids=[row[2] for row in SAID])
def test_each_reason_names_its_values_and_a_way_out(
    beside: Beside, asked: dict[str, Any], code: str, text: str, hint: str
) -> None:
    reasons = beside.judged(replace(POLICY, **asked)).reasons
    assert (code, text, hint) in [(reason.code, reason.text, reason.hint) for reason in reasons]


def test_a_repository_that_the_policy_does_not_name_is_told_with_those_that_it_names() -> None:
    text = f"the policy names no repository {STAGING}; it names "
    for asked, named in ((POLICY, str(REPOSITORY)), (replace(POLICY, repositories={}), "none")):
        reason = unnamed(STAGING.tagged("x"), asked)
        assert reason
        assert (reason.code, reason.text, reason.hint) == ("repository-unnamed", f"{text}{named}", REVIEW)
    assert unnamed(REPOSITORY.tagged("x"), POLICY) is None


def test_what_would_fill_pages_is_cut() -> None:
    """As many errors of one certificate, and as many statements, as anybody reads."""
    errors = tuple(NOWHERE.model_copy(update={"text": f"lib{number} is nowhere"}) for number in range(30))
    refused = certified(findings=errors).judged()
    assert len(refused.reasons) == MAX_ERRORS
    strange = Beside((record(), certificate(), *(record(STRANGER) for _ in range(30)))).judged()
    assert (strange.accepted, len(strange.rejected)) == (True, MAX_NAMED)


def test_a_rehearsal_that_was_done_again_with_success_is_forgiven() -> None:
    """Of the same cell and repository, and later; any other forgives nothing."""
    failed = rehearsal(checks=NO_IMPORTS, finished=LATER)
    again = rfc3339(NOW + timedelta(minutes=1))
    assert GOOD.and_also(failed, rehearsal(finished=again)).judged().accepted
    for other in (
        {"cell": CUDA_CELL.id, "finished": again},
        {"repository": ELSEWHERE, "finished": again},
        {"finished": LATER},
    ):
        assert not GOOD.and_also(failed, rehearsal(OURS, Links(), **other)).judged().accepted


@pytest.mark.parametrize(("age", "accepted"), [(OLD, True), (OLD + SECOND, False)])
def test_the_oldest_that_is_allowed_is_allowed(age: timedelta, accepted: bool) -> None:
    assert of(finished=rfc3339(NOW - age)).judged().accepted is accepted


@pytest.mark.parametrize(("ahead", "accepted"), [(SKEW, True), (SKEW + SECOND, False)])
def test_a_clock_may_be_a_little_ahead(ahead: timedelta, accepted: bool) -> None:
    assert of(finished=rfc3339(NOW + ahead)).judged().accepted is accepted


@pytest.mark.parametrize(("since", "until", "covered"), [
    ("", "", True), ("2030-01-02", "2030-01-02", True), ("2030-01-03", "", False), ("", "2030-01-01", False),
])  # fmt: skip
def test_both_days_of_a_term_are_in_it(since: str, until: str, covered: bool) -> None:
    entry = signer(OURS, since=since, until=until)
    assert entry.covers("2030-01-02") is covered
    assert entry.term == " ".join(filter(None, (since and f"from {since}", until and f"until {until}")))


def test_the_newest_good_proof_is_named_first() -> None:
    """And the newest certificate."""
    older = (record(finished=EARLIER, proof_key="e" * 64), certificate(created=EARLIER))
    acceptance = GOOD.and_also(*older).judged()
    assert acceptance.certified
    assert [proof.record.finished for proof in acceptance.proofs] == [FINISHED]
    assert acceptance.certified.certificate.created == CERTIFIED
