"""May this digest carry a tag? A pure function of what was recorded and of today's policy.

It names every reason against it, not only the first. Nothing here reads a clock, a file or a registry.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pipeline.nouns import (
    Cell,
    Certified,
    Decision,
    Image,
    Outcome,
    Policy,
    Proof,
    Reason,
    Repository,
    Result,
    Severity,
    checks_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.nouns import CheckName, Record

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of ours the clock of a machine that made a record may be."""

MOST_ERRORS = 10
"""Errors of a certificate that a refusal names."""


def decide(
    cell: Cell,
    image: Image,
    repository: Repository,
    proofs: Sequence[Proof],
    certificates: Sequence[Certified],
    *,
    policy: Policy,
    suite: str,
    model: str | None,
    inputs: str,
    now: datetime,
    build_key: str | None = None,
) -> Decision:
    """Whether ``image`` may be published as ``cell`` in ``repository``, by these proofs and certificates.

    ``suite`` and ``model`` are the digests that count today (no model: any), ``inputs`` the key of
    what a certificate of this image is judged by today, ``build_key`` the key that today's inputs of
    the cell give (None: the image's own is not questioned), ``now`` is aware of its time zone. The
    proof that decides is the newest that was made with today's suite and model, or else the newest; a
    later failure of the same image outweighs it.
    """
    remedy = f"python -m pipeline verify {cell.id}"
    again = f"python -m pipeline build {cell.id}"
    certified = _current(certificates, image, inputs)
    reasons = [
        *_image_reasons(cell, image, build_key, again),
        *_file_reasons(cell, image, repository, certified, now=now, remedy=again),
    ]
    chosen = _chosen(proofs, suite, model)
    if chosen is None:
        text = f"{cell.id}: nothing signed by a trusted key says that {image.ref} was tested"
        return Decision((*reasons, Reason("no-proof", text, remedy)), certified=certified)
    record = chosen.record
    reasons += _identity_reasons(cell, image, repository, record, remedy)
    reasons += _result_reasons(cell, record, policy, remedy)
    reasons += _today_reasons(record, policy, suite, model, now=now, remedy=remedy)
    reasons += _later_failures(chosen, proofs, remedy)
    return Decision(tuple(reasons), chosen, certified)


def _chosen(proofs: Sequence[Proof], suite: str, model: str | None) -> Proof | None:
    fitting = [one for one in proofs if one.record.suite == suite and model in (None, one.record.model)]
    return max(fitting or proofs, key=_age, default=None)


def _age(proof: Proof) -> tuple[datetime, int]:
    return datetime.fromisoformat(proof.record.finished), proof.record.attempt


def _image_reasons(cell: Cell, image: Image, build_key: str | None, remedy: str) -> Iterator[Reason]:
    """What is against the image itself, whatever was recorded of it."""
    if image.cell != cell:
        yield Reason("other-cell", f"{image.ref} was built for {image.cell.id}, not for {cell.id}", remedy)
    if build_key not in (None, image.build_key):
        text = (
            f"{cell.id}: {image.ref} was built from {image.build_key[:12]}; its inputs now give {build_key}"
        )
        yield Reason("other-build", text, remedy)


def _current(certificates: Sequence[Certified], image: Image, inputs: str) -> Certified | None:
    """The newest certificate of this very image that was judged by what counts today."""
    fitting = [
        one
        for one in certificates
        if one.certificate.inputs == inputs and one.certificate.digest == str(image.ref.digest)
    ]
    return max(fitting, key=lambda one: one.certificate.created, default=None)


def _file_reasons(
    cell: Cell,
    image: Image,
    repository: Repository,
    certified: Certified | None,
    *,
    now: datetime,
    remedy: str,
) -> Iterator[Reason]:
    """What the certificate says of the image's files: whatever runs once may still lack what others need."""
    if certified is None:
        text = f"{cell.id}: no certificate of {image.ref} was judged by what counts today"
        yield Reason("no-certificate", text, remedy)
        return
    certificate = certified.certificate
    if certificate.repository != str(repository):
        text = f"{cell.id}: the certificate is for {certificate.repository}, not for {repository}"
        yield Reason("no-certificate", text, remedy)
    for one in certificate.at(Severity.ERROR)[:MOST_ERRORS]:
        where = f" at {one.path}" if one.path else ""
        yield Reason("certificate-refused", f"{cell.id}: {one.rule}: {one.what}{where}", one.remedy)
    today = now.astimezone(UTC).date().isoformat()
    for waived in certificate.waived:
        if waived.expires < today:
            text = f"{cell.id}: the exception for {waived.finding.what} ended on {waived.expires}"
            yield Reason("exception-ended", text, "repair it, or give the exception another day")


def _identity_reasons(
    cell: Cell, image: Image, repository: Repository, record: Record, remedy: str
) -> Iterator[Reason]:
    """What the record is about, against what is to be published."""
    compared = (
        ("other-cell", "cell", record.cell, cell.id),
        ("other-digest", "digest", record.digest, str(image.ref.digest)),
        ("other-build", "build key", record.build_key, image.build_key),
        ("other-build", "lock", record.lock, image.lock),
        ("other-repository", "repository", record.repository, str(repository)),
    )
    for code, name, seen, expected in compared:
        if seen != expected:
            yield Reason(
                code, f"{cell.id}: the record's {name} is {seen}, what is published has {expected}", remedy
            )


def _result_reasons(cell: Cell, record: Record, policy: Policy, remedy: str) -> Iterator[Reason]:
    """What the checks said."""
    passed, failed = record.named(Outcome.PASSED), record.named(Outcome.FAILED)
    if record.result == Result.FAILED:
        yield Reason("not-passed", f"{cell.id}: the record of {record.finished} says FAILED", remedy)
    if record.result == Result.WARNED and not policy.accept_flaky:
        text = f"{cell.id}: passed at attempt {record.attempt}, after it had failed with nothing changed"
        yield Reason("flaky", text, f"find out why; or `verify: flaky: accept` in matrix.yaml; then {remedy}")
    if failed:
        yield Reason("check-failed", f"{cell.id}: these checks failed: {', '.join(failed)}", remedy)
    missing = [name for name in _required(cell, policy) if name not in passed]
    if missing:
        text = f"{cell.id}: these required checks did not pass: {', '.join(missing)}"
        yield Reason("required-missing", text, remedy)
    if cell.needs_gpu and record.host.hardware.startswith("cpu-"):
        text = f"{cell.id}: needs a GPU, and was tested on {record.host.hardware}"
        yield Reason("other-hardware", text, f"{remedy} on a machine with a GPU")


def _required(cell: Cell, policy: Policy) -> tuple[CheckName, ...]:
    """The checks that the policy asks for, of those that such a cell has; all of these where it names none.

    So nothing is refused for a server that it never had, and nothing gets through because the policy
    speaks of servers only.
    """
    checks = checks_of(cell.vllm)
    return tuple(name for name in checks if name in policy.required) or checks


def _today_reasons(
    record: Record, policy: Policy, suite: str, model: str | None, *, now: datetime, remedy: str
) -> Iterator[Reason]:
    """What has changed since the record was made."""
    if record.suite != suite:
        text = f"{record.cell}: tested by the suite {record.suite}, today's is {suite}"
        yield Reason("other-suite", text, remedy)
    if model not in (None, record.model):
        yield Reason(
            "other-model", f"{record.cell}: tested with the model {record.model}, today's is {model}", remedy
        )
    finished = datetime.fromisoformat(record.finished)
    if now - finished > timedelta(days=policy.max_age_days):
        text = f"{record.cell}: tested at {record.finished}, more than {policy.max_age_days} days ago"
        yield Reason("stale", text, remedy)
    if finished - now > CLOCK_SKEW:
        seen = now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        text = f"{record.cell}: the record is of {record.finished}, and now is {seen}"
        yield Reason("from-the-future", text, f"set the clocks right, then {remedy}")


def _later_failures(chosen: Proof, proofs: Sequence[Proof], remedy: str) -> Iterator[Reason]:
    """Failures of the same digest that are newer than the proof that decides, whatever suite saw them."""
    for one in proofs:
        record = one.record
        same = (record.digest, record.cell) == (chosen.record.digest, chosen.record.cell)
        if one != chosen and same and record.result == Result.FAILED and _age(one) >= _age(chosen):
            failed = ", ".join(record.named(Outcome.FAILED)) or "no check named"
            yield Reason("superseded", f"{record.cell}: failed later, at {record.finished}: {failed}", remedy)
