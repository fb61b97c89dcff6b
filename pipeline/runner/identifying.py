"""What images really are: by the certificate beside each, else by their files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.adapters.image_files.opening import open_image
from pipeline.compat import shipped
from pipeline.model import PROJECT, ImageRef
from pipeline.stages import identify

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.adapters.image_files.layered import Layered
    from pipeline.model import Certificate
    from pipeline.model.identities import Identity
    from pipeline.runner.trusting import Trust


def of_image(
    reference: str,
    trusting: Callable[[], Trust | None],
    platform: str | None = None,
    *,
    labels_only: bool = False,
) -> Identity:
    """What an image is, wherever it lies; of an index, the one for this platform.

    ``trusting`` is asked only for an image of ours, which may have a certificate. With ``labels_only`` no
    layer is read, and it is what the image says of itself. Raises UsageError, ImageError, RegistryError or
    EngineError where it cannot be read.
    """
    with open_image(reference, platform=platform) as files:
        trust = trusting() if f"{PROJECT}.cell" in files.config.labels else None
        certificate = _certificate_beside(files, trust) if trust else None
        if trust and certificate:
            base = _base_by_matrix(files, trust)
            return identify.of_certificate(reference, certificate, files.config, base)
        if labels_only:
            return identify.by_labels(reference, files.digest, files.config, shipped())
        return identify.of_files(reference, files, shipped())


def _certificate_beside(files: Layered, trust: Trust) -> Certificate | None:
    """The newest certificate that lies beside the image and is signed by a key that is trusted here."""
    try:
        ref = ImageRef.parse(files.name)
    except ValueError:  # it is in no registry
        return None
    from pipeline.adapters.registry import Registry  # noqa: PLC0415 - a folder's identity needs none

    certificates = trust.evidence.attestations_of(Registry(ref.repository), ref.digest).certificates
    return certificates[0].certificate if certificates else None


def _base_by_matrix(files: Layered, trust: Trust) -> str:
    """The base of the cell that an image's label names."""
    named = files.config.labels.get(f"{PROJECT}.cell")
    base = next((spec.base for spec in trust.matrix.specs if spec.cell.id == named), None)
    return "" if base is None else str(base.image or base.suite)
