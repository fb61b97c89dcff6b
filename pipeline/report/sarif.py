"""A certificate as SARIF 2.1.0, which code-scanning services read.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html. A waived finding is a result that is
suppressed, with its reason, so that it stays in sight.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pipeline.model import PROJECT, RULE_FAMILIES, RULE_NAMES, key_of
from pipeline.report.text import line

if TYPE_CHECKING:
    from pipeline.model import Certificate, ImageFinding

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"


def sarif(certificate: Certificate) -> str:
    """The certificate as one run of SARIF, in JSON."""
    name, _, version = certificate.tool.partition(" ")
    results = [_result(finding) for finding in certificate.findings]
    results += [
        {
            **_result(waived.finding),
            "suppressions": [{"kind": "external", "justification": line(waived.reason)}],
        }
        for waived in certificate.waived
    ]
    run = {
        "tool": {
            "driver": {
                "name": name,
                "version": version,
                "rules": [
                    {"id": rule, "name": rule, "shortDescription": {"text": RULE_FAMILIES[rule].asks}}
                    for rule in RULE_NAMES
                ],
            }
        },
        "automationDetails": {"id": f"certify/{line(certificate.name)}"},
        "invocations": [{"executionSuccessful": True, "endTimeUtc": certificate.created}],
        "results": results,
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2) + "\n"


def _result(finding: ImageFinding) -> dict[str, Any]:
    message = f"{line(finding.text)}: {line(finding.why)}. Remedy: {line(finding.hint)}."
    path = quote(finding.path.lstrip("/"), errors="replace") or "."
    return {
        "ruleId": finding.rule,
        "ruleIndex": RULE_NAMES.index(finding.rule),
        "level": finding.severity.value,
        "message": {"text": message},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": path}, "region": {"startLine": 1}}}],
        "partialFingerprints": {f"{PROJECT}/v1": key_of([finding.rule, finding.path, finding.text])},
    }
