"""What the files of an image say of where it will run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from pipeline.model.frozen import LONGEST, Frozen
from pipeline.model.rule_families import RuleName  # noqa: TC001 - pydantic asks for it at run time


def _clipped(value: Any) -> Any:
    """Text from a stranger's image, cut to what a record holds; bytes that are no UTF-8 become ``?``."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "replace").decode()
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


UntrustedText = Annotated[str, BeforeValidator(_clipped), Field(max_length=LONGEST)]
"""Text that holds what an image says: whatever it says, a certificate can be made of it."""

Reach = Literal["native", "PTX", "none"]
"""How an image reaches a GPU: by machine code, by PTX that the driver compiles, or not at all."""


class Severity(StrEnum):
    """How much a finding on an image matters. Only an error refuses the image."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"

    @property
    def rank(self) -> int:
        """0 for the worst."""
        return tuple(Severity).index(self)


class ImageFinding(Frozen):
    """What one rule finds in an image: where, what is wrong, why it matters, and the remedy.

    ``path`` is absolute in the image; empty for the image as a whole. Findings with the same ``text`` at
    several paths are one problem. In the JSON of certificates ``text`` is "what" and ``hint`` is "remedy".
    """

    rule: RuleName
    severity: Annotated[Severity, Field(strict=False)]
    path: UntrustedText = ""
    text: UntrustedText = Field(validation_alias="what", serialization_alias="what")
    why: UntrustedText
    hint: UntrustedText = Field(validation_alias="remedy", serialization_alias="remedy")

    model_config = ConfigDict(populate_by_name=True)  # the rest is inherited


class WaivedFinding(Frozen):
    """A finding that an exception in matrix.yaml covers: its reason, and the day on which it ends."""

    finding: ImageFinding
    reason: UntrustedText
    expires: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]


class DriverFloor(Frozen):
    """The oldest Linux driver that runs what is inside ("580"), and why it is that one."""

    version: Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
    reason: UntrustedText


class LibraryReach(Frozen):
    """One library with device code: the toolkit that compiled it, if it says so, and what it reaches how.

    ``is_core`` marks those that every model runs; a GPU is reached as the worst of them reaches it.
    """

    path: UntrustedText
    toolkit: UntrustedText = ""
    is_core: bool = False
    reach: dict[str, Reach]


class GpuReach(Frozen):
    """One GPU by name and architecture ("sm_89"), and how the image reaches it.

    ``driver`` is the oldest there that knows the GPU and runs what is inside, ``last_driver`` the newest
    branch that knows the GPU ("580"), empty while there is no end.
    """

    name: UntrustedText
    arch: UntrustedText
    reach: Reach
    driver: UntrustedText = ""
    last_driver: UntrustedText = ""


class LayerSize(Frozen):
    """A layer: its digest, what made it, its compressed size and that of its visible files, in bytes."""

    digest: UntrustedText
    made_by: UntrustedText
    compressed: Annotated[int, Field(ge=0)]
    installed: Annotated[int, Field(ge=0)]


class PackageSize(Frozen):
    """An installed package and the bytes of its files."""

    name: UntrustedText
    version: UntrustedText
    installed: Annotated[int, Field(ge=0)]


class Sizes(Frozen):
    """How large an image is, in bytes: compressed in the registry, and its visible files; also by part."""

    compressed: Annotated[int, Field(ge=0)]
    installed: Annotated[int, Field(ge=0)]
    layers: tuple[LayerSize, ...] = ()
    packages: tuple[PackageSize, ...] = ()


class Certificate(Frozen):
    """What the files of one image say of where it will run, judged without a GPU.

    ``digest`` is empty for a folder. ``repository`` is where the image is to be published, ``inputs`` a
    key of all that it was judged by; both are empty for a stranger's image. ``driver`` is None where
    nothing inside uses CUDA. ``libraries`` by ``architectures`` is the table of device code. ``facts`` is
    the day on which the facts of compatibility were read, ``created`` an RFC 3339 time in UTC.
    """

    schema_number: Literal[1] = Field(1, alias="schema")
    name: UntrustedText
    repository: UntrustedText = ""
    inputs: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]
    platform: UntrustedText = ""
    findings: tuple[ImageFinding, ...]
    waived: tuple[WaivedFinding, ...] = ()
    cuda: UntrustedText = ""
    driver: DriverFloor | None = None
    architectures: tuple[UntrustedText, ...] = ()
    libraries: tuple[LibraryReach, ...] = ()
    gpus: tuple[GpuReach, ...] = ()
    sizes: Sizes
    facts: UntrustedText
    tool: UntrustedText
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    @property
    def passed(self) -> bool:
        """True where nothing was found that would keep the image from running."""
        return not self.at(Severity.ERROR)

    def at(self, severity: Severity) -> tuple[ImageFinding, ...]:
        """The findings of this severity."""
        return tuple(one for one in self.findings if one.severity is severity)
