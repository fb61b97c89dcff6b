"""What a policy accepts for a deployment, and every reason for which it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.formats import dsse
from pipeline.model import Digest, Host, Links, Outcome, Repository, Result, WaivedFinding, canonical
from pipeline.stages import attest
from tests import builders
from tests.builders import CUDA_CELL, NOW, PYTORCH_CELL, REPOSITORY, STAGING, check, rfc3339
from tests.unit.stages.deployed_image import (
    FAILED,
    GOOD,
    IMAGE,
    NOWHERE,
    OURS,
    POLICY,
    ROTATED,
    STRANGER,
    TAG,
    Beside,
    certificate,
    fingerprint,
    record,
    rehearsal,
    signer,
)

if TYPE_CHECKING:
    from pipeline.model import Acceptance, Policy

OTHER = f"sha256:{'e' * 64}"
ELSEWHERE = Repository.parse("registry.example.org/elsewhere")
ON_H100 = Host(hardware="sm_90-x86_64", system="Linux", cpu="", memory_bytes=1)
ON_A100 = Host(hardware="sm_80-x86_64", system="Linux", cpu="", memory_bytes=1)


SERVED_ONLY = (check("serve"), check("chat", Outcome.FAILED))


def codes(acceptance: Acceptance) -> set[str]:
    assert not acceptance.accepted
    return {reason.code for reason in acceptance.reasons}


def ago(**time: float) -> str:
    return rfc3339(NOW - timedelta(**time))


def with_record(**changes: Any) -> Beside:
    return Beside((record(**changes), certificate()))


def with_certificate(**changes: Any) -> Beside:
    return Beside((record(), certificate(**changes)))


def test_a_good_image_is_accepted_by_its_proof_its_certificate_and_its_publication() -> None:
    """The decision names all of it, whose it is, and the policy by its digest."""
    acceptance = GOOD.judged()
    beside = GOOD.attestations
    assert (acceptance.accepted, acceptance.reasons) == (True, ())
    assert (acceptance.proofs, acceptance.certified) == (beside.proofs, beside.certificates[0])
    assert (acceptance.tag, acceptance.image, acceptance.policy) == (TAG, IMAGE, POLICY.digest)
    assert acceptance.names[acceptance.proofs[0].signer] == "team"


def test_what_todays_inputs_are_is_not_asked() -> None:
    """An edit of the matrix, of a lock or of the recipe makes another candidate, and takes nothing back."""
    of_before: dict[str, Any] = {"lock": OTHER, "model": OTHER, "build_key": "e" * 64}
    before = Beside((record(**of_before), certificate(inputs="8" * 64)))
    tag = f"{builders.CPU_CELL.id}-{'e' * 12}"
    assert before.judged(tags=(tag,)).accepted


@pytest.mark.parametrize(
    ("beside", "code"),
    [
        (Beside((certificate(),)), "no-proof"),
        (Beside((record(),)), "no-certificate"),
        (with_record(**FAILED), "not-passed"),
        (with_record(checks=(check("chat"),)), "required-missing"),
        (with_record(result=Result.WARNED, attempt=2), "flaky"),
        (with_record(repository=str(ELSEWHERE)), "repository-unnamed"),
        (with_record(cell="none-such"), "unknown-kind"),
        (with_record(finished=ago(days=90, seconds=1)), "stale"),
        (with_record(finished=ago(minutes=-5, seconds=-1)), "from-the-future"),
        (with_certificate(findings=(NOWHERE,)), "certificate-refused"),
        (with_certificate(repository=str(ELSEWHERE)), "repository-unnamed"),
        (with_certificate(versions={"closure": 1}), "no-certificate"),
        (GOOD.and_also(record(**FAILED, finished=ago(seconds=1))), "superseded"),
        (GOOD.and_also(record(**FAILED, finished=ago(hours=1))), "flaky"),
        (GOOD.and_also(record(**FAILED, proof_key="e" * 64, cell=PYTORCH_CELL.id)), "superseded"),
        (GOOD.and_also(record(**FAILED, proof_key="e" * 64, repository=str(ELSEWHERE))), "superseded"),
        (GOOD.and_also(record(result=Result.WARNED, proof_key="e" * 64, finished=ago())), "superseded"),
        (GOOD.and_also(record(checks=SERVED_ONLY, proof_key="e" * 64, finished=ago())), "superseded"),
        (GOOD.and_also(certificate(findings=(NOWHERE,), created=ago(minutes=1))), "certificate-refused"),
        (
            GOOD.and_also(rehearsal(checks=(check("imports", Outcome.FAILED),), finished=ago(seconds=1))),
            "rehearsal-failed",
        ),
        (Beside((record(STRANGER), certificate())), "no-proof"),
        (Beside((record(), certificate(STRANGER))), "no-certificate"),
        (Beside((record(digest=OTHER), certificate())), "no-proof"),
        (Beside((record(links=Links((Digest(OTHER),))), certificate())), "statement-missing"),
    ],
)  # fmt: skip
def test_one_thing_wrong_is_refused_for_it(beside: Beside, code: str) -> None:
    """With a sentence and what is left to do."""
    acceptance = beside.judged()
    assert code in codes(acceptance)
    assert all(reason.text and reason.hint for reason in acceptance.reasons)


def test_what_is_older_than_the_proof_speaks_no_more() -> None:
    """A failure of something else, a certificate of before, a rehearsal that was done again."""
    failed = record(**FAILED, proof_key="e" * 64, finished=ago(hours=1))
    refused = certificate(findings=(NOWHERE,), created=ago(hours=1))
    rehearsed = rehearsal(checks=(check("imports", Outcome.FAILED),), finished=ago(hours=1))
    assert GOOD.and_also(failed, refused, rehearsed).judged().accepted


def test_a_later_record_that_is_too_little_takes_nothing_from_one_that_is_enough() -> None:
    """Else a statement that speaks for the image would turn a yes into a no, and its loss a no into a yes."""
    short = record(checks=(check("chat"),), finished=ago(seconds=1))
    acceptance = GOOD.and_also(short).judged()
    assert (acceptance.accepted, acceptance.proofs) == (True, GOOD.attestations.proofs)


def test_who_signed_what_does_not_count_is_told() -> None:
    """Where nothing is signed by a signer, the refusal names the key that the others name."""
    acceptance = Beside((record(STRANGER), certificate(STRANGER))).judged()
    (reason, _) = acceptance.reasons
    assert fingerprint(STRANGER) in reason.text
    assert {one.code for one in acceptance.rejected} == {"record-untrusted"}


# -- where ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("repository", [STAGING, ELSEWHERE])
def test_an_image_in_a_repository_that_the_policy_does_not_name_is_refused(repository: Repository) -> None:
    """Also in staging, where the very same statements lie, and where a copy was brought by anybody."""
    assert "repository-unnamed" in codes(GOOD.judged(repository=repository))


def test_staging_counts_where_the_policy_names_it_and_asks_for_no_publication() -> None:
    named = replace(POLICY, repositories={REPOSITORY: "published", STAGING: "any"})
    assert GOOD.judged(named, repository=STAGING, tags=()).accepted
    strict = replace(POLICY, repositories={REPOSITORY: "published", STAGING: "published"})
    assert codes(GOOD.judged(strict, repository=STAGING, tags=())) == {"unpublished"}


def test_repositories_that_promote_from_each_other_share_their_proofs() -> None:
    """A copy beside which the statements were brought, too, is as good as the first."""
    both = replace(POLICY, repositories={REPOSITORY: "published", ELSEWHERE: "published"})
    assert GOOD.judged(both, repository=ELSEWHERE).accepted


def test_an_image_that_no_publication_names_is_refused_where_it_ought_to_be_one() -> None:
    """`repair` takes the tags off what may not have them; a proof alone does not bring them back."""
    assert codes(GOOD.judged(tags=())) == {"unpublished"}
    assert codes(GOOD.judged(tags=("latest", builders.CPU_CELL.id))) == {"unpublished"}


# -- what the policy asks -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("beside", "policy"),
    [
        (with_record(finished=ago(days=100)), {"max_age_days": 101}),
        (with_record(result=Result.WARNED, attempt=2), {"accept_flaky": True}),
        (with_certificate(findings=(NOWHERE,)), {"tolerated": ("closure",)}),
        (GOOD.and_also(record(**FAILED, finished=ago(hours=1))), {"accept_flaky": True}),
    ],
)
def test_a_policy_may_allow_more(beside: Beside, policy: dict[str, Any]) -> None:
    assert codes(beside.judged())
    assert beside.judged(replace(POLICY, **policy)).accepted


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        ({"max_age_days": 0}, "stale"),
        ({"at_least": {"serve": 2}}, "old-check"),
        ({"at_least": {"closure": 2}}, "no-certificate"),
        ({"required": {"vllm-cpu": ("serve", "correct")}}, "required-missing"),
        ({"required": {"vllm-cuda": ("serve",)}}, "required-missing"),
    ],
)
def test_a_policy_may_ask_for_more(policy: dict[str, Any], code: str) -> None:
    """Where it names no check of the cell's kind, all are required."""
    assert codes(GOOD.judged(replace(POLICY, **policy))) == {code}


@pytest.mark.parametrize("attempts", [{"attempt": 3}, {"attempt": 1}])
def test_a_pass_after_too_many_attempts_is_refused(attempts: dict[str, int]) -> None:
    """As the record counts, and as is seen beside it: of two runs at once neither counts the other."""
    failures = [record(**FAILED, finished=ago(hours=hour)) for hour in (1, 2)]
    beside = with_record(**attempts).and_also(*failures)
    often = replace(POLICY, accept_flaky=True, max_attempts=3)
    assert beside.judged(often).accepted
    assert codes(beside.judged(replace(often, max_attempts=2))) == {"attempts"}


def on_gpus(*hosts: Host) -> Beside:
    made = (
        record(cell=CUDA_CELL.id, host=host, proof_key=f"{number}" * 64) for number, host in enumerate(hosts)
    )
    return Beside((*made, certificate()))


CUDA_TAG = f"{CUDA_CELL.id}-{builders.IMAGE.build_key[:12]}"


def judged_for(architectures: tuple[str, ...], beside: Beside) -> Acceptance:
    return beside.judged(replace(POLICY, architectures=architectures), tags=(CUDA_TAG,))


def test_an_image_for_gpus_has_to_be_proven_on_each_architecture_that_is_named() -> None:
    assert judged_for(("sm_90",), on_gpus(ON_H100)).accepted
    assert codes(judged_for(("sm_90", "sm_80"), on_gpus(ON_H100))) == {"architecture-unproven"}
    both = judged_for(("sm_90", "sm_80"), on_gpus(ON_H100, ON_A100))
    assert {proof.record.host for proof in both.proofs} == {ON_H100, ON_A100}
    assert codes(judged_for((), on_gpus(builders.HOST))) == {"other-hardware"}
    assert GOOD.judged(replace(POLICY, architectures=("sm_90",))).accepted, "it is for the CPU"


def test_an_exception_that_has_ended_waives_nothing() -> None:
    """Whenever the certificate was made; and one that has not ended does."""
    for expires, accepted in (("2030-01-01", False), ("2030-01-02", True)):
        waived = WaivedFinding(finding=NOWHERE, reason="known", expires=expires)
        assert with_certificate(waived=(waived,)).judged().accepted is accepted


# -- rotation -------------------------------------------------------------------------------------------


def rotated(beside: Beside, until: str, since: str) -> Beside:
    """The old key counts until a day, the new one from another."""
    return replace(
        beside,
        keys=((OURS, signer(OURS, "old", until=until)), (ROTATED, signer(ROTATED, "new", since=since))),
    )


def test_what_a_retired_key_signed_in_its_time_goes_on_to_count() -> None:
    acceptance = rotated(GOOD, until="2030-01-02", since="2030-01-02").judged()
    assert (acceptance.accepted, acceptance.names[fingerprint(OURS)]) == (True, "old")


def test_what_a_key_signed_outside_its_days_counts_for_nothing() -> None:
    """Neither after its last day nor before its first one; the answer says which days those are."""
    late = rotated(GOOD, until="2030-01-01", since="2030-01-02").judged()
    assert codes(late) == {"no-proof", "no-certificate"}
    assert {reason.code for reason in late.rejected} == {"record-out-of-term"}
    assert all("old until 2030-01-01" in reason.text for reason in late.rejected)
    early = Beside((record(ROTATED), certificate(ROTATED)))
    assert rotated(early, until="2030-01-02", since="2030-01-02").judged().accepted
    assert codes(rotated(early, until="2030-01-02", since="2030-01-03").judged())


def test_a_retired_key_excuses_no_statement_that_is_gone() -> None:
    """A trial says what was lost before it, and goes on without; one that does not count says nothing."""
    gone = Links((Digest(OTHER),))
    found = record(OURS, links=Links(lost=gone.follows), finished=ago(seconds=1))
    new = (record(ROTATED, links=gone, finished=ago(hours=1)), certificate(ROTATED))
    assert rotated(Beside((*new, found)), until="", since="").judged().accepted
    assert "statement-missing" in codes(rotated(Beside((*new, found)), until="2030-01-01", since="").judged())


# -- statements of other types --------------------------------------------------------------------------


@pytest.mark.parametrize("predicate", [attest.BARE_METAL, attest.ANY_IMAGE])
def test_a_record_of_something_else_is_no_proof(predicate: str) -> None:
    strange = attest.sign(builders.record(), OURS, predicate=predicate)
    assert codes(Beside((strange, certificate())).judged()) == {"no-proof"}


def test_a_statement_that_says_yes_in_other_words_is_no_proof() -> None:
    """Signed by our own key: what counts is a record, not a claim."""
    claim = {
        "_type": dsse.STATEMENT,
        "subject": [{"name": str(REPOSITORY), "digest": {"sha256": IMAGE.digest.hex}}],
        "predicateType": "https://slsa.dev/verification_summary/v1",
        "predicate": {"verificationResult": "PASSED"},
    }
    assert codes(Beside((dsse.sign(canonical(claim), OURS), certificate())).judged()) == {"no-proof"}


def test_a_policy_has_the_same_digest_for_the_same_questions_and_another_for_others() -> None:
    """So a decision names what it was made by."""
    assert replace(POLICY).digest == POLICY.digest
    others: list[Policy] = [
        replace(POLICY, max_age_days=1),
        replace(POLICY, repositories={REPOSITORY: "any"}),
        replace(POLICY, signers=(signer(OURS),)),
        replace(POLICY, left_out={"x": frozenset({"serve"})}),
    ]
    assert len({POLICY.digest, *(other.digest for other in others)}) == 5
