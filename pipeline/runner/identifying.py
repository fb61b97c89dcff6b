"""What images really are: by the certificate beside each, else by their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.adapters.image_files.folder import Folder
from pipeline.adapters.image_files.opening import open_image
from pipeline.compat import shipped
from pipeline.model import PROJECT, ImageRef
from pipeline.stages import identify

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.adapters.image_files.layered import Layered
    from pipeline.model import Certificate
    from pipeline.model.identities import Identity
    from pipeline.runner.services import Services


def of_image(
    reference: str, machine: Services | None, platform: str | None = None, *, labels_only: bool = False
) -> Identity:
    """What an image is, wherever it lies; of an index, the one for this platform.

    With ``labels_only`` no layer is read, and it is what the image says of itself. Raises UsageError,
    ImageError, RegistryError or EngineError where it cannot be read.
    """
    with open_image(reference, platform=platform) as files:
        certificate = _certificate_beside(files, machine)
        if certificate:
            base = _base_by_matrix(files, machine)
            return identify.of_certificate(reference, certificate, files.config, base)
        if labels_only:
            return identify.by_labels(reference, files.digest, files.config, shipped())
        return identify.of_files(reference, files, shipped())


def of_folder(root: Path) -> Identity:
    """What an unpacked root is. Raises UsageError or ImageError where it cannot be read."""
    with Folder(root) as files:
        return identify.of_files(str(root), files, shipped())


def _certificate_beside(files: Layered, machine: Services | None) -> Certificate | None:
    """The newest certificate that lies beside the image and is signed by a key that is trusted here."""
    if machine is None or f"{PROJECT}.cell" not in files.config.labels:
        return None
    try:
        ref = ImageRef.parse(files.name)
    except ValueError:  # it is in no registry
        return None
    from pipeline.adapters.registry import Registry  # noqa: PLC0415 - a folder's identity needs none

    certificates = machine.evidence.attestations_of(Registry(ref.repository), ref.digest).certificates
    return certificates[0].certificate if certificates else None


def _base_by_matrix(files: Layered, machine: Services | None) -> str:
    """The base of the cell that an image's label names."""
    named = files.config.labels.get(f"{PROJECT}.cell")
    specs = machine.matrix.specs if machine else ()
    base = next((spec.base for spec in specs if spec.cell.id == named), None)
    return "" if base is None else str(base.image or base.suite)
