"""What advisories say of an image: of its signed bill of materials, or of its files where it has none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.adapters import advisories
from pipeline.formats import bills
from pipeline.model import Demand, DocumentKind, Threat
from pipeline.model.errors import ImageError
from pipeline.runner import documenting
from pipeline.stages import scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.model import Document, Scan
    from pipeline.runner.services import Services

_KIND = DocumentKind.CYCLONEDX


@dataclass(frozen=True)
class Ask:
    """Folders and zips of advisories, and which weaknesses refuse an image."""

    exports: Sequence[Path]
    demand: Demand


def demand_of(machine: Services | None, threat: str | None, *, fixable: bool) -> Demand:
    """Which weaknesses refuse an image: what the matrix says, if there is one, but for what was typed."""
    demand = machine.matrix.demand if machine else Demand()
    return replace(
        demand,
        threat=Threat[threat.upper()] if threat else demand.threat,
        fixable=fixable or demand.fixable,
    )


def of_image(
    reference: str,
    ask: Ask,
    machine: Services | None,
    keys: Sequence[Path] = (),
    platform: str | None = None,
) -> Scan:
    """The scan of an image; what is not asked of advisories is as for its bill.

    Raises UsageError for advisories that cannot be read, and what reading an image raises.
    """
    document, signer = documenting.bill_of(reference, _KIND, machine, keys, platform)
    return of_bill(reference, document, signer, ask)


def of_folder(root: Path, ask: Ask) -> Scan:
    """The same of an unpacked root."""
    return of_bill(str(root), documenting.bill_of_folder(root, _KIND), "", ask)


def of_bill(name: str, document: Document, signer: str, ask: Ask) -> Scan:
    """The same of what a bill in CycloneDX says is in an image. Raises ImageError where it is none."""
    try:
        present = bills.present_in(document.text)
    except bills.InvalidBillError as error:
        hint = "python -m pipeline sbom prints it"
        raise ImageError(f"{name}: its bill of materials {error}", hint=hint) from error
    export = advisories.read(ask.exports, {package.ecosystem for package in present})
    today = datetime.now(UTC).date()
    return scan.scan(name, document.digest, present, export, ask.demand, today=today, signer=signer)
