"""The answer of a gate in one line, and as JSON: yes or no, what was judged, and by what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.model import certifies, to_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.model import Acceptance, Decision, ImageRef, Statement


def line(acceptance: Acceptance) -> str:
    """Whether an image may be deployed: proven when, on what, signed by whom; or the first reason why not."""
    asked = acceptance.image or acceptance.asked
    if not acceptance.accepted:
        return _no(str(asked), tuple(reason.text for reason in acceptance.reasons))
    proven = "; ".join(f"proven on {one.day} on {one.record.host.hardware}" for one in acceptance.proofs)
    signers = dict.fromkeys(_signed_by(one.signer, acceptance.names) for one in _statements(acceptance))
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
    """All of a decision, with whose statements it is by and what the newest record certifies."""
    newest = acceptance.proofs[0].record if acceptance.proofs else None
    return {
        **to_json(acceptance),
        "accepted": acceptance.accepted,
        "signed": [
            {
                "manifest": str(one.manifest),
                "day": one.day,
                "key": one.signer,
                "name": acceptance.names.get(one.signer, ""),
            }
            for one in _statements(acceptance)
        ],
        "certifies": to_json(certifies(newest)) if newest else None,
    }


def _no(asked: str, texts: tuple[str, ...]) -> str:
    more = f" (and {len(texts) - 1} more)" if len(texts) > 1 else ""
    return f"no: {asked}: {texts[0]}{more}" if texts else f"no: {asked}"


def _statements(acceptance: Acceptance) -> tuple[Statement, ...]:
    return (*acceptance.proofs, *filter(None, (acceptance.certified,)))


def _signed_by(key: str, names: Mapping[str, str]) -> str:
    """A signer by the policy's name and the beginning of the key's fingerprint."""
    return f"{names.get(key, 'a key')} ({key[:12]})"
