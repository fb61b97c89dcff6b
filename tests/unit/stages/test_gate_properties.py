"""What holds of the gate before a deployment, whatever was signed and whatever a policy asks."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as some

from pipeline.formats import dsse
from pipeline.model import (
    Certified,
    Declared,
    Demand,
    Digest,
    Host,
    Life,
    Links,
    Outcome,
    Proof,
    Rehearsed,
    Repository,
    Result,
    Scanned,
    ScanTerms,
    Severity,
    Threat,
    WaivedFinding,
)
from pipeline.stages import attest
from tests import builders
from tests.builders import CPU_CELL, CUDA_CELL, HOST, NOW, REPOSITORY, check, rfc3339
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
    record,
    rehearsal,
    scan,
    signer,
    transition,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.model import Policy, Statement

EXAMPLES = settings(max_examples=100)
ELSEWHERE = Repository.parse("registry.example.org/elsewhere")
GONE = Links((Digest(f"sha256:{'e' * 64}"),))
TAGS = (TAG, TAG.replace(CPU_CELL.id, CUDA_CELL.id))
NO_IMPORTS = (check("imports", Outcome.FAILED),)
HOSTS = (
    HOST,
    *(Host(hardware=f"{arch}-x86_64", system="", cpu="", memory_bytes=1) for arch in ("sm_80", "sm_90")),
)
SIGNED = record()
"""Signed once: signatures differ in length, and what is drawn may not depend on that."""
ENDED = WaivedFinding(finding=NOWHERE, reason="known", expires="2029-01-01")

TERMS = ScanTerms(7, Demand(Threat.MEDIUM))

moments = some.integers(0, 4).map(lambda minutes: rfc3339(NOW - timedelta(minutes=minutes)))
places = some.sampled_from([str(REPOSITORY), str(REPOSITORY), str(ELSEWHERE)])
keys = some.sampled_from([OURS, OURS, ROTATED, STRANGER])


def built(make: Callable[..., bytes], **fields: some.SearchStrategy[Any]) -> some.SearchStrategy[Any]:
    """How to sign such a statement; its links and its key are for later."""
    return some.fixed_dictionaries(fields).map(lambda changes: (make, changes))


any_record = built(
    record,
    finished=moments,
    repository=places,
    cell=some.sampled_from([CPU_CELL.id, CPU_CELL.id, CUDA_CELL.id, "none"]),
    host=some.sampled_from(HOSTS),
    proof_key=some.sampled_from(["c" * 64, "d" * 64]),
    attempt=some.integers(1, 3),
    result=some.sampled_from(Result),
    checks=some.lists(
        some.builds(check, some.sampled_from(["serve", "chat"]), some.sampled_from(Outcome)), max_size=2
    ).map(tuple),
)
any_certificate = built(
    certificate,
    created=moments,
    repository=places,
    findings=some.sampled_from([(), (), (NOWHERE,)]),
    waived=some.sampled_from([(), (), (ENDED,)]),
)
any_rehearsal = built(
    rehearsal,
    finished=moments,
    repository=places,
    checks=some.sampled_from([builders.rehearsal().checks, NO_IMPORTS]),
)
any_scan = built(
    scan,
    made=moments,
    modified=some.sampled_from(["2030-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "2029-01-01T00:00:00Z", ""]),
    uncovered=some.sampled_from([(), (), ("Debian:12",)]),
    exposures=some.sampled_from([(), (), (builders.exposure(),), (builders.exposure(threat=Threat.LOW),)]),
)
any_transition = built(transition, at=moments, repository=places, life=some.sampled_from(Life))
against = some.one_of(
    built(transition, at=moments, repository=places, life=some.just(Life.YANKED)),
    built(
        record,
        finished=moments,
        proof_key=some.sampled_from(["c" * 64, "d" * 64]),
        **{name: some.just(value) for name, value in FAILED.items()},
    ),
    built(certificate, created=moments, findings=some.just((NOWHERE,))),
    built(rehearsal, finished=moments, checks=some.just(NO_IMPORTS)),
    built(record, links=some.just(GONE)),
    built(scan, made=moments, exposures=some.just((builders.exposure(),))),
)
policies = some.builds(
    lambda **changes: replace(POLICY, **changes),
    required=some.sampled_from([POLICY.required, {}, dict.fromkeys(POLICY.required, ("serve", "chat"))]),
    accept_flaky=some.booleans(),
    max_attempts=some.sampled_from([None, None, 1, 2]),
    architectures=some.sampled_from([(), ("sm_90",), ("sm_80", "sm_90")]),
    repositories=some.sampled_from(
        [POLICY.repositories, {REPOSITORY: "any"}, {REPOSITORY: "any", ELSEWHERE: "any"}]
    ),
    max_age_days=some.sampled_from([0, 90]),
    scan=some.sampled_from([None, TERMS, TERMS]),
)


@some.composite
def besides(draw: some.DrawFn) -> Beside:
    """What was signed one after the other, each naming the newest before it; some of it is gone by now."""
    keys_of = ((OURS, signer(OURS)), (ROTATED, signer(ROTATED, since="2030-01-02", until="2030-01-02")))
    beside = Beside(draw(some.sampled_from([(), GOOD.bundles])), keys_of)
    any_statement = some.one_of(
        any_record, any_record, any_certificate, any_rehearsal, any_transition, any_scan
    )
    statements = draw(some.lists(any_statement, max_size=5))
    for make, changes in statements:
        links = draw(some.sampled_from([Links(), beside.attestations.links]))
        beside = beside.and_also(make(draw(keys), links, **changes))
    gone = draw(some.sets(some.integers(0, 6), max_size=1))
    return replace(beside, bundles=tuple(body for at, body in enumerate(beside.bundles) if at not in gone))


def accepted(beside: Beside, policy: Policy) -> bool:
    return beside.judged(policy, tags=TAGS).accepted


def speaks_for(statement: Statement, policy: Policy, beside: Beside) -> bool:
    """Whether a statement says good of the image, and accuses nobody of having taken another one away."""
    if not {*statement.links.follows}.isdisjoint(beside.attestations.missing):
        return False
    if isinstance(statement, Rehearsed):
        return statement.rehearsal.has_passed
    if isinstance(statement, Certified):
        return not statement.certificate.at(Severity.ERROR) and not statement.certificate.waived
    if isinstance(statement, Declared):
        return statement.transition.life is not Life.YANKED
    if isinstance(statement, Scanned):
        return not any(not TERMS.demand.spares(one, NOW.date()) for one in statement.scan.exposures)
    is_pass = statement.record.result is Result.PASSED or (
        statement.record.result is Result.WARNED and policy.accept_flaky
    )
    return is_pass and not statement.record.named(Outcome.FAILED)


@EXAMPLES
@given(besides(), policies)
def test_taking_away_what_speaks_for_an_image_never_turns_a_no_into_a_yes(
    beside: Beside, policy: Policy
) -> None:
    by_manifest = {Digest.of(body): body for body in beside.bundles}
    if accepted(beside, policy):
        return
    for statement in beside.attestations.statements:
        if speaks_for(statement, policy, beside):
            assert not accepted(beside.without(by_manifest[statement.manifest]), policy)


@EXAMPLES
@given(besides(), policies, against, some.sampled_from([OURS, ROTATED]))
def test_adding_what_speaks_against_an_image_never_turns_a_no_into_a_yes(
    beside: Beside, policy: Policy, negative: tuple[Callable[..., bytes], dict[str, Any]], key: Any
) -> None:
    make, changes = negative
    assert not accepted(beside.and_also(make(key, **changes)), policy) or accepted(beside, policy)


@EXAMPLES
@given(besides(), policies)
def test_what_is_accepted_has_a_valid_record_over_this_very_digest(beside: Beside, policy: Policy) -> None:
    """Read again by itself: signed by a key that counts, about this digest, and passed."""
    acceptance = beside.judged(policy, tags=TAGS)
    trusted = {dsse.fingerprint(one.public_key()): one.public_key() for one in (OURS, ROTATED)}
    if not acceptance.accepted:
        assert acceptance.reasons
        return
    for proof in acceptance.proofs:
        (body,) = (body for body in beside.bundles if Digest.of(body) == proof.manifest)
        statement, _ = dsse.verify(body, trusted)
        found = attest.read(body, IMAGE.digest, trusted, manifest=proof.manifest)
        assert statement["subject"][0]["digest"] == {"sha256": IMAGE.digest.hex}
        assert isinstance(found, Proof)
        assert found.record.result in (
            {Result.PASSED, Result.WARNED} if policy.accept_flaky else {Result.PASSED}
        )
        assert not found.record.named(Outcome.FAILED)
        assert Repository.parse(found.record.repository) in policy.repositories
        required = policy.required.get("vllm-cpu" if "cpu" in found.record.cell else "vllm-cuda", ())
        assert {*required} <= {*found.record.named(Outcome.PASSED)}


OTHER_DIGEST = f"sha256:{'e' * 64}"
forgeries = some.sampled_from(
    [
        lambda: record(STRANGER),
        lambda: record(digest=OTHER_DIGEST),
        lambda: attest.sign(builders.record(), OURS, predicate=attest.BARE_METAL),
        lambda: attest.sign(builders.record(), OURS, predicate=attest.ANY_IMAGE),
        lambda: dsse.sign(
            attest.statement(builders.record(digest=OTHER_DIGEST)).replace(b"e" * 64, b"f" * 64), OURS
        ),
        lambda: dsse.sign(
            attest.statement(builders.record(**FAILED)).replace(b'"FAILED"', b'"PASSED"', 1), OURS
        ),
        lambda: record(**FAILED),
        lambda: b"{}",
    ]
)


@EXAMPLES
@given(some.lists(forgeries, max_size=4), some.data())
def test_nothing_but_a_valid_record_ever_accepts(
    forged: list[Callable[[], bytes]], data: some.DataObject
) -> None:
    """Not a certificate, a rehearsal, another's word, or a record of ours in which a byte is another one."""
    body = bytearray(SIGNED)
    at = data.draw(some.integers(0, len(body) - 1))
    body[at] ^= data.draw(some.integers(1, 127))
    beside = Beside((certificate(), rehearsal(), *(make() for make in forged)))
    assert not beside.judged(replace(POLICY, accept_flaky=True)).accepted
    whole = beside.and_also(bytes(body)).judged()
    assert not whole.accepted or whole.proofs[0].record == builders.record(), (
        "only what means the same may do"
    )


@EXAMPLES
@given(besides(), policies, some.randoms())
def test_the_order_in_which_a_registry_lists_statements_does_not_matter(
    beside: Beside, policy: Policy, random: Any
) -> None:
    shuffled = random.sample(beside.bundles, len(beside.bundles))
    assert accepted(replace(beside, bundles=tuple(shuffled)), policy) is accepted(beside, policy)
