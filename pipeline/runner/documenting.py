"""Documents beside an image: made once, by who builds and certifies it, and read back for whoever asks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.adapters import checkout, signing_keys
from pipeline.adapters.image_files.folder import Folder
from pipeline.adapters.image_files.opening import open_image
from pipeline.adapters.recipe import IMAGES
from pipeline.adapters.registry import Registry
from pipeline.formats import dsse
from pipeline.model import BILLS, Built, DocumentKind, ImageRef
from pipeline.model.errors import SigningError, UsageError
from pipeline.runner.candidates import anywhere
from pipeline.runner.trying import now
from pipeline.stages import attest, build, documents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.adapters.image_files.nodes import FileSystem
    from pipeline.formats.dsse import PublicKey
    from pipeline.model import Bill, CellState, Document, Documented, Pin, Spec
    from pipeline.runner.services import Services


def attach_provenance(
    services: Services, state: CellState, tool: Pin, span: tuple[str, str], progress: Callable[[str], None]
) -> CellState:
    """Say how an image was built that was built just now, from ``span[0]`` to ``span[1]``, by this run."""
    image, lock, base = state.image, state.lock, state.base
    if image is None or lock is None or base is None:
        raise AssertionError("an image was built of a lock and a base")
    built = Built(
        spec=state.spec,
        lock=lock,
        image=image,
        base=base,
        recipe=build.recipe_digest(state.spec, IMAGES),
        tool=tool,
        repository=services.matrix.repository,
        run=services.settings.run,
        started=span[0],
        finished=span[1],
        source=checkout.revision(services.settings.folder),
    )
    if state.attestations.newest_document(DocumentKind.PROVENANCE):
        return state
    signer = dsse.fingerprint(services.signing_key.public_key())
    return _attach(services, state, [documents.provenance(built, signer)], progress)


def attach_bills(
    services: Services, state: CellState, bill: Bill, progress: Callable[[str], None]
) -> CellState:
    """Say what the image of a cell is made of, in each format that nobody has said it in yet."""
    if state.lock is None:
        raise AssertionError("a cell's image was built of a lock")
    named = documents.with_wheels(bill, state.lock)
    lacking = [kind for kind in BILLS if state.attestations.newest_document(kind) is None]
    return _attach(services, state, [documents.written(named, kind) for kind in lacking], progress)


def attach_summary(services: Services, state: CellState, progress: Callable[[str], None]) -> CellState:
    """Say that the gate allowed an image, where there is a key that counts; of each decision once."""
    image, decision = state.image, state.decision
    if image is None or decision is None or not services.can_sign:
        return state
    signer = dsse.fingerprint(services.signing_key.public_key())
    there = services.matrix.repository.at(image.ref.digest)
    made = documents.summary(there, decision, services.matrix.policy.digest, now(), signer)
    newest = state.attestations.newest_document(DocumentKind.SUMMARY)
    is_said = newest is not None and documents.says_the_same(newest.document, made)
    return state if is_said else _attach(services, state, [made], progress)


def bill_of(
    reference: str,
    kind: DocumentKind,
    machine: Services | None,
    keys: Sequence[Path] = (),
    platform: str | None = None,
) -> tuple[Document, str, ImageRef | None]:
    """A bill of materials of an image, the fingerprint of the key that signed it, and where the image lies.

    The newest one beside it by a key that is trusted here, or that one of these files holds; where there is
    none, or the image lies in no registry (None), one of its files, signed by nobody (""). ``reference`` may
    be a cell's id or alias. Raises UsageError, ImageError, RegistryError or EngineError where the image
    cannot be read.
    """
    named = reference_of(reference, machine)
    trusted = _trusted(machine, keys)
    with open_image(named, platform=platform) as files:
        ref = _in_registry(files.name)
        if signed := _beside(ref, kind, trusted):
            return signed.document, signed.signer, ref
        return _read(files, kind), "", ref


def place_of(reference: str, machine: Services | None, platform: str | None = None) -> ImageRef | None:
    """Where an image lies, named as for its bill; None where that is no registry. Raises as it does."""
    with open_image(reference_of(reference, machine), platform=platform) as files:
        return _in_registry(files.name)


def bill_of_folder(root: Path, kind: DocumentKind) -> Document:
    """That of an unpacked root. Raises ImageError where it cannot be read."""
    with Folder(root) as files:
        return _read(files, kind)


def _read(files: FileSystem, kind: DocumentKind) -> Document:
    reading = documents.Reading(files)
    reading.read()
    return documents.written(reading.bill(now()), kind)


def _in_registry(name: str) -> ImageRef | None:
    try:
        return ImageRef.parse(name)
    except ValueError:
        return None


def _beside(ref: ImageRef | None, kind: DocumentKind, trusted: Mapping[str, PublicKey]) -> Documented | None:
    """The newest signed document of an image in a registry."""
    if ref is None:
        return None
    beside = attest.Evidence(trusted).attestations_of(Registry(ref.repository), ref.digest)
    return beside.newest_document(kind)


def _trusted(machine: Services | None, keys: Sequence[Path]) -> dict[str, PublicKey]:
    """Whose documents count: the matrix's signers', or this machine's own, and those of these files."""
    try:
        given = signing_keys.trusted([signing_keys.read_public(path) for path in keys])
    except SigningError as error:  # the file is named on the command line
        raise UsageError(error.what, hint="name a public key in PEM with --key FILE") from error
    return {**(machine.evidence.trusted if machine else {}), **given}


def reference_of(named: str, machine: Services | None) -> str:
    """What a cell's id or alias stands for: its published image, else the one in staging.

    Anything else stands for itself. Raises UsageError for a cell that has neither.
    """
    spec = machine and _spec_of(named, machine)
    if not machine or not spec:
        return named
    repository = machine.matrix.repository
    digest = machine.destination.digest_of(spec.cell.id) if machine.has_registry(repository) else None
    return str(repository.at(digest)) if digest else _candidate(spec, machine)


def candidate_of(named: str, machine: Services) -> str:
    """The image of today's inputs of a cell, by its id or alias, which is published next.

    Raises UsageError where nothing is called so, or there is none.
    """
    spec = _spec_of(named, machine)
    if spec is None:
        raise UsageError(f"{named} is no cell", hint="python -m pipeline plan names the cells")
    return _candidate(spec, machine)


def _spec_of(named: str, machine: Services) -> Spec | None:
    """The cell that has this id or alias."""
    matrix = machine.matrix
    found = (spec for spec in matrix.specs if named in (spec.cell.id, *matrix.aliases_of(spec.cell)))
    return next(found, None)


def _candidate(spec: Spec, machine: Services) -> str:
    image = anywhere(machine, spec).image
    if image is None:
        what = f"{spec.cell.id} has no image: none is published, and none of today's inputs is in staging"
        raise UsageError(what, hint=f"python -m pipeline build {spec.cell.id}")
    return str(image.ref)


def _attach(
    services: Services, state: CellState, made: Sequence[Document], progress: Callable[[str], None]
) -> CellState:
    """The state with these documents beside its image.

    One that readers would refuse for its size is not stored: nothing depends on it.
    """
    if not made or state.image is None:
        return state
    ref, home = state.image.ref, services.holding(state.image)
    for document in made:
        bundle = attest.documents.sign(document, services.matrix.repository, services.signing_key)
        if len(bundle) > dsse.MAX_BUNDLE_BYTES:
            progress(f"its {document.kind} has {len(bundle)} bytes, more than anybody reads: it is not kept")
        else:
            attest.attach(home, ref, bundle)
    beside = services.evidence.attestations_of(home, ref.digest)
    return replace(state, attestations=beside)
