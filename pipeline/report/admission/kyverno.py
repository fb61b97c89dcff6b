"""Kyverno: a ClusterPolicy with verifyImages (kyverno.io/v1), for versions from 1.13 on.

Its own rules: every entry that matches an image has to hold, one attestor of each is enough by ``count``, and
*every* attestation of the type that such a key signed has to meet the conditions (kyverno/kyverno,
pkg/engine/internal/imageverifier.go). Conditions see the predicate alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.formats.dsse import RECORD, TEST_RESULT
from pipeline.model import Result
from pipeline.report.admission import demands

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.model import Policy, Signer

FILE = "kyverno.yaml"


def files(policy: Policy) -> dict[str, str]:
    """The one file: a published image is signed plainly, and each record says that it passed."""
    head = demands.head(
        policy,
        "the plain signature of a signer, made by `publish` and taken away by `yank` and `repair`,"
        f" and records by a signer, for the repositories alone, each of which says {Result.PASSED}.",
        "Every record of the signer counts here: one that failed, also before, refuses the image,"
        " whatever passed since. Who may write to the repository can put an old signature back.",
        demands.NOT_ASKED,
        "Kyverno 1.13 or newer; it reads other registries than on https only where it is told to"
        " (allowInsecureRegistry).",
    )
    attestors = [{"count": 1, "entries": [_entry(one) for one in policy.signers]}]
    passed = {
        **_image_rule(demands.every(policy)),
        "attestations": [
            {"type": TEST_RESULT, "attestors": attestors, "conditions": [{"all": _conditions(policy)}]}
        ],
    }
    signed = {**_image_rule(demands.published(policy)), "attestors": attestors}
    rules = [signed, passed] if demands.published(policy) else [passed]
    document = {
        "apiVersion": "kyverno.io/v1",
        "kind": "ClusterPolicy",
        "metadata": {"name": demands.NAME},
        "spec": {
            "background": False,
            "webhookConfiguration": {"failurePolicy": "Fail", "timeoutSeconds": 30},
            "rules": [
                {
                    "name": "proven",
                    "match": {"any": [{"resources": {"kinds": ["Pod"]}}]},
                    "verifyImages": rules,
                }
            ],
        },
    }
    return {FILE: head + demands.documents(document)}


def _image_rule(repositories: Iterable[str]) -> dict[str, Any]:
    """A tag is resolved once, and the digest is what runs."""
    return {
        "type": "Cosign",
        "imageReferences": demands.globs(repositories),
        "failureAction": "Enforce",
        "mutateDigest": True,
        "verifyDigest": True,
        "required": True,
    }


def _entry(signer: Signer) -> dict[str, Any]:
    """A key, and no transparency log: nothing of ours is in one."""
    return {
        "keys": {
            "publicKeys": signer.key,
            "signatureAlgorithm": "sha256",
            "rekor": {"ignoreTlog": True},
            "ctlog": {"ignoreSCT": True},
        }
    }


def _conditions(policy: Policy) -> list[dict[str, Any]]:
    return [
        {"key": "{{ result }}", "operator": "Equals", "value": str(Result.PASSED)},
        {
            "key": f"{{{{ {RECORD}.repository }}}}",
            "operator": "AnyIn",
            "value": list(demands.every(policy)),
        },
    ]
