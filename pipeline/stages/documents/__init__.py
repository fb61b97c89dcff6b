"""Documents that people ask for beside an image, in formats of others: what it is made of, and how.

    reading      the packages of an image, noted while its files are walked through for something else
    purls        what each package is called all over the world
    cyclonedx    the bill of materials as CycloneDX
    spdx         the same as SPDX
    provenance   how an image was built, as SLSA's provenance
    summary      what the gate decided of it, as SLSA's verification summary
    vex          which of its weaknesses are accepted, and why, as OpenVEX

All are functions of what was read, and of the moment: they judge nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Document, DocumentKind
from pipeline.stages.documents.provenance import provenance
from pipeline.stages.documents.reading import Reading, with_wheels
from pipeline.stages.documents.summary import says_the_same, summary
from pipeline.stages.documents.vex import says_no_more, vex

if TYPE_CHECKING:
    from pipeline.model import Bill

__all__ = [
    "Reading",
    "provenance",
    "says_no_more",
    "says_the_same",
    "summary",
    "vex",
    "with_wheels",
    "written",
]


def written(bill: Bill, kind: DocumentKind) -> Document:
    """A bill of materials in one of its two formats. Raises ValueError for another kind of document."""
    # What writes CycloneDX takes 0.2 s to load, and most commands write no bill.
    from pipeline.stages.documents import cyclonedx, spdx  # noqa: PLC0415

    texts = {DocumentKind.CYCLONEDX: cyclonedx.text_of, DocumentKind.SPDX: spdx.text_of}
    if kind not in texts:
        raise ValueError(f"{kind} is no bill of materials")
    return Document(kind, bill.digest, bill.created, texts[kind](bill))
