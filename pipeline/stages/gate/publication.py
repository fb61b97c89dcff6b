"""May this candidate be published? By what was recorded of it, today's inputs and today's policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.model import (
    Decision,
    Image,
    Outcome,
    Reason,
    ReasonCode,
    Result,
    Severity,
)
from pipeline.model.speeds import slower
from pipeline.stages.gate.requirements import (
    CLOCK_SKEW,
    MAX_ERRORS,
    MAX_NAMED,
    old_checks,
    old_rules,
    required_checks,
    signed_by_others,
)
from pipeline.stages.gate.scans import rescan, scan_reasons, scan_that_counts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.model import (
        Attestations,
        Basis,
        Cell,
        Certified,
        Digest,
        Host,
        Policy,
        Proof,
        Record,
        Rehearsed,
        Repository,
        Support,
    )


def decide(
    cell: Cell,
    image: Image,
    repository: Repository,
    beside: Attestations,
    *,
    policy: Policy,
    basis: Basis | None,
    inputs: str,
    now: datetime,
    before: Sequence[Proof] = (),
    speed_ratio: float | None = None,
    support: Support | None = None,
) -> Decision:
    """Whether ``image`` may be published as ``cell`` in ``repository``, by what lies beside it.

    ``basis`` is the model, and the user's tests, that count today (None: any), ``inputs`` the key of what is
    expected of this image today, ``now`` is aware of its time zone. The newest proof on that basis, in the
    versions that the policy asks for, decides, or else the newest; a later failure of the image outweighs it,
    of a rehearsal too, and so does a statement that others name and that is gone. ``speed_ratio`` is how many
    times slower it may be than by ``before``, the proofs of its channel's image, ``support`` its last day.
    """
    remedy = f"python -m pipeline verify {cell.id}"
    certified = _current(beside.certificates, image, repository, inputs, policy)
    rehearsed = _rehearsed(cell, image, repository, beside.rehearsals)
    scanned = scan_that_counts(beside, policy, now)
    chosen = _chosen(cell, repository, beside.proofs, policy, basis)
    reasons = [
        *_life_reasons(cell, image, beside, chosen),
        *_image_reasons(cell, image, support, now),
        *_file_reasons(cell, image, repository, certified, now=now),
        *scan_reasons(beside, policy, now, about=f"{cell.id}: ", remedy=rescan(cell)),
        *_rehearsal_reasons(cell, rehearsed, chosen),
        *_missing_reasons(cell, image, beside.missing),
    ]
    if chosen is None:
        reasons.append(_no_proof(cell, image, beside, remedy))
    else:
        reasons += _identity_reasons(cell, image, repository, chosen.record, remedy)
        reasons += _result_reasons(cell, chosen.record, policy, remedy)
        reasons += _flaky_reasons(cell, chosen, beside.proofs, policy, remedy)
        reasons += _today_reasons(cell, chosen.record, policy, basis, now=now, remedy=remedy)
        reasons += _speed_reasons(cell, chosen.record, before, speed_ratio, remedy)
        reasons += _later_failures(chosen, beside.proofs, remedy)
    return Decision(tuple(reasons), chosen, certified, beside.rejected[:MAX_NAMED], rehearsed, scanned)


def holds(
    cell: Cell, digest: Digest, repository: Repository, beside: Attestations, *, policy: Policy, now: datetime
) -> Proof | None:
    """The proof by which a digest may keep the tags of ``cell`` that it has, judged by today's policy.

    Whether it is what today's inputs, checks, tests or model would give is not asked: a published image stays
    published while a newer one is made. Nor is it asked whether another tag was moved back from it. None
    where what lies beside it does not allow a tag.
    """
    chosen = _chosen(cell, repository, beside.proofs, policy, None)
    theirs = [
        certified for certified in beside.certificates if certified.certificate.repository == str(repository)
    ]
    newest = max(theirs, key=lambda certified: certified.order, default=None)
    if newest is None or chosen is None:
        return None
    record = chosen.record
    decision = decide(
        cell,
        Image(cell, repository.at(digest), record.build_key, record.lock),
        repository,
        beside,
        policy=policy,
        basis=None,
        inputs=newest.certificate.inputs,
        now=now,
    )
    against = [reason for reason in decision.reasons if reason.code is not ReasonCode.MOVED_BACK]
    return None if against else decision.proof


def _chosen(
    cell: Cell, repository: Repository, proofs: Sequence[Proof], policy: Policy, basis: Basis | None
) -> Proof | None:
    """The newest proof of this cell, here, by checks and on a basis that count today, if there is one."""
    about = [
        proof
        for proof in proofs
        if (proof.record.cell, proof.record.repository) == (cell.id, str(repository))
    ] or proofs
    todays = [
        proof
        for proof in about
        if basis in (None, proof.record.basis) and not old_checks(cell, proof.record, policy)
    ] or about
    return max(todays, key=lambda proof: proof.order, default=None)


def _life_reasons(cell: Cell, image: Image, beside: Attestations, chosen: Proof | None) -> Iterator[Reason]:
    """What was decided of the digest: it was yanked, or lost a tag that it may have after a newer proof."""
    if yanked := beside.yanked:
        said = yanked.transition
        text = f"{cell.id}: {image.ref.digest} was yanked at {said.at} by {said.actor}: {said.reason}"
        yield Reason(ReasonCode.YANKED, text, "change what it is built from; this digest gets no tag again")
    if chosen and (moved := beside.moved_back_since(chosen)):
        said = moved.transition
        tags = ", ".join(said.tags)
        text = f"{cell.id}: {tags} was moved back from {image.ref.digest} at {said.at} by {said.actor}"
        hint = f"if it is good after all: python -m pipeline verify --fresh {cell.id}, then publish"
        yield Reason(ReasonCode.MOVED_BACK, f"{text}: {said.reason}", hint)


def _no_proof(cell: Cell, image: Image, beside: Attestations, remedy: str) -> Reason:
    """Absence is refusal."""
    text = f"{cell.id}: nothing signed by a trusted key says that {image.ref} was tested"
    return Reason(ReasonCode.NO_PROOF, f"{text}{signed_by_others(beside)}", remedy)


def _image_reasons(cell: Cell, image: Image, support: Support | None, now: datetime) -> Iterator[Reason]:
    """What is against the image itself, whatever was recorded of it: its cell, and that one's last day."""
    if image.cell != cell:
        text = f"{image.ref} was built for {image.cell.id}, not for {cell.id}"
        yield Reason(ReasonCode.OTHER_CELL, text, _again(cell))
    if ended := support_ended(cell.id, support, now):
        yield ended


def support_ended(cell: str, support: Support | None, now: datetime) -> Reason | None:
    """Why a cell gets no new tag any more, where its last day is over."""
    if support is None or now.astimezone(UTC).date() <= support.until:
        return None
    text = f"{cell}: its support ended on {support.until}: {support.reason}"
    hint = "take the cell out of the matrix, or give it another day under `support:`"
    return Reason(ReasonCode.SUPPORT_ENDED, text, hint)


def _again(cell: Cell) -> str:
    """What makes another image."""
    return f"python -m pipeline build {cell.id}"


def _current(
    certificates: Sequence[Certified], image: Image, repository: Repository, inputs: str, policy: Policy
) -> Certified | None:
    """The newest certificate of this very image, for this repository, judged by what counts today.

    That is what is expected of it, and rules of every family, in the versions that the policy asks for.
    """
    fitting = [
        certified
        for certified in certificates
        if (certified.certificate.inputs, certified.certificate.digest, certified.certificate.repository)
        == (inputs, str(image.ref.digest), str(repository))
        and not old_rules(certified.certificate, policy)
    ]
    return max(fitting, key=lambda certified: certified.order, default=None)


def _file_reasons(
    cell: Cell,
    image: Image,
    repository: Repository,
    certified: Certified | None,
    *,
    now: datetime,
) -> Iterator[Reason]:
    """What the certificate says of the image's files: whatever runs once may still lack what others need."""
    if certified is None:
        text = f"{cell.id}: no certificate of {image.ref} for {repository} was judged by what counts today"
        yield Reason(ReasonCode.NO_CERTIFICATE, text, _again(cell))
        return
    certificate = certified.certificate
    for finding in certificate.at(Severity.ERROR)[:MAX_ERRORS]:
        where = f" at {finding.path}" if finding.path else ""
        yield Reason(
            ReasonCode.CERTIFICATE_REFUSED, f"{cell.id}: {finding.rule}: {finding.text}{where}", finding.hint
        )
    today = now.astimezone(UTC).date().isoformat()
    for waived in certificate.waived:
        if waived.expires < today:
            text = f"{cell.id}: the exception for {waived.finding.text} ended on {waived.expires}"
            yield Reason(ReasonCode.EXCEPTION_ENDED, text, "repair it, or give the exception another day")


def _rehearsed(
    cell: Cell, image: Image, repository: Repository, rehearsals: Sequence[Rehearsed]
) -> Rehearsed | None:
    """The newest rehearsal of this very image, as this cell and for this repository."""
    about = (cell.id, str(repository), str(image.ref.digest))
    fitting = [
        rehearsed
        for rehearsed in rehearsals
        if (rehearsed.rehearsal.cell, rehearsed.rehearsal.repository, rehearsed.rehearsal.digest) == about
    ]
    return max(fitting, key=lambda rehearsed: rehearsed.order, default=None)


def _rehearsal_reasons(cell: Cell, newest: Rehearsed | None, chosen: Proof | None) -> Iterator[Reason]:
    """What the newest rehearsal says against the image, unless a newer proof has tried more."""
    if newest is None or newest.rehearsal.has_passed:
        return
    rehearsal = newest.rehearsal
    if chosen is not None and datetime.fromisoformat(chosen.record.finished) > rehearsal.ended:
        return
    failed = "; ".join(f"{check.name}: {check.seen}" for check in rehearsal.not_passed)
    text = f"{cell.id}: failed without a GPU already, at {rehearsal.finished}: {failed or rehearsal.counted}"
    hint = f"mend the image and build it; or python -m pipeline verify --fresh {cell.id} rehearses it again"
    yield Reason(ReasonCode.REHEARSAL_FAILED, text, hint)


def _identity_reasons(
    cell: Cell, image: Image, repository: Repository, record: Record, remedy: str
) -> Iterator[Reason]:
    """What the record is about, against what is to be published."""
    compared = (
        (ReasonCode.OTHER_CELL, "cell", record.cell, cell.id),
        (ReasonCode.OTHER_DIGEST, "digest", record.digest, str(image.ref.digest)),
        (ReasonCode.OTHER_BUILD, "build key", record.build_key, image.build_key),
        (ReasonCode.OTHER_BUILD, "lock", record.lock, image.lock),
        (ReasonCode.OTHER_REPOSITORY, "repository", record.repository, str(repository)),
    )
    for code, name, actual, expected in compared:
        if actual != expected:
            yield Reason(
                code, f"{cell.id}: the record's {name} is {actual}, what is published has {expected}", remedy
            )


def _result_reasons(cell: Cell, record: Record, policy: Policy, remedy: str) -> Iterator[Reason]:
    """What the checks said."""
    passed, failed = record.named(Outcome.PASSED), record.named(Outcome.FAILED)
    if record.result == Result.FAILED:
        yield Reason(ReasonCode.NOT_PASSED, f"{cell.id}: the record of {record.finished} says FAILED", remedy)
    if failed:
        yield Reason(ReasonCode.CHECK_FAILED, f"{cell.id}: these checks failed: {', '.join(failed)}", remedy)
    missing = [name for name in required_checks(cell, policy, record) if name not in passed]
    if missing:
        text = f"{cell.id}: these required checks did not pass: {', '.join(missing)}"
        yield Reason(ReasonCode.REQUIRED_MISSING, text, remedy)
    if cell.needs_gpu and record.host.hardware.startswith("cpu-"):
        text = f"{cell.id}: needs a GPU, and was tested on {record.host.hardware}"
        yield Reason(ReasonCode.OTHER_HARDWARE, text, f"{remedy} on a machine with a GPU")


def _flaky_reasons(
    cell: Cell, chosen: Proof, proofs: Sequence[Proof], policy: Policy, remedy: str
) -> Iterator[Reason]:
    """A pass after a failure with nothing changed: as the record counted, and as is seen beside it.

    Of two runs at once neither counts the other, so what the record says of itself is not enough.
    """
    record = chosen.record
    failed = [
        proof.record.finished
        for proof in proofs
        if proof.record.proof_key == record.proof_key
        and proof.record.result is not Result.PASSED
        and proof.age < chosen.age
    ]
    warned = record.result is Result.WARNED or (failed and record.result is Result.PASSED)
    if warned and not policy.accept_flaky:
        when = f" at {min(failed)}" if failed else " before"
        text = f"{cell.id}: passed at {record.finished}, after it had failed{when} with nothing changed"
        yield Reason(
            ReasonCode.FLAKY, text, f"find out why; or `verify: flaky: accept` in matrix.yaml; then {remedy}"
        )


def _missing_reasons(cell: Cell, image: Image, missing: Sequence[Digest]) -> Iterator[Reason]:
    """Statements that others saw and that are gone: each may have been the one that speaks against it."""
    if missing:
        names = ", ".join(map(str, missing[:MAX_NAMED]))
        text = f"{cell.id}: {len(missing)} signed beside {image.ref} before, and gone: {names}"
        hint = f"python -m pipeline repair {cell.id} looks for a copy; else verify --fresh {cell.id}"
        yield Reason(ReasonCode.STATEMENT_MISSING, text, hint)


def _today_reasons(
    cell: Cell, record: Record, policy: Policy, basis: Basis | None, *, now: datetime, remedy: str
) -> Iterator[Reason]:
    """What has changed since the record was made."""
    for name in old_checks(cell, record, policy):
        made = record.version_of(name)
        how = f"in version {made}" if made else "not at all"
        text = f"{record.cell}: {name} was tested {how}, `verify: at_least:` asks for {policy.at_least[name]}"
        yield Reason(ReasonCode.OLD_CHECK, text, remedy)
    if basis is not None and basis.model != record.model:
        text = f"{record.cell}: tested with the model {record.model}, today's is {basis.model}"
        yield Reason(ReasonCode.OTHER_MODEL, text, remedy)
    if basis is not None and basis.tests != record.tests:
        then, today = record.tests or "none", basis.tests or "none"
        text = f"{record.cell}: tested with your tests of then ({then}), today's are others ({today})"
        yield Reason(ReasonCode.OTHER_TESTS, text, remedy)
    finished = datetime.fromisoformat(record.finished)
    if now - finished > timedelta(days=policy.max_age_days):
        text = f"{record.cell}: tested at {record.finished}, more than {policy.max_age_days} days ago"
        yield Reason(ReasonCode.STALE, text, remedy)
    if finished - now > CLOCK_SKEW:
        present = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"{record.cell}: the record is of {record.finished}, and now is {present}"
        yield Reason(ReasonCode.FROM_THE_FUTURE, text, f"set the clocks right, then {remedy}")


def _speed_reasons(
    cell: Cell, record: Record, before: Sequence[Proof], speed_ratio: float | None, remedy: str
) -> Iterator[Reason]:
    """How much slower it is than the newest that passed of the other image, on such a host as this one's."""
    others = [
        proof
        for proof in before
        if (proof.record.cell, proof.record.result) == (cell.id, Result.PASSED)
        and proof.record.digest != record.digest
        and _class_of(proof.record.host) == _class_of(record.host)
    ]
    newest = max(others, key=lambda proof: proof.order, default=None)
    if speed_ratio is None or newest is None:
        return
    other, measured = newest.record, record.speeds
    for name, then in other.speeds.items():
        now = measured.get(name)
        if now is None:
            text = f"{cell.id}: {name} was not measured; it was {then} in {other.digest}"
            yield Reason(ReasonCode.SLOWER, text, remedy)
        elif (times := slower(name, now, then)) > speed_ratio:
            text = (
                f"{cell.id}: {name} is {now}, in {other.digest} it was {then}: "
                f"at least {times:.2f} times slower, `verify: speed:` allows {speed_ratio:g}"
            )
            hint = f"{remedy} --fresh measures it again, on a host without other work"
            yield Reason(ReasonCode.SLOWER, text, hint)


def _class_of(host: Host) -> tuple[str, str, tuple[str, ...]]:
    """What two hosts have in common of which one is as fast as the other."""
    return host.hardware, host.cpu, host.gpus


def _later_failures(chosen: Proof, proofs: Sequence[Proof], remedy: str) -> Iterator[Reason]:
    """Failures of the same digest that are newer than the proof that decides, whatever suite saw them."""
    for proof in proofs:
        record = proof.record
        same = (record.digest, record.cell) == (chosen.record.digest, chosen.record.cell)
        if proof != chosen and same and record.result == Result.FAILED and proof.age >= chosen.age:
            failed = ", ".join(record.named(Outcome.FAILED)) or "no check named"
            yield Reason(
                ReasonCode.SUPERSEDED, f"{record.cell}: failed later, at {record.finished}: {failed}", remedy
            )
