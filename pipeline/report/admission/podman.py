"""podman, CRI-O, skopeo, Talos: containers-policy.json(5) and containers-registries.d(5).

They read plain signatures and nothing else. Of several requirements all have to be met, so several keys, one
of which is enough, stand in one requirement (``keyDatas``, which skopeo 1.18 reads and 1.9 does not).
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

from pipeline.report.admission import demands

if TYPE_CHECKING:
    from pipeline.model import Policy

POLICY, REGISTRIES = "policy.json", "registries.yaml"


def files(policy: Policy) -> dict[str, str]:
    """What is demanded, and where signatures are looked for; all else is refused."""
    scopes = {repository: [_requirement(policy)] for repository in demands.published(policy)}
    document = {"default": [{"type": "reject"}], "transports": {"docker": scopes}}
    head = demands.head(
        policy,
        "the plain signature of a signer, which `publish` makes of what the gate allows, and `yank`"
        f" and `repair` take away. {POLICY} refuses every image from elsewhere; add what else this"
        " host is to run.",
        "No record is read: neither that the suite passed, nor a later failure. Who may write to the"
        " repository can put an old signature back.",
        demands.NOT_ASKED,
        "Repositories that the policy names as `any` (staging, mirrors) are refused: nothing is"
        " signed plainly for them. More than one signer takes `keyDatas`, which skopeo 1.18 reads and 1.9"
        " does not.",
        f"{POLICY} belongs in /etc/containers, this file in /etc/containers/registries.d.",
    )
    attached = {repository: {"use-sigstore-attachments": True} for repository in scopes}
    return {
        POLICY: json.dumps(document, indent=2) + "\n",
        REGISTRIES: head + demands.documents({"docker": attached}),
    }


def _requirement(policy: Policy) -> dict[str, Any]:
    """One of the keys signed the digest in this repository; the signature names no tag."""
    keys = [base64.b64encode(signer.key.encode()).decode() for signer in policy.signers]
    if not keys:
        return {"type": "reject"}
    given = {"keyData": keys[0]} if len(keys) == 1 else {"keyDatas": keys}
    return {"type": "sigstoreSigned", **given, "signedIdentity": {"type": "matchRepository"}}
