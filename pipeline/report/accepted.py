"""The answer of a gate in one line, and as JSON: yes or no, what was judged, and by what."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.model import Certified, Declared, Proof, Scanned, certifies, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model import Acceptance, Decision, ImageRef, Statement


def line(acceptance: Acceptance) -> str:
    """Whether an image may be deployed: proven when, on what, signed by whom; or the first reason why not."""
    asked = acceptance.image or acceptance.asked
    if not acceptance.accepted:
        return _no(str(asked), tuple(reason.text for reason in acceptance.reasons))
    proven = "; ".join(f"proven on {one.day} on {one.record.host.hardware}" for one in acceptance.proofs)
    keys = [one.signer for one in acceptance.proofs]
    keys += [acceptance.certified.signer] if acceptance.certified else []
    signers = dict.fromkeys(_signed_by(key, acceptance.names) for key in keys)
    published = f"published as {acceptance.tag}" if acceptance.tag else "not published"
    return f"yes: {asked}: {proven}, signed by {' and '.join(signers)}, {published}"


def line_of_candidate(image: ImageRef, decision: Decision) -> str:
    """The same of whether an image may carry a tag."""
    proof = decision.proof
    if not decision.allowed or proof is None:
        return _no(str(image), tuple(reason.text for reason in decision.reasons))
    record = proof.record
    proven = f"proven on {proof.day} on {record.host.hardware}, signed by {proof.signer}"
    return f"yes: {image} may be published as {record.cell}: {proven}"


def as_json(acceptance: Acceptance) -> dict[str, Any]:
    """All of a decision: what counts for and against, who signed it, and what the newest record certifies."""
    newest = acceptance.proofs[0].record if acceptance.proofs else None
    return {
        **to_json(replace(acceptance, statements=())),
        "accepted": acceptance.accepted,
        "statements": [_said(one, acceptance.names) for one in acceptance.statements],
        "certifies": to_json(certifies(newest)) if newest else None,
    }


def _said(statement: Statement, names: Mapping[str, str]) -> dict[str, str]:
    """What a statement says in a word, and whose it is."""
    if isinstance(statement, Proof):
        kind, says = "record", statement.record.result.value
    elif isinstance(statement, Certified):
        kind, says = "certificate", "PASSED" if statement.certificate.passed else "FAILED"
    elif isinstance(statement, Declared):
        kind, says = "transition", statement.transition.life.value
    elif isinstance(statement, Scanned):
        kind, says = "scan", f"{len(statement.scan.exposures)} weaknesses"
    else:
        kind, says = "rehearsal", "PASSED" if statement.rehearsal.has_passed else "FAILED"
    return {
        "kind": kind,
        "says": says,
        "day": statement.day,
        "manifest": str(statement.manifest),
        "key": statement.signer,
        "name": names.get(statement.signer, ""),
    }


def _no(asked: str, texts: tuple[str, ...]) -> str:
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    return f"no: {asked}: {texts[0]}{more}" if texts else f"no: {asked}"


def _signed_by(key: str, names: Mapping[str, str]) -> str:
    """A signer by the policy's name and the beginning of the key's fingerprint."""
    return f"{names.get(key, 'a key')} ({key[:12]})"
