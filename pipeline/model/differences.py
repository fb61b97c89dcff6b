"""What is otherwise in one digest than in another, by what was signed beside both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.model.certificates import Certificate
    from pipeline.model.records import Record
    from pipeline.model.references import ImageRef


@dataclass(frozen=True)
class Described:
    """An image, its newest certificate, and its newest record if it was ever tried."""

    image: ImageRef
    certificate: Certificate
    record: Record | None = None

    @property
    def packages(self) -> Mapping[str, str]:
        """Installed packages, with their versions."""
        return {package.name: package.version for package in self.certificate.sizes.packages}

    @property
    def reach(self) -> Mapping[str, str]:
        """How it reaches each GPU that is known, and with which driver."""
        return {gpu.name: f"{gpu.reach}, driver {gpu.driver}" for gpu in self.certificate.gpus if gpu.driver}

    @property
    def findings(self) -> Mapping[str, str]:
        """What its certificate found, with how much each matters."""
        found = self.certificate.findings
        return {f"{one.rule}: {one.text}": one.severity.value for one in found}

    @property
    def checks(self) -> Mapping[str, str]:
        """What became of each check."""
        return {check.name: check.outcome.value for check in self.record.checks} if self.record else {}

    @property
    def speeds(self) -> Mapping[str, str]:
        """How fast it was, on the hardware of its record."""
        if self.record is None:
            return {}
        on = self.record.host.hardware
        return {f"{name} on {on}": str(speed) for name, speed in self.record.speeds.items()}


@dataclass(frozen=True)
class Change:
    """One thing that is otherwise: what it was before and is after; empty where it is not there."""

    kind: str
    name: str
    before: str
    after: str


@dataclass(frozen=True)
class Difference:
    """Two images, what is otherwise in the second, and the bytes of layers that the first one has not."""

    before: Described
    after: Described

    @property
    def changes(self) -> tuple[Change, ...]:
        """By kind: packages, the image as a whole, GPUs, findings, checks, speeds; each by name."""
        return tuple(self._changes())

    @property
    def new_bytes(self) -> int:
        """The compressed bytes of layers that whoever has the first image has to pull."""
        known = {layer.digest for layer in self.before.certificate.sizes.layers}
        layers = self.after.certificate.sizes.layers
        return sum(layer.compressed for layer in layers if layer.digest not in known)

    def _changes(self) -> Iterator[Change]:
        before, after = self.before, self.after
        yield from _changed("package", before.packages, after.packages)
        yield from _changed("image", _said(before), _said(after))
        yield from _changed("GPU", before.reach, after.reach)
        yield from _changed("finding", before.findings, after.findings)
        yield from _changed("check", before.checks, after.checks)
        yield from _changed("speed", before.speeds, after.speeds)


def _said(image: Described) -> Mapping[str, str]:
    """What there is one of: CUDA, the oldest driver, architectures, the platform, the proof."""
    certificate, record = image.certificate, image.record
    return {
        "CUDA": certificate.cuda,
        "oldest driver": certificate.driver.version if certificate.driver else "",
        "architectures": " ".join(certificate.architectures),
        "platform": certificate.platform,
        "proven": f"{record.finished} on {record.host.hardware}: {record.result.value}" if record else "",
        "lock": record.lock if record else "",
    }


def _changed(kind: str, before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted({*before, *after}):
        if (then := before.get(name, "")) != (now := after.get(name, "")):
            yield Change(kind, name, then, now)
