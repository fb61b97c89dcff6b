"""What the gate decided, as SLSA's verification summary (https://slsa.dev/spec/v1.1/verification_summary).

Whoever trusts the key that signed it need read no record and hold no policy of their own. It is of one
moment: that an image was taken back later is not in it.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING

from pipeline.model import PROJECT, Document, DocumentKind, canonical
from pipeline.stages.documents import purls

if TYPE_CHECKING:
    from pipeline.model import Decision, Digest, ImageRef

LEVEL = f"{PROJECT.upper()}_PROVEN"
"""What was verified: by inference in the image, and by its files. It is no level of SLSA's."""


def verifier_of(signer: str) -> str:
    """The gate of whoever signs with the key of this fingerprint."""
    return f"urn:{PROJECT}:gate:{signer}"


def summary(image: ImageRef, decision: Decision, policy: Digest, moment: str, signer: str) -> Document:
    """That the gate allowed an image, where it is published, by this policy and these statements.

    ``moment`` is RFC 3339, ``signer`` the fingerprint of the key that signs it. Raises ValueError for a
    decision that allows nothing: a refusal needs no summary, absence is one.
    """
    if not decision.allowed or decision.proof is None or decision.certified is None:
        raise ValueError(f"{image} is not allowed")
    scanned = (decision.scanned.manifest,) if decision.scanned else ()
    inputs = (decision.proof.manifest, decision.certified.manifest, *scanned)
    predicate = {
        "verifier": {"id": verifier_of(signer), "version": {PROJECT: version(PROJECT)}},
        "timeVerified": moment,
        "resourceUri": str(purls.of_image(image)),
        "policy": {"uri": f"urn:{PROJECT}:policy:{policy.hex}", "digest": {"sha256": policy.hex}},
        "inputAttestations": [
            {"uri": str(image.repository.at(manifest)), "digest": {"sha256": manifest.hex}}
            for manifest in inputs
        ],
        "verificationResult": "PASSED",
        "verifiedLevels": [LEVEL],
        "slsaVersion": "1.1",
    }
    return Document(DocumentKind.SUMMARY, str(image.digest), moment, canonical(predicate).decode())


def says_the_same(one: Document, other: Document) -> bool:
    """Whether two summaries are of the same decision, made at whatever time."""
    first, second = ({**json.loads(text), "timeVerified": ""} for text in (one.text, other.text))
    return bool(first == second)
