"""What the gate says, word for word: where, what, and the command that mends it."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import (
    Attestations,
    Basis,
    Decision,
    Digest,
    ImageFinding,
    Outcome,
    Proof,
    Reason,
    ReasonCode,
    Result,
    Severity,
    WaivedFinding,
)
from pipeline.stages.gate import MAX_ERRORS, MAX_NAMED, holds
from tests.builders import LOCK, MODEL, NOW, certified, check, policy, rfc3339
from tests.unit.stages.test_gate import (
    CELL,
    GPU_CELL,
    HERE,
    IMAGE,
    POLICY,
    judge,
    proof,
)

if TYPE_CHECKING:
    from collections.abc import Callable

VERIFY, BUILD = f"python -m pipeline verify {CELL.id}", f"python -m pipeline build {CELL.id}"
OTHER = f"sha256:{'e' * 64}"
ONE_MINUTE_AGO, FIRST = rfc3339(NOW - timedelta(minutes=1)), rfc3339(NOW - timedelta(minutes=4))


THREE_DAYS = policy("serve", max_age_days=3)
TWO_FAILED = (check("serve", Outcome.FAILED), check("chat", Outcome.FAILED))


def finding(number: int = 0, path: str = "/opt/x.so") -> ImageFinding:
    return ImageFinding(
        rule="closure",
        severity=Severity.ERROR,
        path=path,
        text=f"libx.so.{number} is nowhere",
        why="it is needed",
        hint=f"install it {number}",
    )


def later(**changes: Any) -> Proof:
    return proof(**{"finished": rfc3339(NOW), **changes})


FAR_EAST = timezone(timedelta(hours=23))
"""Where it is the next day already."""

FUTURE = NOW + timedelta(minutes=5, seconds=1)

SAID: list[tuple[Callable[[], Decision], str, str, str]] = [
    (
        judge,
        "no-proof",
        f"{CELL.id}: nothing signed by a trusted key says that {IMAGE.ref} was tested",
        VERIFY,
    ),
    (
        lambda: judge(proof(cell=GPU_CELL.id), image=IMAGE, cell=GPU_CELL),
        "other-cell",
        f"{IMAGE.ref} was built for {CELL.id}, not for {GPU_CELL.id}",
        f"python -m pipeline build {GPU_CELL.id}",
    ),
    (
        lambda: judge(proof(), certificates=()),
        "no-certificate",
        f"{CELL.id}: no certificate of {IMAGE.ref} for {HERE} was judged by what counts today",
        BUILD,
    ),
    (
        lambda: judge(proof(), certificates=(certified(findings=(finding(),)),)),
        "certificate-refused",
        f"{CELL.id}: closure: libx.so.0 is nowhere at /opt/x.so",
        "install it 0",
    ),
    (
        lambda: judge(proof(), certificates=(certified(findings=(finding(path=""),)),)),
        "certificate-refused",
        f"{CELL.id}: closure: libx.so.0 is nowhere",
        "install it 0",
    ),
    (
        lambda: judge(
            proof(),
            certificates=(
                certified(waived=(WaivedFinding(finding=finding(), reason="x", expires="2030-01-01"),)),
            ),
        ),
        "exception-ended",
        f"{CELL.id}: the exception for libx.so.0 is nowhere ended on 2030-01-01",
        "repair it, or give the exception another day",
    ),
    *(
        (
            partial(judge, proof(**{name: value})),
            code,
            f"{CELL.id}: the record's {word} is {value}, what is published has {expected}",
            VERIFY,
        )
        for code, name, word, value, expected in (
            ("other-cell", "cell", "cell", GPU_CELL.id, CELL.id),
            ("other-digest", "digest", "digest", OTHER, str(IMAGE.ref.digest)),
            ("other-build", "build_key", "build key", "d" * 64, IMAGE.build_key),
            ("other-build", "lock", "lock", OTHER, LOCK),
            ("other-repository", "repository", "repository", "127.0.0.1:5000/b", str(HERE)),
        )
    ),
    (
        lambda: judge(proof(result=Result.FAILED)),
        "not-passed",
        f"{CELL.id}: the record of {ONE_MINUTE_AGO} says FAILED",
        VERIFY,
    ),
    (
        lambda: judge(proof(checks=(check("serve", Outcome.FAILED), check("correct", Outcome.FAILED)))),
        "check-failed",
        f"{CELL.id}: these checks failed: serve, correct",
        VERIFY,
    ),
    (
        lambda: judge(proof(checks=(check("versions"),))),
        "required-missing",
        f"{CELL.id}: these required checks did not pass: serve, correct",
        VERIFY,
    ),
    (
        lambda: judge(proof(cell=GPU_CELL.id), cell=GPU_CELL),
        "other-hardware",
        f"{GPU_CELL.id}: needs a GPU, and was tested on cpu-amd64",
        f"python -m pipeline verify {GPU_CELL.id} on a machine with a GPU",
    ),
    (
        lambda: judge(proof(result=Result.WARNED)),
        "flaky",
        f"{CELL.id}: passed at {ONE_MINUTE_AGO}, after it had failed before with nothing changed",
        f"find out why; or `verify: flaky: accept` in matrix.yaml; then {VERIFY}",
    ),
    (
        lambda: judge(
            proof(),
            proof(result=Result.FAILED, finished=rfc3339(NOW - timedelta(minutes=3))),
            proof(result=Result.FAILED, finished=FIRST),
        ),
        "flaky",
        f"{CELL.id}: passed at {ONE_MINUTE_AGO}, after it had failed at {FIRST} with nothing changed",
        f"find out why; or `verify: flaky: accept` in matrix.yaml; then {VERIFY}",
    ),
    (
        lambda: judge(proof(), policy=replace(POLICY, at_least={"correct": 2})),
        "old-check",
        f"{CELL.id}: correct was tested in version 1, `verify: at_least:` asks for 2",
        VERIFY,
    ),
    (
        lambda: judge(proof(), policy=replace(POLICY, at_least={"chat": 1})),
        "old-check",
        f"{CELL.id}: chat was tested not at all, `verify: at_least:` asks for 1",
        VERIFY,
    ),
    (
        lambda: judge(proof(), basis=Basis(OTHER)),
        "other-model",
        f"{CELL.id}: tested with the model {MODEL}, today's is {OTHER}",
        VERIFY,
    ),
    (
        lambda: judge(proof(), basis=Basis(MODEL, OTHER)),
        "other-tests",
        f"{CELL.id}: tested with your tests of then (none), today's are others ({OTHER})",
        VERIFY,
    ),
    (
        lambda: judge(proof(), policy=THREE_DAYS, now=NOW + timedelta(days=4)),
        "stale",
        f"{CELL.id}: tested at {ONE_MINUTE_AGO}, more than 3 days ago",
        VERIFY,
    ),
    (
        lambda: judge(proof(finished=rfc3339(FUTURE)), now=NOW.astimezone(FAR_EAST)),
        "from-the-future",
        f"{CELL.id}: the record is of {rfc3339(FUTURE)}, and now is 2030-01-02T03:04:05Z",
        f"set the clocks right, then {VERIFY}",
    ),
    (
        lambda: judge(
            proof(),
            later(
                model=OTHER,
                result=Result.FAILED,
                checks=(check("serve", Outcome.FAILED), check("chat", Outcome.FAILED)),
            ),
        ),
        "superseded",
        f"{CELL.id}: failed later, at {rfc3339(NOW)}: serve, chat",
        VERIFY,
    ),
    (
        lambda: judge(proof(), later(result=Result.FAILED, model=OTHER)),
        "superseded",
        f"{CELL.id}: failed later, at {rfc3339(NOW)}: no check named",
        VERIFY,
    ),
    (
        lambda: judge(proof(), missing=(Digest(OTHER), Digest(LOCK))),
        "statement-missing",
        f"{CELL.id}: 2 signed beside {IMAGE.ref} before, and gone: {OTHER}, {LOCK}",
        f"python -m pipeline repair {CELL.id} looks for a copy; else verify --fresh {CELL.id}",
    ),
]


@pytest.mark.parametrize(("decide", "code", "text", "hint"), SAID)
def test_each_reason_says_what_is_wrong_and_what_mends_it(
    decide: Callable[[], Decision], code: str, text: str, hint: str
) -> None:
    assert Reason(ReasonCode(code), text, hint) in decide().reasons


def test_a_proof_with_todays_model_is_taken_before_a_newer_one_with_another() -> None:
    """The model is asked for when the proof is chosen, not only when it is judged."""
    older = proof(finished=rfc3339(NOW - timedelta(minutes=2)))
    assert judge(older, proof(model=OTHER)).proof == older
    assert judge(older, proof(model=OTHER)).allowed


def test_a_failure_of_the_same_second_is_no_earlier_one() -> None:
    """It outweighs the pass; that the pass were flaky nobody can tell."""
    codes = [one.code for one in judge(proof(), proof(result=Result.FAILED, model=OTHER)).reasons]
    assert codes == ["superseded"]


def test_a_refusal_names_the_certificate_that_was_looked_at() -> None:
    """Also where there is no proof."""
    assert judge().certified == certified()


def test_the_day_on_which_an_exception_ends_is_utcs() -> None:
    """Elsewhere it is the next day already."""
    waived = WaivedFinding(finding=finding(), reason="x", expires="2030-01-02")
    found = certified(waived=(waived,))
    assert judge(proof(), certificates=(found,), now=NOW.astimezone(FAR_EAST)).allowed


def test_a_refusal_names_a_few_of_many() -> None:
    """Errors of a certificate, and statements that are gone."""
    errors = tuple(finding(number) for number in range(MAX_ERRORS + 1))
    refused = judge(proof(), certificates=(certified(findings=errors),))
    assert len(refused.reasons) == MAX_ERRORS
    gone = tuple(Digest(f"sha256:{number:064x}") for number in range(MAX_NAMED + 1))
    (reason,) = judge(proof(), missing=gone).reasons
    assert reason.text.count("sha256:") == MAX_NAMED + 1
    assert f"{MAX_NAMED + 1} signed beside" in reason.text


def test_a_published_digest_is_held_by_its_newest_certificate_and_its_own_record() -> None:
    """An older certificate judged it by other rules; a newer record is of another place."""
    newest = certified(created=rfc3339(NOW), inputs="8" * 64)
    refusing = certified(findings=(finding(),))
    elsewhere = later(repository="127.0.0.1:5000/b", build_key="d" * 64)
    for certificates in ((newest, refusing), (refusing, newest)):
        beside = Attestations((elsewhere, proof()), certificates)
        assert holds(CELL, IMAGE.ref.digest, HERE, beside, policy=POLICY, now=NOW) == proof()


def test_days_and_times_are_utcs_on_a_machine_that_is_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "FAR-22")
    time.tzset()
    try:
        waived = WaivedFinding(finding=finding(), reason="x", expires="2030-01-02")
        assert judge(proof(), certificates=(certified(waived=(waived,)),)).allowed
        (reason,) = judge(proof(finished=rfc3339(FUTURE))).reasons
        assert reason.text.endswith("and now is 2030-01-02T03:04:05Z")
    finally:
        monkeypatch.undo()
        time.tzset()
