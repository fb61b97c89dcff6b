"""What is known of weaknesses in an image: by advisories and its bill of materials, or by another scanner."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline.adapters import advisories, files
from pipeline.adapters.registry import Registry
from pipeline.formats import bills, dsse, scan_results
from pipeline.model import Demand, DocumentKind, Scan, Threat
from pipeline.model.errors import ImageError, UsageError
from pipeline.runner import documenting
from pipeline.stages import attest, documents, scan

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.model import Document, ImageRef, Repository
    from pipeline.runner.services import Services

_KIND = DocumentKind.CYCLONEDX


@dataclass(frozen=True)
class Ask:
    """Folders and zips of advisories, or what another scanner found; and which weaknesses refuse an image."""

    exports: Sequence[Path]
    demand: Demand
    result: Path | None = None


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
) -> tuple[Scan, ImageRef | None]:
    """The scan of an image, and where that lies, if it does in a registry; its contents are as for its bill.

    Raises UsageError for advisories or a result that cannot be read, and what reading an image raises.
    """
    if ask.result:
        ref = documenting.place_of(reference, machine, platform)
        found = of_result(reference, str(ref.digest) if ref else "", ask.result, ask.demand)
        return found, ref
    document, signer, ref = documenting.bill_of(reference, _KIND, machine, keys, platform)
    return of_bill(reference, document, signer, ask), ref


def of_folder(root: Path, ask: Ask) -> Scan:
    """The same of an unpacked root."""
    if ask.result:
        return of_result(str(root), "", ask.result, ask.demand)
    return of_bill(str(root), documenting.bill_of_folder(root, _KIND), "", ask)


def of_bill(name: str, document: Document, signer: str, ask: Ask) -> Scan:
    """The same of what a bill in CycloneDX says is in an image. Raises ImageError where it is none."""
    try:
        present = bills.present_in(document.text)
    except bills.InvalidBillError as error:
        hint = "python -m pipeline sbom prints it"
        raise ImageError(f"{name}: its bill of materials {error}", hint=hint) from error
    export = advisories.read(ask.exports, {package.ecosystem for package in present})
    now = datetime.now(UTC)
    return scan.scan(name, document.digest, present, export, ask.demand, now=now, signer=signer)


def of_result(name: str, digest: str, path: Path, demand: Demand) -> Scan:
    """What another scanner found in an image, the worst first, with what the demand spares.

    Raises UsageError for a file that cannot be read.
    """
    today = datetime.now(UTC).date()
    found = _read(path, digest)
    exposures = (replace(one, spared=demand.spares(one, today)) for one in found.exposures)
    ordered = sorted(exposures, key=lambda one: (-one.threat, one.package.name, one.id))
    return replace(found, image=name, exposures=tuple(ordered))


def _read(path: Path, digest: str) -> Scan:
    hint = "name CycloneDX with vulnerabilities, or a scan in in-toto's type (vulns)"
    try:
        return scan_results.read(files.read(path, scan_results.MAX_BYTES).decode(), digest)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}", hint=hint) from error
    except ValueError as error:  # InvalidScanError, and what is no UTF-8
        raise UsageError(f"{path} {error}", hint=hint) from error


def attach(services: Services, found: Scan, ref: ImageRef) -> tuple[ImageRef, ...]:
    """Sign a scan, and keep it beside its image, in staging and in the destination where it is in both.

    With it goes what the matrix's exceptions say of it, where that is new. Returns where it is kept. Raises
    SigningError without a key that counts here, RegistryError where a registry does not take it, ImageError
    where it is more than anybody reads.
    """
    matrix, digest = services.matrix, ref.digest
    ours = (matrix.staging, matrix.repository)
    about = _published(services, ref)
    homes = dict.fromkeys((ref.repository, *(ours if ref.repository in ours else ())))
    key, exceptions = services.signing_key, vex_of(services, found, ref)
    kept = [home.at(digest) for home in homes if Registry(home).has_manifest(digest)]
    for place in kept:
        registry = Registry(place.repository)
        beside = services.evidence.attestations_of(registry, digest)
        # Each names what lies beside the image there: what is in the other place alone would be missed here.
        bundle = attest.scans.sign(found, about, key, previous=replace(beside.links, lost=()))
        if len(bundle) > dsse.MAX_BUNDLE_BYTES:
            what = f"{ref}: its scan has {len(bundle)} bytes, {dsse.MAX_BUNDLE_BYTES} are read at the most"
            hint = "leave out of the image what has most weaknesses: `scan` names the packages"
            raise ImageError(what, hint=hint)
        attest.attach(registry, place, bundle)
        newest = beside.newest_document(DocumentKind.VEX)
        if not documents.says_no_more(exceptions, newest.document if newest else None):
            attest.attach(registry, place, attest.documents.sign(exceptions, about, key))
    return tuple(kept)


def vex_of(services: Services, found: Scan, ref: ImageRef) -> Document:
    """What the matrix's exceptions say of a scan of an image, as OpenVEX of the repository that has it."""
    now, home = datetime.now(UTC), _published(services, ref)
    moment = now.isoformat(timespec="seconds")
    demand = services.matrix.demand
    return documents.vex(home.at(ref.digest), found, demand, moment, str(home), today=now.date())


def _published(services: Services, ref: ImageRef) -> Repository:
    """The repository that users know an image by: what is in staging is to be in the destination."""
    is_staged = ref.repository == services.matrix.staging
    return services.matrix.repository if is_staged else ref.repository
