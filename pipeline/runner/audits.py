"""Certificates: made of a cell's image or of any that somebody names, and read back.

What surveys an image loads numpy and the engine's library, so whoever only plans does not import this file.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.adapters.image_files.folder import Folder
from pipeline.adapters.image_files.opening import open_image
from pipeline.adapters.registry import Registry
from pipeline.model import PROJECT, Digest, Expectations, Verdict
from pipeline.model.errors import UsageError
from pipeline.runner.expectations import expectations_of
from pipeline.stages import build, documents
from pipeline.stages import lock as locks
from pipeline.stages.audit.audit import judge
from pipeline.stages.audit.runs_on import runs_on
from pipeline.stages.audit.survey import survey

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.adapters.image_files.layered import Layered
    from pipeline.adapters.image_files.nodes import FileSystem
    from pipeline.model import Bill, Certificate, Conditions, ImageRef, Spec, Waiver
    from pipeline.runner.services import Services


def of_cell(ref: ImageRef, expected: Expectations, waivers: tuple[Waiver, ...]) -> tuple[Certificate, Bill]:
    """The certificate of a cell's image, and what it is made of: its layers are read once for both.

    Raises ImageError or RegistryError where it cannot be read.
    """
    with open_image(str(ref)) as files:
        reading = documents.Reading(files)
        certificate = _judged(reading, expected, waivers)
        return certificate, reading.bill(certificate.created)


def of_image(
    reference: str,
    machine: Services | None,
    platform: str | None = None,
    archs: tuple[str, ...] = (),
    parent: str | None = None,
) -> Certificate:
    """The certificate of an image, wherever it lies; of an index, that of its image for this platform.

    One that says it is a cell of the matrix is judged by the cell's lock and by what the matrix expects
    of it; any other by what it says of itself. ``archs`` ("sm_103") must be reached besides. ``parent`` is a
    reference to the image that it was made from, which is known of one that was made from a cell's: then each
    finding tells whose it is. Raises UsageError, ImageError, RegistryError or EngineError where one of them
    cannot be read, and UsageError where it was not made from that parent.
    """
    with open_image(reference, platform=platform) as files:
        spec = _spec_of(files, machine)
        expected, waivers = _expected(spec, machine)
        wanted = tuple(dict.fromkeys((*expected.archs, *archs)))
        expected = replace(expected, archs=wanted)
        with _parent_of(files, parent, platform) as its_files:
            its = _judged(its_files, expected, waivers) if its_files else None
        return _judged(files, expected, waivers, its)


def of_folder(root: Path, expected: Expectations | None = None) -> Certificate:
    """The certificate of an unpacked root, of which nothing is expected unless it is told.

    Raises ImageError where it cannot be read.
    """
    with Folder(root) as files:
        return _judged(files, expected or Expectations(), ())


def newest_beside(ref: ImageRef, machine: Services, platform: str | None = None) -> Certificate | None:
    """The newest certificate that lies beside an image and is signed by a key that is trusted here.

    Of an index it is that of its image for this platform. Raises RegistryError or ImageError where there
    is no such image.
    """
    with open_image(str(ref), platform=platform) as files:
        digest = Digest(files.digest)
    certificates = machine.evidence.attestations_of(Registry(ref.repository), digest).certificates
    return certificates[0].certificate if certificates else None


def answer(certificate: Certificate, conditions: Conditions) -> Verdict:
    """Whether the image of a certificate will run on these GPUs, with this driver."""
    facts = compat.shipped()
    gpus = (*conditions.gpus, *conditions.archs) or (None,)
    verdicts = [runs_on(certificate, gpu, conditions.driver, facts) for gpu in gpus]
    return Verdict(tuple(dict.fromkeys(finding for verdict in verdicts for finding in verdict.findings)))


@contextmanager
def _parent_of(files: Layered, named: str | None, platform: str | None) -> Iterator[Layered | None]:
    """The image that this one was made from: the one that is named, or the layers of the recipe below others.

    Raises UsageError where it was not made from the one that is named.
    """
    if named is None:
        count = build.layers_of_recipe(files.layers)
        yield files.lower(count) if 0 < count < len(files.layers) else None
        return
    with open_image(named, platform=platform) as parent:
        below = files.layers[: len(parent.layers)]
        if [layer.digest for layer in below] != [layer.digest for layer in parent.layers]:
            raise UsageError(
                f"{files.name} was not made from {parent.name}: its lowest layers are others",
                hint="name it by the digest that it was built from; a pull and a push may pack layers anew",
            )
        yield parent


def _judged(
    files: FileSystem,
    expected: Expectations,
    waivers: tuple[Waiver, ...],
    parent: Certificate | None = None,
) -> Certificate:
    return judge(survey(files), expected, waivers, datetime.now(UTC), parent=parent)


def _spec_of(files: FileSystem, machine: Services | None) -> Spec | None:
    """The cell of the matrix that an image's label names."""
    named = dict(files.config.labels).get(f"{PROJECT}.cell")
    specs = machine.matrix.specs if machine else ()
    return next((spec for spec in specs if spec.cell.id == named), None)


def _expected(spec: Spec | None, machine: Services | None) -> tuple[Expectations, tuple[Waiver, ...]]:
    lock = locks.read(spec, machine.settings.locks) if spec and machine else None
    if spec is None or lock is None:
        return Expectations(), ()
    return expectations_of(spec, lock), spec.waivers
