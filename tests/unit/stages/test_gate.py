"""The gate: what it allows, and every reason for which it does not."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some

from pipeline.model import (
    CHECKS,
    Attestations,
    Basis,
    Cell,
    Certified,
    Decision,
    Digest,
    Host,
    Image,
    ImageFinding,
    Outcome,
    Policy,
    Proof,
    Reason,
    ReasonCode,
    Result,
    Severity,
    WaivedFinding,
    checks_of,
)
from pipeline.stages.gate import decide, holds
from tests import builders
from tests.builders import (
    CPU_CELL,
    CUDA_CELL,
    INPUTS,
    MODEL,
    NOW,
    PYTORCH_CELL,
    REPOSITORY,
    certified,
    check,
    passed,
    rfc3339,
)

CELL, GPU_CELL, IMAGE = CPU_CELL, CUDA_CELL, builders.IMAGE
HERE = REPOSITORY
POLICY = builders.policy("serve", "correct")


def proof(**changes: Any) -> Proof:
    """A proof with nothing against it, a minute old, but for the changes."""
    return builders.proof(**{"checks": passed(("serve", "correct")), **changes})


def judge(
    *proofs: Proof,
    image: Image = IMAGE,
    cell: Cell = CELL,
    certificates: tuple[Certified, ...] | None = None,
    missing: tuple[Digest, ...] = (),
    rejected: tuple[Reason, ...] = (),
    **changes: Any,
) -> Decision:
    given_: dict[str, Any] = {
        "policy": POLICY,
        "basis": Basis(MODEL),
        "inputs": INPUTS,
        "now": NOW,
    }
    found = (certified(image),) if certificates is None else certificates
    return decide(cell, image, HERE, Attestations(proofs, found, rejected, missing), **{**given_, **changes})


def codes(decision: Decision) -> set[str]:
    return {reason.code for reason in decision.reasons}


def test_a_good_proof_is_allowed() -> None:
    """Nothing against it, so the decision names the proof and no reason."""
    good = proof()
    assert judge(good) == Decision((), good, certified())


def test_without_a_proof_nothing_is_allowed() -> None:
    """Absence is refusal."""
    decision = judge()
    assert (decision.allowed, codes(decision)) == (False, {"no-proof"})


OTHER = f"sha256:{'e' * 64}"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"cell": "vllm0.31.0-torch2.13.0-cpu-py3.11"}, "other-cell"),
        ({"digest": OTHER}, "other-digest"),
        ({"build_key": "e" * 64}, "other-build"),
        ({"lock": OTHER}, "other-build"),
        ({"repository": "127.0.0.1:5000/elsewhere"}, "other-repository"),
        ({"result": Result.FAILED}, "not-passed"),
        ({"result": Result.WARNED, "attempt": 2}, "flaky"),
        ({"checks": (check("serve"),)}, "required-missing"),
        ({"checks": (check("serve"), check("correct", Outcome.INCONCLUSIVE))}, "required-missing"),
        ({"checks": ()}, "required-missing"),
        ({"checks": (check("serve"), check("correct"), check("limits", Outcome.FAILED))}, "check-failed"),
        ({"model": OTHER}, "other-model"),
        ({"finished": rfc3339(NOW - timedelta(days=90, seconds=1))}, "stale"),
        ({"finished": rfc3339(NOW + timedelta(minutes=5, seconds=1))}, "from-the-future"),
    ],
)
def test_one_thing_wrong_is_one_reason(changes: dict[str, Any], code: str) -> None:
    """Each fault of a record is refused for exactly its own reason, with the command that mends it."""
    decision = judge(proof(**changes))
    assert (decision.allowed, codes(decision)) == (False, {code})
    assert all(f"verify {CELL.id}" in reason.hint for reason in decision.reasons)


def test_zero_checks_are_refused_even_where_none_is_required() -> None:
    """A suite that ran nothing proved nothing."""
    assert codes(judge(proof(checks=()), policy=Policy())) == {"required-missing"}


@pytest.mark.parametrize(
    "finished", [NOW - timedelta(days=90), NOW + timedelta(minutes=5)], ids=["oldest", "newest"]
)
def test_the_limits_of_age_are_inside(finished: datetime) -> None:
    """Exactly as old as allowed, or as far ahead as clocks may differ, is allowed."""
    assert judge(proof(finished=rfc3339(finished))).allowed


def test_every_reason_is_given() -> None:
    """Four things wrong are four reasons, not the first one."""
    bad = proof(
        result=Result.FAILED,
        model=OTHER,
        repository="127.0.0.1:5000/x",
        finished=rfc3339(NOW - timedelta(days=99)),
    )
    assert codes(judge(bad)) == {"not-passed", "other-model", "other-repository", "stale"}


def test_a_flaky_proof_is_allowed_where_the_policy_says_so() -> None:
    """The record stays the same; the policy of today judges it."""
    assert judge(proof(result=Result.WARNED), policy=replace(POLICY, accept_flaky=True)).allowed


def test_a_pass_after_the_machine_failed_is_not_flaky() -> None:
    """What was wrong with a machine speaks against no image; the record tells it all the same."""
    assert judge(proof(inconclusive=(builders.LOST,), attempt=2)).allowed


@pytest.mark.parametrize("version", [1, 2])
def test_a_later_failure_outweighs_a_pass(version: int) -> None:
    """Whatever version saw it: an image that was seen to fail after it had passed gets no tag."""
    failed = proof(result=Result.FAILED, versions={"serve": version, "correct": 1})
    passed = proof(finished=rfc3339(NOW - timedelta(hours=2)))
    assert codes(judge(passed, failed)) & {"superseded", "not-passed"}


@pytest.mark.parametrize("result", [Result.FAILED, Result.WARNED])
def test_flaky_is_what_the_evidence_shows_not_what_a_record_says_of_itself(result: Result) -> None:
    """Of two runs at once neither counts the other: each calls itself the first attempt."""
    failed = proof(result=result, finished=rfc3339(NOW - timedelta(minutes=1, seconds=1)))
    assert codes(judge(failed, proof())) == {"flaky"}
    assert judge(failed, proof(), policy=replace(POLICY, accept_flaky=True)).allowed


def test_an_earlier_failure_of_other_inputs_does_not() -> None:
    """Other versions, another model or kind of machine saw it: it is no attempt at the same."""
    failed = proof(result=Result.FAILED, proof_key="e" * 64, finished=rfc3339(NOW - timedelta(hours=2)))
    assert judge(failed, proof()).allowed


def test_a_failure_of_the_same_second_outweighs_a_pass() -> None:
    """Nobody knows which came last."""
    failed = proof(result=Result.FAILED, proof_key="e" * 64, model=OTHER)
    assert codes(judge(proof(), failed)) == {"superseded"}


def test_a_failure_of_another_cell_is_not_held_against_this_one() -> None:
    """One digest may be two cells' image; what one asks of it, the other may not."""
    failed = proof(result=Result.FAILED, cell=GPU_CELL.id, finished=rfc3339(NOW))
    assert judge(proof(), failed).allowed


@pytest.mark.parametrize("changes", [{"repository": "127.0.0.1:5000/elsewhere"}, {"cell": GPU_CELL.id}])
def test_a_newer_record_for_another_place_or_cell_does_not_hide_ours(changes: dict[str, str]) -> None:
    """The proof that decides is one of this cell for this repository, if there is one."""
    ours = proof(finished=rfc3339(NOW - timedelta(hours=2)))
    assert judge(proof(**changes), ours) == Decision((), ours, certified())


def test_any_model_counts_where_none_is_named() -> None:
    """No model is asked for, so none is wrong."""
    assert judge(proof(model=OTHER), basis=None).allowed
    assert codes(judge(proof(model=OTHER))) == {"other-model"}


def test_a_statement_that_others_saw_and_that_is_gone_refuses() -> None:
    """It may have been the one that says FAILED; the reason names it, and both ways out."""
    (reason,) = judge(proof(), missing=(Digest(OTHER),)).reasons
    assert (reason.code, OTHER in reason.text) == ("statement-missing", True)
    assert f"repair {CELL.id}" in reason.hint
    assert f"verify --fresh {CELL.id}" in reason.hint


def test_what_counts_for_nothing_is_told_and_refuses_nothing() -> None:
    """A stranger's statement neither helps nor harms; whoever asks is told of it."""
    strange = Reason(ReasonCode.RECORD_UNTRUSTED, "signed by another", "trust it")
    decision = judge(proof(), rejected=(strange,))
    assert (decision.allowed, decision.rejected) == (True, (strange,))


def test_statements_that_a_stranger_signed_are_named_with_their_key_where_nobody_else_signed() -> None:
    """A machine without a key trusts nobody: "no proof" alone would say that nothing was ever tried."""
    beside = Attestations(strangers=("'3f2a'",))
    decision = decide(CELL, IMAGE, HERE, beside, policy=POLICY, basis=Basis(MODEL), inputs=INPUTS, now=NOW)
    (text,) = (reason.text for reason in decision.reasons if reason.code == "no-proof")
    assert text.endswith("; what lies beside it names as its signer '3f2a', whom nobody trusts here")


# -- the tags that a digest has ---------------------------------------------------------------------


def held(*proofs: Proof, certificates: tuple[Certified, ...] | None = None) -> Proof | None:
    """The proof by which a digest keeps its tags."""
    beside = Attestations(proofs, (certified(),) if certificates is None else certificates)
    return holds(CELL, IMAGE.ref.digest, HERE, beside, policy=POLICY, now=NOW)


def test_a_published_digest_keeps_its_tags_whatever_todays_inputs_are() -> None:
    """Other versions, model, lock or recipe are a reason to make a new image, none to take tags away."""
    older = proof(suite=OTHER, model=OTHER, build_key="e" * 64, lock=OTHER)
    assert held(older, certificates=(certified(inputs="8" * 64),)) == older


@pytest.mark.parametrize(
    "changes",
    [
        {"result": Result.FAILED},
        {"repository": "127.0.0.1:5000/elsewhere"},
        {"digest": OTHER},
        {"cell": GPU_CELL.id},
        {"checks": (check("serve"),)},
        {"finished": rfc3339(NOW - timedelta(days=91))},
    ],
)
def test_a_digest_without_a_live_proof_keeps_none(changes: dict[str, Any]) -> None:
    """What today's policy refuses, it refuses of a published digest too."""
    assert held(proof(**changes)) is None


def test_a_digest_without_a_certificate_for_this_repository_keeps_none() -> None:
    """Neither none at all nor one for elsewhere; and one for elsewhere does not hide ours."""
    foreign = certified(repository="127.0.0.1:5000/other", created=rfc3339(NOW))
    assert held(proof(), certificates=()) is None
    assert held(proof(), certificates=(foreign,)) is None
    assert held(proof(), certificates=(foreign, certified())) == proof()
    assert held() is None


def test_an_image_of_another_cell_is_refused() -> None:
    """The cell's own id is compared, not only the record's."""
    assert "other-cell" in codes(judge(proof(), image=replace(IMAGE, cell=GPU_CELL)))


def test_a_cuda_cell_needs_a_gpu() -> None:
    """A record from a machine without one proves nothing about a CUDA cell."""
    image = replace(IMAGE, cell=GPU_CELL)
    on_cpu = judge(proof(cell=GPU_CELL.id), image=image, cell=GPU_CELL)
    host = Host(hardware="sm_90-amd64", system="Linux", cpu="", memory_bytes=1)
    on_gpu = judge(proof(cell=GPU_CELL.id, host=host), image=image, cell=GPU_CELL)
    assert (codes(on_cpu), on_gpu.allowed) == ({"other-hardware"}, True)


def judge_pytorch_alone(*names: str, required: tuple[str, ...] = CHECKS) -> Decision:
    """What is said of a cell without vLLM whose record names these checks, all passed."""
    proven = proof(cell=PYTORCH_CELL.id, checks=tuple(map(check, names)), versions=dict.fromkeys(names, 1))
    image = replace(IMAGE, cell=PYTORCH_CELL)
    return judge(proven, image=image, cell=PYTORCH_CELL, policy=builders.policy(*required))


def test_a_cell_without_a_server_is_not_refused_for_want_of_one() -> None:
    """A policy that requires every check requires those that such a cell has."""
    assert judge_pytorch_alone(*checks_of(PYTORCH_CELL)).allowed


@pytest.mark.parametrize("missing", checks_of(PYTORCH_CELL))
def test_each_check_of_a_cell_without_a_server_is_required(missing: str) -> None:
    """Also those that a cell with vLLM does not have."""
    decision = judge_pytorch_alone(*(name for name in checks_of(PYTORCH_CELL) if name != missing))
    assert (decision.allowed, codes(decision)) == (False, {"required-missing"})
    assert f"did not pass: {missing}" in decision.reasons[0].text


def test_a_cell_with_vllm_is_not_asked_for_the_checks_of_another_kind() -> None:
    """Its own are enough."""
    proven = proof(checks=tuple(map(check, checks_of(CELL))))
    assert judge(proven, policy=builders.policy(*CHECKS)).allowed


def test_a_policy_that_speaks_of_servers_only_leaves_all_checks_required_where_there_is_none() -> None:
    """Else a cell without vLLM would get its tag for nothing."""
    assert codes(judge_pytorch_alone("versions", required=("serve", "chat"))) == {"required-missing"}
    assert judge_pytorch_alone(*checks_of(PYTORCH_CELL), required=("serve", "chat")).allowed


@given(some.permutations(range(4)))
def test_the_order_of_the_proofs_does_not_matter(order: list[int]) -> None:
    """Proofs come as the registry lists them; the decision is the same."""
    hours = [proof(finished=rfc3339(NOW - timedelta(hours=hour))) for hour in range(1, 5)]
    assert judge(*(hours[index] for index in order)) == judge(*hours)


# -- the certificate --------------------------------------------------------------------------------

MISSING = ImageFinding(
    rule="closure",
    severity=Severity.ERROR,
    path="/opt/venv/lib/x.so",
    text="libcudart.so.12 is nowhere",
    why="it does not load",
    hint="install it",
)


@pytest.mark.parametrize(
    "certificates",
    [
        (),
        (certified(inputs="8" * 64),),
        (certified(digest=OTHER),),
        (certified(repository="127.0.0.1:5000/other"),),
    ],
    ids=["none", "judged by other rules", "of another image", "for another repository"],
)
def test_without_a_certificate_of_today_nothing_is_allowed(certificates: tuple[Certified, ...]) -> None:
    """Absence is refusal here too."""
    assert codes(judge(proof(), certificates=certificates)) == {"no-certificate"}


def test_an_error_in_the_files_outweighs_a_run_that_went_well() -> None:
    """It may run here and not there; the refusal says what is wrong, where, and the remedy."""
    decision = judge(proof(), certificates=(certified(findings=(MISSING,)),))
    (reason,) = decision.reasons
    assert (decision.allowed, reason.code, reason.hint) == (False, "certificate-refused", "install it")
    assert "closure: libcudart.so.12 is nowhere at /opt/venv/lib/x.so" in reason.text


@pytest.mark.parametrize("severity", [Severity.WARNING, Severity.NOTE])
def test_a_warning_in_the_files_refuses_nothing(severity: Severity) -> None:
    finding = MISSING.model_copy(update={"severity": severity})
    assert judge(proof(), certificates=(certified(findings=(finding,)),)).allowed


@pytest.mark.parametrize(("expires", "allowed"), [("2030-01-02", True), ("2030-01-01", False)])
def test_an_exception_counts_until_its_last_day(expires: str, allowed: bool) -> None:
    waived = WaivedFinding(finding=MISSING, reason="known", expires=expires)
    decision = judge(proof(), certificates=(certified(waived=(waived,)),))
    assert decision.allowed is allowed
    assert codes(decision) <= {"exception-ended"}


def test_the_newest_certificate_counts() -> None:
    older = certified(findings=(MISSING,), created=rfc3339(NOW - timedelta(hours=1)))
    assert judge(proof(), certificates=(older, certified())).certified == certified()
