"""Which weaknesses of an image are accepted, and why, as OpenVEX (https://github.com/openvex/spec, v0.2.0).

Scanners of others read it and leave out what an image is not affected by (Trivy and Grype: ``--vex``).
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from pipeline.model import PROJECT, Document, DocumentKind, canonical
from pipeline.stages.documents import purls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from pipeline.model import Demand, Exposure, ImageRef, Scan, Tolerated

CONTEXT = "https://openvex.dev/ns/v0.2.0"


def vex(image: ImageRef, scan: Scan, demand: Demand, moment: str, author: str, *, today: date) -> Document:
    """What the exceptions of a demand say of the weaknesses that a scan found in an image.

    ``moment`` is RFC 3339, ``author`` who says so. An image is affected where no exception says why not, with
    the reason why that is borne. Weaknesses that no exception names are in no statement.
    """
    statements = list(_statements(image, scan, demand, today))
    body = {"author": author, "statements": statements, "timestamp": moment, "version": 1}
    name = hashlib.sha256(canonical({**body, "timestamp": ""})).hexdigest()
    whole = {"@context": CONTEXT, "@id": f"urn:{PROJECT}:vex:{name}", "tooling": PROJECT, **body}
    return Document(DocumentKind.VEX, str(image.digest), moment, canonical(whole).decode())


def says_no_more(made: Document, newest: Document | None) -> bool:
    """Whether a document need not be kept: it says what the newest says, or nothing where there is none."""
    value = json.loads(made.text)
    if newest is None:
        return not value["statements"]
    return bool(json.loads(newest.text).get("@id") == value["@id"])


def _statements(image: ImageRef, scan: Scan, demand: Demand, today: date) -> Iterator[dict[str, Any]]:
    for one in scan.exposures:
        rule = next((rule for rule in demand.tolerated if rule.covers(one, today)), None)
        if rule:
            yield {
                "vulnerability": {"name": one.id, "aliases": [name for name in one.ids if name != one.id]},
                "products": [_product(image, one)],
                **_status(rule),
            }


def _product(image: ImageRef, one: Exposure) -> dict[str, Any]:
    return {"@id": str(purls.of_image(image)), "subcomponents": [{"@id": purls.of_present(one.package)}]}


def _status(rule: Tolerated) -> dict[str, str]:
    until = f"{rule.reason} (until {rule.expires})"
    if rule.justification:
        return {"status": "not_affected", "justification": rule.justification, "impact_statement": until}
    return {"status": "affected", "action_statement": until}
