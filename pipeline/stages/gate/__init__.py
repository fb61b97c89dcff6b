"""Two questions about one image, and a word for each. Pure: no clock, no file, no registry is read here.

    publication   may this candidate be published: is it *allowed*, by the inputs, rules and model of today
    deployment    has this digest a live proof that a policy *accepts*, by nothing but what lies beside it
    requirements  what both ask of a record and of a certificate
    scans         what both ask of scans for known weaknesses

Rules of a policy begin on days: who asks the first question hands on what is asked then (``Policy.as_of``),
the second looks itself. Each names every reason against an image, not only the first.
"""

from __future__ import annotations

from pipeline.stages.gate.deployment import ANOTHER, accept, publication_tag, unnamed
from pipeline.stages.gate.publication import decide, holds, support_ended
from pipeline.stages.gate.requirements import MAX_ERRORS, MAX_NAMED

__all__ = [
    "ANOTHER",
    "MAX_ERRORS",
    "MAX_NAMED",
    "accept",
    "decide",
    "holds",
    "publication_tag",
    "support_ended",
    "unnamed",
]
