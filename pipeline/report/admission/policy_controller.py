"""sigstore's policy-controller: two ClusterImagePolicies (v1beta1), and both have to hold.

Its own rules: every policy whose pattern matches an image has to be satisfied, each by one of its
authorities, and of attestations of one type one that satisfies the CUE is enough. An authority with a key and
no ``ctlog`` asks for no transparency log (sigstore/policy-controller, pkg/webhook/validator.go).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pipeline.formats.dsse import RECORD, TEST_RESULT
from pipeline.model import Result
from pipeline.report.admission import demands

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.model import Policy, Signer

FILE = "policy-controller.yaml"


def files(policy: Policy) -> dict[str, str]:
    """The one file: an image is signed plainly, where it was published, and a record says that it passed."""
    head = demands.head(
        policy,
        "the plain signature of a signer, made by `publish` and taken away by `yank` and `repair`,"
        f" and a record by a signer, for one of the repositories, that says {Result.PASSED}.",
        "A record that failed later is no veto here: it is one when `repair` takes the signature"
        " away. Who may write to the repository can put an old signature back.",
        demands.NOT_ASKED,
        "Label each namespace where it is to hold: policy.sigstore.dev/include=true.",
    )
    signed = _policy("signed", demands.published(policy), [_authority(one) for one in policy.signers])
    attested = [
        {"name": "passed", "predicateType": TEST_RESULT, "policy": {"type": "cue", "data": cue(policy)}}
    ]
    proven = _policy(
        "passed",
        demands.every(policy),
        [{**_authority(one), "attestations": attested} for one in policy.signers],
    )
    both = (signed, proven) if demands.published(policy) else (proven,)
    return {FILE: head + demands.documents(*both)}


def cue(policy: Policy) -> str:
    """What a statement has to say, in CUE, which is laid over the JSON of it."""
    repositories = " | ".join(json.dumps(repository) for repository in demands.every(policy))
    return (
        f"predicateType: {json.dumps(TEST_RESULT)}\n"
        "predicate: {\n"
        f"  result: {json.dumps(Result.PASSED)}\n"
        f"  {RECORD}: repository: {repositories}\n"
        "}\n"
    )


def _policy(what: str, repositories: Iterable[str], authorities: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "apiVersion": "policy.sigstore.dev/v1beta1",
        "kind": "ClusterImagePolicy",
        "metadata": {"name": f"{demands.NAME}-{what}"},
        "spec": {
            "images": [{"glob": glob} for glob in demands.globs(repositories)],
            "authorities": authorities,
        },
    }


def _authority(signer: Signer) -> dict[str, Any]:
    return {"key": {"hashAlgorithm": "sha256", "data": signer.key}}
