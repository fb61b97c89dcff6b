"""What the files of an image say of where it will run."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from pipeline.model.frozen import MAX_TEXT_LENGTH, Frozen
from pipeline.model.rule_families import RuleName  # noqa: TC001 - pydantic asks for it at run time
from pipeline.model.versions import FIRST_RULES, Name, Version, version_of


def _clipped(value: Any) -> Any:
    """Text from an untrusted image, shortened to the limit of a record; invalid UTF-8 becomes ``?``."""
    if not isinstance(value, str):
        return value
    text = value.encode("utf-8", "replace").decode()
    return text if len(text) <= MAX_TEXT_LENGTH else f"{text[: MAX_TEXT_LENGTH - 1]}…"


UntrustedText = Annotated[str, BeforeValidator(_clipped), Field(max_length=MAX_TEXT_LENGTH)]
"""Text from an image: shortened and repaired, so that any image can get a certificate."""

Reach = Literal["native", "PTX", "none"]
"""How a library reaches a GPU: by machine code, by PTX that the driver compiles, or not at all."""

ImageReach = Literal["native", "PTX", "partly", "none"]
"""How an image reaches a GPU: as its libraries do, or in part, where what compiles at run time does not."""


Origin = Literal["parent", "own"]
"""Of a finding: the image that this one was made from has it too, or this one's own layers bring it."""

DRIVER_SYMBOL = r"(?:cu|nvml)[A-Z][A-Za-z0-9_]{0,120}"
"""The name of a function of libcuda.so.1 or libnvidia-ml.so.1; the toolkit's own are as ``cudaMalloc``."""

MAX_DRIVER_SYMBOLS = 1000
"""libcuda.so.1 of CUDA 13 has some 700 functions; an environment of vLLM asks for 60."""


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
    ``origin`` tells of an image that was made from another one whether that one has the same fault; it is
    empty where no parent is known, and then left out.
    """

    rule: RuleName
    severity: Annotated[Severity, Field(strict=False)]
    path: UntrustedText = ""
    text: UntrustedText = Field(validation_alias="what", serialization_alias="what")
    why: UntrustedText
    hint: UntrustedText = Field(validation_alias="remedy", serialization_alias="remedy")
    origin: Origin | Literal[""] = ""

    model_config = ConfigDict(populate_by_name=True)  # the rest is inherited

    @model_serializer(mode="wrap")
    def _as_signed(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in write(self).items() if name != "origin" or value}


class WaivedFinding(Frozen):
    """A finding that an exception in matrix.yaml waives: its reason, and the last day."""

    finding: ImageFinding
    reason: UntrustedText
    expires: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\d$")]


class DriverFloor(Frozen):
    """The oldest Linux driver that runs what is inside ("580"), and the reason."""

    version: Annotated[str, Field(pattern=r"^\d+(\.\d+)*$")]
    reason: UntrustedText


class LibraryReach(Frozen):
    """One library with device code: its toolkit, if known, and how it reaches each architecture.

    ``is_core`` marks those that every model runs; the worst of them decides how a GPU is reached.
    """

    path: UntrustedText
    toolkit: UntrustedText = ""
    is_core: bool = False
    reach: dict[str, Reach]


class GpuReach(Frozen):
    """One GPU by name and architecture ("sm_89"), and how the image reaches it.

    ``lacks`` says what has no code for it although the core has: a package of kernels, or a compiler that is
    called at run time. ``driver`` is the oldest that supports the GPU and runs what is inside,
    ``last_driver`` the newest branch that supports the GPU ("580"), empty if its support has not ended.
    """

    name: UntrustedText
    arch: UntrustedText
    reach: ImageReach
    lacks: UntrustedText = ""
    driver: UntrustedText = ""
    last_driver: UntrustedText = ""

    @model_serializer(mode="wrap")
    def _as_signed(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what certificates of before have not, where it is empty: it is written as it was signed."""
        return {name: value for name, value in write(self).items() if name != "lacks" or value}


class LayerSize(Frozen):
    """A layer: its digest, the command that made it, and its bytes: compressed, and of visible files."""

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
    """The size of an image in bytes: compressed in the registry, and its visible files; also by part."""

    compressed: Annotated[int, Field(ge=0)]
    installed: Annotated[int, Field(ge=0)]
    layers: tuple[LayerSize, ...] = ()
    packages: tuple[PackageSize, ...] = ()


class Certificate(Frozen):
    """What the files of one image say of where it will run, judged without a GPU.

    ``digest`` is empty for a folder. ``repository`` is where the image is to be published, ``inputs`` a
    key of what was expected of it; both are empty for a stranger's image. ``versions`` are those of the
    families of rules; certificates of before name none, and stand for the first version of each. ``driver``
    is None where nothing inside uses CUDA. ``libraries`` by ``architectures`` is the table of device code.
    ``driver_symbols`` are the functions of the driver's libraries without which objects inside do not load;
    certificates of before name none.
    ``unlocked``: no lock was at hand, so that what is installed was held against none.
    ``facts`` is the day on which the facts of compatibility were read, ``created`` an RFC 3339 time in UTC.
    """

    schema_number: Literal[1] = Field(1, alias="schema")
    name: UntrustedText
    repository: UntrustedText = ""
    inputs: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    versions: dict[Name, Version] = Field(default_factory=dict)
    digest: Annotated[str, Field(pattern=r"^(sha256:[0-9a-f]{64})?$")]
    platform: UntrustedText = ""
    findings: tuple[ImageFinding, ...]
    waived: tuple[WaivedFinding, ...] = ()
    cuda: UntrustedText = ""
    driver: DriverFloor | None = None
    driver_symbols: Annotated[
        tuple[Annotated[str, Field(pattern=f"^{DRIVER_SYMBOL}$")], ...], Field(max_length=MAX_DRIVER_SYMBOLS)
    ] = ()
    architectures: tuple[UntrustedText, ...] = ()
    libraries: tuple[LibraryReach, ...] = ()
    gpus: tuple[GpuReach, ...] = ()
    sizes: Sizes
    unlocked: bool = False
    facts: UntrustedText
    tool: UntrustedText
    created: Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=True)

    @model_serializer(mode="wrap")
    def _as_signed(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what certificates of before have not, where it is empty: it is written as it was signed."""
        later = {"versions", "driver_symbols", "unlocked"}
        return {name: value for name, value in write(self).items() if name not in later or value}

    def version_of(self, family: str) -> int:
        """The version of the rules of a family by which it was judged; 0 where it was not."""
        return version_of(family, self.versions, FIRST_RULES)

    @property
    def passed(self) -> bool:
        """True where nothing was found that would keep the image from running."""
        return not self.at(Severity.ERROR)

    def at(self, severity: Severity) -> tuple[ImageFinding, ...]:
        """The findings of this severity."""
        return tuple(finding for finding in self.findings if finding.severity is severity)
