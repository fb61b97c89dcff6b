"""Whether the image of a certificate will run on a GPU, with a driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compat.drivers import DRIVERS, HINTS, MINOR_VERSIONS, PTX, is_past, judged, reaches, window_of
from pipeline.model import Finding, Level, Severity, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.facts import Facts
    from pipeline.model import Certificate, GpuReach


def runs_on(certificate: Certificate, gpu: str | None, driver: str | None, facts: Facts) -> Verdict:
    """The verdict for a GPU ("L4", "NVIDIA H100", "sm_89") and a driver ("550.54.14").

    A GPU or driver that is not given is not judged; a GPU that is not in the certificate is unknown.
    """
    return Verdict(tuple(_findings(certificate, gpu, driver, facts)))


def _findings(
    certificate: Certificate, gpu: str | None, driver: str | None, facts: Facts
) -> Iterator[Finding]:
    source = (f"certificate of {certificate.name}, {certificate.created}",)
    if errors := certificate.at(Severity.ERROR):
        text = (
            f"{len(errors)} errors in the image itself, the first: {errors[0].path} {errors[0].text}".replace(
                "  ", " "
            )
        )
        yield Finding("certificate", Level.IMPOSSIBLE, text, source, errors[0].hint)
    if certificate.driver is None:
        level = Level.UNKNOWN if certificate.cuda else Level.IMPOSSIBLE if gpu else Level.OK
        text = (
            f"the driver that CUDA {certificate.cuda} needs is unknown"
            if certificate.cuda
            else "nothing inside uses CUDA: it runs on the CPU"
        )
        yield Finding("driver", level, text, source)
        return
    row = _row(certificate, gpu, facts) if gpu else None
    if gpu:
        yield _reached(gpu, row, source)
    floor = _floor(certificate, row)
    if gpu:
        yield from _supported(gpu, floor, driver, facts)
    if driver:
        yield _driven(floor, " there" if row and row.driver else "", driver, source)


def _row(certificate: Certificate, gpu: str, facts: Facts) -> GpuReach | None:
    """The row of this GPU; for one without a row, and for an architecture, the first of its architecture.

    That is without a driver, which belongs to a GPU.
    """
    known = facts.gpu(gpu)
    name, arch = (known.name, known.sm) if known else (gpu, gpu)
    if own := next((row for row in certificate.gpus if row.name == name), None):
        return own
    row = next((row for row in certificate.gpus if row.arch == arch), None)
    if row and row.reach in {"native", "partly"}:
        return row.model_copy(update={"driver": ""})
    return row


def _reached(gpu: str, row: GpuReach | None, source: tuple[str, ...]) -> Finding:
    if row is None:
        hint = "ask for its architecture: sm_90"
        return Finding("archs", Level.UNKNOWN, f"{gpu} is not in the certificate", source, hint)
    named = f"{gpu} ({row.arch})"
    if row.reach == "none":
        text = f"{named}: {row.lacks}" if row.lacks else f"no code for {named} is inside"
        text = f"{text}: no kernel image"
        return Finding("archs", Level.IMPOSSIBLE, text, source, "take an image that was built for it")
    if row.reach == "partly":
        text = f"{named} has machine code inside, but {row.lacks}"
        hint = "see the certificate's findings for what to set or to install"
        return Finding("archs", Level.WARN, text, source, hint)
    if row.reach == "PTX":
        text = f"{named} is reached by PTX only, which the driver compiles"
        return Finding(
            "archs", Level.WARN, text, (*source, PTX), "the first start compiles, and takes minutes"
        )
    return Finding("archs", Level.OK, f"machine code for {named} is inside", source)


def _floor(certificate: Certificate, row: GpuReach | None) -> str:
    """The oldest driver that runs what is inside, on that GPU."""
    return (row and row.driver) or (certificate.driver.version if certificate.driver else "")


def _supported(gpu: str, floor: str, driver: str | None, facts: Facts) -> Iterator[Finding]:
    """Whether this driver supports the GPU, and whether any driver supports both GPU and image."""
    window = window_of(gpu, facts)
    if window is None and driver:
        text = f"the drivers that support {gpu} are unknown; {driver} is there"
        hint = "a Jetson's driver comes with its JetPack: see its release notes"
        yield Finding("driver", Level.UNKNOWN, text, (DRIVERS,), hint)
    elif window and is_past(floor, window.last):
        text = f"{window}; what is inside needs {floor} or newer: no driver does both"
        yield Finding("driver", Level.IMPOSSIBLE, text, window.source, "take an image for an older CUDA")
    elif window and driver:
        yield judged(driver, window)


def _driven(floor: str, where: str, driver: str, source: tuple[str, ...]) -> Finding:
    level = reaches(driver, floor)
    hint = HINTS[level].format(floor) + (
        ", or take an image for an older CUDA" if level is Level.IMPOSSIBLE else ""
    )
    text = f"it needs driver {floor} or newer{where}; {driver} is there"
    return Finding("driver", level, text, (*source, MINOR_VERSIONS), hint)
