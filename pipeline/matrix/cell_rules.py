"""The sections of matrix.yaml that are lists of rules, each for the cells that its glob matches.

The text under a key is its description in the JSON Schema, which editors show.
"""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.matrix.fields import (
    Arch,
    Cuda,
    Day,
    ExactPin,
    Glibc,
    Glob,
    ImageByDigest,
    InstalledGlob,
    MemoryShare,
    Plain,
    Project,
    Python,
    Reason,
    Requirement,
    Size,
    Tried,
    refusal,
)
from pipeline.model import RuleName
from pipeline.model.systems import SuiteName

EVERY_CELL = "*"
"""The glob of a rule that names no cells."""

Some = Field(min_length=1, max_length=1000)
"""A list that is not empty."""


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, use_attribute_docstrings=True)


class Rule(Section):
    """Settings of some cells."""

    cells: Glob = EVERY_CELL
    """The cells that this is for: a glob over their ids, braces allowed."""


class Gpu(Rule):
    """The GPUs that CUDA cells are for. Of each key, the last entry that matches a cell and has it counts."""

    archs: Annotated[tuple[Arch, ...], Some] = ()
    """Architectures that every part of a CUDA image must have code for: `sm_90` is that of H100."""
    memory: MemoryShare = 0.9
    """The share of a GPU's memory that a server takes when proven: vLLM's gpu_memory_utilization."""


class BaseImage(Rule):
    """What images stand on: a distribution's suite as of a day, or an image by digest.

    Of several, each cell has the one that agrees with all that it names; one with a suite is for the cells
    of the Python that it brings.
    """

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["refresh"]}, {"required": ["image"]}]}
    )

    suite: SuiteName = "bookworm"
    """The distribution's suite: bookworm and trixie are Debian's, with Python 3.11 and 3.13; jammy and noble
    are Ubuntu's, with 3.10 and 3.12."""
    refresh: Day | None = None
    """The day whose packages the base takes, quoted. A newer day makes new images."""
    image: ImageByDigest | None = None
    """An image of yours instead, by digest."""
    glibc: Glibc = "2.28"
    """The glibc of your image: wheels that need a newer one are not chosen."""
    python: Annotated[tuple[Python, ...], Some] | None = None
    """The Pythons of the cells that this is for; all that it has unless they are named."""
    cuda: Annotated[tuple[Cuda, ...], Some] | None = None
    """The CUDAs of the cells that this is for; all unless they are named."""


def _several(value: Any) -> Any:
    """``base: {…}`` as ``base: [{…}]``: one entry for all cells needs no list."""
    return value if isinstance(value, list) else [value]


_Bases = Annotated[tuple[BaseImage, ...], Some]
_Gpus = Annotated[tuple[Gpu, ...], Field(max_length=200)]
Gpus = Annotated[_Gpus, BeforeValidator(_several, json_schema_input_type=Gpu | _Gpus)]
Bases = Annotated[_Bases, BeforeValidator(_several, json_schema_input_type=BaseImage | _Bases)]


class Packages(Rule):
    """Packages that are installed in addition to PyTorch and vLLM."""

    pins: Annotated[tuple[ExactPin, ...], Some]
    """Exact versions, `name==version`."""
    reason: Reason | None = None
    """Why they are installed."""


class Bound(Rule):
    """Versions that the resolver must keep to (constraints), or take whatever is asked (overrides)."""

    pins: Annotated[tuple[Requirement, ...], Some]
    """Requirements with a version, `name<version`."""
    reason: Reason
    """Why; the lock shows it."""


class Omit(Rule):
    """Packages that are left out although something asks for them."""

    packages: Annotated[tuple[Project, ...], Some]
    """Their names."""
    reason: Reason
    """Why; the lock shows it."""


class Trim(Rule):
    """Files of packages that images do without: those that nothing loads, includes or runs there."""

    packages: Annotated[tuple[Project, ...], Some]
    """The packages whose files they are."""
    files: Annotated[tuple[InstalledGlob, ...], Some]
    """Globs over paths in the folder of the packages, as a wheel lists them; `*` matches `/` too."""
    reason: Reason
    """Why no image needs them."""


class Budget(Rule):
    """How large the images of some cells may become. The last rule that matches a cell is its budget."""

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [{"required": ["compressed"]}, {"required": ["installed"]}, {"required": ["resident"]}]
        }
    )

    compressed: Size | None = None
    """The layers in a registry, as they are pulled: `1.5 GB`."""
    installed: Size | None = None
    """The unpacked image on a disk: `5 GB`."""
    resident: Size | None = None
    """What the processes of its server may hold of a host's memory, under load: `6 GB`."""
    reason: Reason | None = None
    """Why it may not be larger."""

    @model_validator(mode="after")
    def _has_a_size(self) -> Self:
        if self.compressed is None and self.installed is None and self.resident is None:
            raise refusal("a budget without a size", 'add `compressed: "1.5 GB"`, `installed` or `resident`')
        return self


class Waiver(Rule):
    """A finding of a certificate that is known and accepted for some cells, until a day."""

    rule: RuleName
    """The rule of the certificate."""
    path: Plain
    """The files that it is about: a glob over absolute paths. `*` also matches the image as a whole."""
    reason: Reason
    """Why it may stay; the certificate shows it."""
    expires: Day
    """The last day on which it counts, quoted. Then it is found again."""


class Support(Rule):
    """How long some cells get new tags. The last rule that matches a cell counts."""

    until: Day
    """The last day, quoted. After it the gate allows no publication; what is published stays."""
    reason: Reason
    """Why it ends; the gate says it."""


class LeftOut(Rule):
    """Checks that some cells are not tried with. The record says so, and the gate does without them."""

    checks: Annotated[tuple[Tried, ...], Some]
    """Their names; of a test of yours `user:FILE::TEST`, or `user:FILE` for all of a file."""
    reason: Reason
    """Why they are not asked; the record shows it."""
