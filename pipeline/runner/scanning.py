"""What advisories say of an image: of its signed bill of materials, or of its files where it has none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.adapters import advisories
from pipeline.formats import bills
from pipeline.model import DocumentKind
from pipeline.model.errors import ImageError
from pipeline.runner import documenting
from pipeline.stages import scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.model import Document, Scan
    from pipeline.runner.services import Services

_KIND = DocumentKind.CYCLONEDX


def of_image(
    reference: str,
    exports: Sequence[Path],
    machine: Services | None,
    keys: Sequence[Path] = (),
    platform: str | None = None,
) -> Scan:
    """The scan of an image; ``exports`` are folders or zips of advisories, the rest is as for its bill.

    Raises UsageError for advisories that cannot be read, and what reading an image raises.
    """
    document, signer = documenting.bill_of(reference, _KIND, machine, keys, platform)
    return of_bill(reference, document, signer, exports)


def of_folder(root: Path, exports: Sequence[Path]) -> Scan:
    """The same of an unpacked root."""
    return of_bill(str(root), documenting.bill_of_folder(root, _KIND), "", exports)


def of_bill(name: str, document: Document, signer: str, exports: Sequence[Path]) -> Scan:
    """The same of what a bill in CycloneDX says is in an image. Raises ImageError where it is none."""
    try:
        present = bills.present_in(document.text)
    except bills.InvalidBillError as error:
        hint = "python -m pipeline sbom prints it"
        raise ImageError(f"{name}: its bill of materials {error}", hint=hint) from error
    export = advisories.read(exports, {package.ecosystem for package in present})
    return scan.scan(name, document.digest, present, export, signer=signer)
