"""Has this digest a live proof that a policy accepts? By records, certificate, publication, vetoes and ages.

What speaks for an image does so alone; what speaks against it counts against all that is not newer. So
to take away what speaks for it, or to add what speaks against it, never turns a refusal into a yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from pipeline.compat.explain.question import cell_of
from pipeline.model import (
    Acceptance,
    Certified,
    Outcome,
    Proof,
    Reason,
    ReasonCode,
    Repository,
    Result,
    Severity,
)
from pipeline.stages.gate.requirements import (
    CLOCK_SKEW,
    MAX_ERRORS,
    MAX_NAMED,
    old_checks,
    old_rules,
    required_checks,
    signed_by_others,
)
from pipeline.stages.gate.scans import scan_reasons

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from pipeline.model import (
        Attestations,
        Cell,
        Certificate,
        ImageRef,
        Policy,
        Record,
        Rehearsed,
        Statement,
        TagRef,
    )

ANOTHER = "deploy a digest that is proven, or have this one proven by whoever publishes it"
"""What is left to whoever deploys, where an image lacks something."""

RESCAN = "have it scanned by whoever publishes it: python -m pipeline scan --attach"

REVIEW = "deploy an image that fits the policy, or review the policy"

For = TypeVar("For", Proof, Certified)


def accept(
    asked: ImageRef | TagRef,
    image: ImageRef,
    beside: Attestations,
    *,
    policy: Policy,
    tags: Collection[str],
    now: datetime,
    names: Mapping[str, str] | None = None,
) -> Acceptance:
    """Whether a policy accepts an image for a deployment, by what lies beside it.

    ``tags`` are those of its publications that name it, ``now`` is aware of its time zone, ``names`` are what
    the policy calls its signers by the fingerprints of their keys.
    """
    judge = _Judge(image, beside, policy.as_of(now), tags, now, names or {})
    passed = [proof for proof in beside.proofs if proof not in judge.failures]
    proofs, against = _newest(passed or beside.proofs, judge.against_proof)
    if proofs:
        proofs, against = judge.on_every_architecture(proofs)
    certificates, found = _newest(beside.certificates, judge.against_certificate)
    reasons = (
        *filter(None, (unnamed(image, policy),)),
        *judge.yanked(),
        *judge.missing(),
        *against,
        *(() if beside.proofs else judge.no_proof()),
        *found,
        *(() if beside.certificates else judge.no_certificate()),
        *scan_reasons(beside, policy, now, about="", remedy=RESCAN),
    )
    tag = publication_tag(proofs[0].record) if proofs else ""
    return Acceptance(
        asked,
        image,
        policy.digest,
        reasons,
        proofs=() if reasons else proofs,
        certified=None if reasons else certificates[0],
        tag=tag if tag in tags and not reasons else "",
        rejected=beside.rejected[:MAX_NAMED],
        statements=beside.statements,
        names=judge.names,
    )


def unnamed(ref: ImageRef | TagRef, policy: Policy) -> Reason | None:
    """Why a reference is not looked at: the policy does not name its repository."""
    if ref.repository in policy.repositories:
        return None
    named = ", ".join(map(str, policy.repositories)) or "none"
    text = f"the policy names no repository {ref.repository}; it names {named}"
    return Reason(ReasonCode.REPOSITORY_UNNAMED, text, REVIEW)


def publication_tag(record: Record) -> str:
    """The immutable tag under which what a record is about is published."""
    return f"{record.cell}-{record.build_key[:12]}"


def _newest(
    statements: Sequence[For], against: Callable[[For], Iterator[Reason]]
) -> tuple[tuple[For, ...], tuple[Reason, ...]]:
    """Those that nothing speaks against, the newest first; else what speaks against the newest."""
    ordered = sorted(statements, key=lambda statement: statement.order, reverse=True)
    judged = [(statement, tuple(against(statement))) for statement in ordered]
    good = tuple(statement for statement, reasons in judged if not reasons)
    return good, () if good or not judged else judged[0][1]


@dataclass(frozen=True)
class _Judge:
    """One image, a policy and a moment."""

    image: ImageRef
    beside: Attestations
    policy: Policy
    tags: Collection[str]
    now: datetime
    names: Mapping[str, str]

    def _by(self, statement: Statement) -> str:
        """Who signed a statement, as the policy calls them."""
        return f"signed by {self.names.get(statement.signer, statement.signer)}"

    @cached_property
    def failures(self) -> tuple[Proof, ...]:
        """The records that speak against the image, whatever cell or repository they name."""
        return tuple(proof for proof in self.beside.proofs if self._is_failure(proof.record))

    @cached_property
    def failed_rehearsals(self) -> tuple[Rehearsed, ...]:
        """The same of rehearsals that no later one of the same cell and repository has passed."""
        return tuple(
            failed
            for failed in self.beside.rehearsals
            if not failed.rehearsal.has_passed
            and not any(_outdoes(other, failed) for other in self.beside.rehearsals)
        )

    def _is_failure(self, record: Record) -> bool:
        is_flaky = record.result is Result.WARNED and not self.policy.accept_flaky
        return record.result is Result.FAILED or is_flaky or bool(record.named(Outcome.FAILED))

    # -- what speaks against one proof ----------------------------------------------------------------

    def against_proof(self, proof: Proof) -> Iterator[Reason]:
        """Why a proof does not do."""
        record, cell = proof.record, cell_of(proof.record.cell)
        yield from self._about(record.digest, record.repository, f"the record of {record.finished}")
        if cell is None:
            text = f"the record of {record.finished} is of {record.cell}, which is no cell that is known here"
            yield Reason(ReasonCode.UNKNOWN_KIND, text, "use the newest release of this program")
            return
        yield from self._unpublished(record)
        yield from self._results(cell, proof)
        yield from self._old(cell, record)
        yield from self._failed_before(proof)
        yield from self._failed_later(proof)

    def _about(self, digest: str, repository: str, what: str) -> Iterator[Reason]:
        """What a statement is about, against what is asked."""
        if digest != str(self.image.digest):
            yield Reason(ReasonCode.OTHER_DIGEST, f"{what} is about {digest}", ANOTHER)
        if _repository(repository) not in self.policy.repositories:
            text = f"{what} was made for {repository}, a repository that the policy does not name"
            yield Reason(ReasonCode.REPOSITORY_UNNAMED, text, REVIEW)

    def _unpublished(self, record: Record) -> Iterator[Reason]:
        """Staging has no tags of publications: what lies there counts only where the policy says so."""
        if self.policy.repositories.get(self.image.repository) == "any":
            return
        tag = publication_tag(record)
        if tag not in self.tags:
            text = f"no publication names it: {self.image.repository}:{tag} is absent or names another image"
            yield Reason(ReasonCode.UNPUBLISHED, text, ANOTHER)

    def _results(self, cell: Cell, proof: Proof) -> Iterator[Reason]:
        """What the checks said."""
        record, when = proof.record, f"the record of {proof.record.finished}"
        passed, failed = record.named(Outcome.PASSED), record.named(Outcome.FAILED)
        if record.result is Result.FAILED or failed:
            text = f"{when}, {self._by(proof)}, says FAILED: {', '.join(failed) or 'no check named'}"
            yield Reason(ReasonCode.NOT_PASSED, text, ANOTHER)
        lacking = [name for name in required_checks(cell, self.policy, record) if name not in passed]
        if lacking:
            text = f"these required checks did not pass in {when}: {', '.join(lacking)}"
            yield Reason(ReasonCode.REQUIRED_MISSING, text, ANOTHER)
        if cell.needs_gpu and record.host.hardware.startswith("cpu-"):
            text = f"it needs a GPU, and {when} was made on {record.host.hardware}"
            yield Reason(ReasonCode.OTHER_HARDWARE, text, ANOTHER)

    def _old(self, cell: Cell, record: Record) -> Iterator[Reason]:
        """What has become too old."""
        policy, finished = self.policy, datetime.fromisoformat(record.finished)
        for name in old_checks(cell, record, policy):
            made = f"{name} was tested in version {record.version_of(name)}"
            text = f"{made}, the policy asks for {policy.at_least[name]}"
            yield Reason(ReasonCode.OLD_CHECK, text, ANOTHER)
        if self.now - finished > timedelta(days=policy.max_age_days):
            text = f"it was proven at {record.finished}, more than {policy.max_age_days} days ago"
            yield Reason(ReasonCode.STALE, text, ANOTHER)
        if finished - self.now > CLOCK_SKEW:
            present = self.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            text = f"the record is of {record.finished}, and now is {present}"
            yield Reason(ReasonCode.FROM_THE_FUTURE, text, "set the clocks right")

    def _failed_before(self, proof: Proof) -> Iterator[Reason]:
        """A pass after failures with nothing changed: as the record counted, and as is seen beside it."""
        record, policy = proof.record, self.policy
        before = [
            failure.record
            for failure in self.failures
            if failure.record.proof_key == record.proof_key and failure.age < proof.age
        ]
        if not policy.accept_flaky and (before or record.result is Result.WARNED):
            text = f"it passed at {record.finished}, after it had failed with nothing changed"
            yield Reason(ReasonCode.FLAKY, text, ANOTHER)
        attempts = max(record.attempt - len(record.inconclusive), 1 + len(before))
        if policy.max_attempts is not None and attempts > policy.max_attempts:
            text = f"it passed at attempt {attempts}, the policy allows {policy.max_attempts}"
            yield Reason(ReasonCode.ATTEMPTS, text, ANOTHER)

    def _failed_later(self, proof: Proof) -> Iterator[Reason]:
        """Whatever speaks against the image and is not older."""
        for failure in self.failures:
            if failure != proof and failure.age >= proof.age:
                named = ", ".join(failure.record.named(Outcome.FAILED)) or failure.record.result.value
                text = f"it failed later, at {failure.record.finished}: {named}; {self._by(failure)}"
                yield Reason(ReasonCode.SUPERSEDED, text, ANOTHER)
        for rehearsed in self.failed_rehearsals:
            rehearsal = rehearsed.rehearsal
            if datetime.fromisoformat(proof.record.finished) <= rehearsal.ended:
                named = ", ".join(check.name for check in rehearsal.not_passed) or rehearsal.counted
                when = f"it failed without a GPU already, at {rehearsal.finished}"
                text = f"{when}: {named}; {self._by(rehearsed)}"
                yield Reason(ReasonCode.REHEARSAL_FAILED, text, ANOTHER)

    # -- what speaks against one certificate ------------------------------------------------------------

    def against_certificate(self, certified: Certified) -> Iterator[Reason]:
        """Why a certificate does not do."""
        certificate = certified.certificate
        what = f"the certificate of {certificate.created}"
        yield from self._about(certificate.digest, certificate.repository, what)
        if old_rules(certificate, self.policy):
            text = f"{what} was made by older rules than the policy asks for"
            yield Reason(ReasonCode.NO_CERTIFICATE, text, ANOTHER)
        for other in self.beside.certificates:
            if other == certified or other.certificate.created >= certificate.created:
                yield from self._standing(other.certificate)

    def _standing(self, certificate: Certificate) -> Iterator[Reason]:
        """The errors of a certificate that the policy does not tolerate, and what it waives no more."""
        today = self.now.astimezone(UTC).date().isoformat()
        tolerated = self.policy.tolerated
        errors = (found for found in certificate.at(Severity.ERROR) if found.rule not in tolerated)
        for found in islice(errors, MAX_ERRORS):
            where = f" at {found.path}" if found.path else ""
            text = f"the certificate of {certificate.created}: {found.rule}: {found.text}{where}"
            yield Reason(ReasonCode.CERTIFICATE_REFUSED, text, found.hint)
        for waived in certificate.waived:
            if waived.expires < today and waived.finding.rule not in tolerated:
                text = f"the exception for {waived.finding.text} ended on {waived.expires}"
                yield Reason(ReasonCode.EXCEPTION_ENDED, text, ANOTHER)

    # -- what speaks against the image as a whole ---------------------------------------------------------

    def on_every_architecture(self, good: Sequence[Proof]) -> tuple[tuple[Proof, ...], tuple[Reason, ...]]:
        """The newest of these, with one for each architecture that a cell for GPUs has to be proven on."""
        lacking: tuple[Reason, ...] = ()
        for proof in good:
            of_cell = [other for other in good if other.record.cell == proof.record.cell]
            each = {arch: _on(arch, of_cell) for arch in self._architectures(proof)}
            if all(each.values()):
                return (proof, *(one for one in each.values() if one and one != proof)), ()
            lacking = lacking or tuple(_unproven_on(arch) for arch, found in each.items() if not found)
        return (), lacking

    def _architectures(self, proof: Proof) -> tuple[str, ...]:
        cell = cell_of(proof.record.cell)
        return self.policy.architectures if cell and cell.needs_gpu else ()

    def yanked(self) -> Iterator[Reason]:
        """Whoever published it took it back, for good."""
        if yanked := self.beside.yanked:
            said = yanked.transition
            text = f"it was yanked at {said.at} by {said.actor}: {said.reason}; {self._by(yanked)}"
            yield Reason(ReasonCode.YANKED, text, ANOTHER)

    def missing(self) -> Iterator[Reason]:
        """Statements that others saw and that are gone: each may have been the one that speaks against it."""
        gone = self.beside.missing
        if gone:
            text = f"{len(gone)} signed beside it before, and gone: {', '.join(map(str, gone[:MAX_NAMED]))}"
            hint = "whoever publishes it looks for a copy: python -m pipeline repair; else deploy another"
            yield Reason(ReasonCode.STATEMENT_MISSING, text, hint)

    def no_proof(self) -> Iterator[Reason]:
        """Absence is refusal."""
        text = "nothing that a signer of the policy signed says that it was tested"
        yield Reason(ReasonCode.NO_PROOF, f"{text}{signed_by_others(self.beside)}", ANOTHER)

    def no_certificate(self) -> Iterator[Reason]:
        """Here too."""
        text = "nothing that a signer of the policy signed says what its files are"
        yield Reason(ReasonCode.NO_CERTIFICATE, text, ANOTHER)


def _on(architecture: str, proofs: Sequence[Proof]) -> Proof | None:
    """The first of these that was made on a GPU of this architecture."""
    made = (proof for proof in proofs if proof.record.host.hardware.partition("-")[0] == architecture)
    return next(made, None)


def _unproven_on(architecture: str) -> Reason:
    text = f"no proof on {architecture} that the policy accepts lies beside it"
    return Reason(ReasonCode.ARCHITECTURE_UNPROVEN, text, ANOTHER)


def _outdoes(other: Rehearsed, failed: Rehearsed) -> bool:
    """Whether a rehearsal passed after another one of the same cell and repository had failed."""
    ours, theirs = other.rehearsal, failed.rehearsal
    same = (ours.cell, ours.repository) == (theirs.cell, theirs.repository)
    return same and ours.has_passed and ours.ended > theirs.ended


def _repository(text: str) -> Repository | None:
    try:
        return Repository.parse(text)
    except ValueError:
        return None
