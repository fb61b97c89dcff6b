"""The shape of matrix.yaml: its sections and what each key may hold.

The text under a key is its description in the JSON Schema, which editors show.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.matrix.fields import (
    Alias,
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
    Platform,
    Project,
    Python,
    Ratio,
    Reason,
    RepositoryName,
    Requirement,
    Size,
    SystemPackage,
    Template,
    Torch,
    Tried,
    Vllm,
    refusal,
)
from pipeline.matrix.variables import Argument, EnvValue, Variable
from pipeline.model import CHECK_VERSIONS, MAX_ATTEMPTS, PROJECT, RULE_VERSIONS, CheckName, RuleName
from pipeline.model.systems import SuiteName

AUTO, NONE = "auto", "none"
"""Values of ``vllm``: the newest that fits, and none at all."""

EVERY_CELL = "*"
"""The glob of a rule that names no cells."""

Some = Field(min_length=1, max_length=1000)
"""A list that is not empty."""


def _listed(value: Any) -> Any:
    """``vllm: auto`` as ``vllm: [auto]``, which is easier to write."""
    return [value] if value in (AUTO, NONE) else value


_Releases = Annotated[tuple[Vllm, ...], Some]
Releases = Annotated[
    _Releases, BeforeValidator(_listed, json_schema_input_type=Literal["auto", "none"] | _Releases)
]


ProvenName = Literal[CheckName, RuleName]
_Least = Annotated[int, Field(ge=1, le=1_000_000)]
_VERSIONS = {**CHECK_VERSIONS, **RULE_VERSIONS}


def _made_here(least: dict[ProvenName, int]) -> dict[ProvenName, int]:
    """Refuses what no proof that is made by this program could have."""
    for name, version in least.items():
        if version > _VERSIONS[name]:
            raise refusal(
                f"version {version} of {name} is asked for, and here it has version {_VERSIONS[name]}",
                f"write {name}: {_VERSIONS[name]}, or use a newer release of {PROJECT}",
            )
    return least


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, use_attribute_docstrings=True)


class Include(Section):
    """One more cell, written out. If it is impossible, that is an error."""

    torch: Torch
    """The release of PyTorch."""
    cuda: Cuda
    """`cpu`, or the CUDA that PyTorch was compiled for: `cu130` is CUDA 13.0."""
    python: Python
    """The version of Python."""
    vllm: Vllm = NONE
    """The release of vLLM; `auto` for the newest that pins this PyTorch; left out or `none`: PyTorch only."""
    platform: Platform = "linux/amd64"
    """The system and processor."""


class Exclude(Section):
    """Combinations of the axes that are not wanted: those that agree with every axis named here."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 2})

    reason: Reason
    """Why these are not wanted; `plan` shows it."""
    torch: Torch | None = None
    """The release of PyTorch."""
    cuda: Cuda | None = None
    """`cpu`, or the CUDA that PyTorch was compiled for."""
    python: Python | None = None
    """The version of Python."""
    vllm: Vllm | None = None
    """The release of vLLM; `auto` for what `auto` in the axis stands for; `none` for images without vLLM."""
    platform: Platform | None = None
    """The system and processor."""

    @property
    def axes(self) -> dict[str, str]:
        """The axes that it names."""
        return self.model_dump(exclude={"reason"}, exclude_none=True)


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


class LeftOut(Rule):
    """Checks that some cells are not tried with. The record says so, and the gate does without them."""

    checks: Annotated[tuple[Tried, ...], Some]
    """Their names; of a test of yours `user:FILE::TEST`, or `user:FILE` for all of a file."""
    reason: Reason
    """Why they are not asked; the record shows it."""


class Publish(Section):
    """Where images go, and under which further names."""

    repository: RepositoryName
    """The repository of published images, `host/path`."""
    staging: RepositoryName | None = None
    """Where images wait for their proof; `<repository>-staging` unless it is named. The same registry."""
    tags: Annotated[tuple[Template, ...], Field(max_length=100)] = ()
    """Templates of further tags, one for every cell: `{torch}-{cuda}-py{python}`.

    The words are {cell} {torch} {cuda} {python} {vllm} (`none` without vLLM) {platform} (`linux-amd64`) and
    {arch} (`amd64`).
    """
    aliases: dict[Alias, Glob] = {}
    """Further tags, each for the one cell that its glob matches."""
    moves: Literal["forward", "never"] = "forward"
    """Whether a tag moves to a newer proven image of its cell."""


class SpeedBound(Section):
    """How much slower an image may be than the one that it takes the place of."""

    ratio: Ratio
    """How many times as long a first token may take, or how many times fewer tokens may come in a second.

    By the quartiles of `speed` on such a host, against the image that carries the cell's channel.
    """


class Verify(Section):
    """What the gate asks of a proof."""

    required: Annotated[tuple[CheckName, ...], Some] | None = None
    """The checks that must have passed; all unless they are named."""
    at_least: Annotated[dict[ProvenName, _Least], AfterValidator(_made_here)] = {}
    """The oldest version of a check, or of a family of rules, that counts: `correct: 2`; else any does."""
    model: Plain | None = None
    """A model to prove with, not the tiny one: a folder, from this file's, or an id. `lock` pins it."""
    tests: Plain | None = None
    """The folder of your own tests (`test_*.py`), from this file's; `tests/images` where that has any."""
    prompts: Plain | None = None
    """A file of prompts, or a folder of such files (`*.jsonl`), with the answers that `model` gives."""
    signers: tuple[Plain, ...] = ()
    """Files of the public keys whose records count, from this file's folder."""
    max_age_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """How old a record may be, in days."""
    flaky: Literal["refuse", "accept"] = "refuse"
    """Whether a pass after a failure of the same image counts."""
    speed: SpeedBound | None = None
    """What is compared of the check `speed`; nothing is unless this is written."""
    healthy_seconds: Annotated[int, Field(ge=1, le=7200)] = 600
    """How long a server may take until it is healthy, in seconds.

    A first start compiles: on an H100 with 16 cores vLLM 0.26.0 took 179, of which FlashInfer 107.
    """
    attempts: Annotated[int, Field(ge=1, le=MAX_ATTEMPTS)] = 2
    """How often a proof is tried in all, while the machine fails; a check that failed never is again."""


class File(Section):
    """What is published: every combination of the axes is a cell, and becomes one image."""

    schema_number: Annotated[int, Field(alias="schema", ge=1, le=1)]
    """The version of this language: 1."""
    torch: Annotated[tuple[Torch, ...], Some] | None = None
    """Axis: releases of PyTorch, quoted."""
    cuda: Annotated[tuple[Cuda, ...], Some] | None = None
    """Axis: `cpu`, or the CUDA that PyTorch was compiled for: `cu130` is CUDA 13.0."""
    python: Annotated[tuple[Python, ...], Some] | None = None
    """Axis: versions of Python, quoted: to YAML, 3.10 without quotes is 3.1."""
    vllm: Releases | None = None
    """Axis: releases of vLLM, quoted.

    `auto` is the newest that pins a cell's PyTorch and is compiled for its CUDA; `none` is an image with
    PyTorch only, which is also what leaving this out means.
    """
    platform: Annotated[tuple[Platform, ...], Some] | None = None
    """Axis: systems and processors; `linux/amd64` unless they are named."""
    exclude: Annotated[tuple[Exclude, ...], Field(max_length=1000)] = ()
    """Combinations of the axes that are not wanted, each with its reason."""
    include: Annotated[tuple[Include, ...], Field(max_length=1000)] = ()
    """Cells in addition to those of the axes."""
    gpu: Gpus = ()
    """The GPUs that CUDA cells are for; of a list, the last entry that matches a cell counts."""
    base: Bases
    """What every image stands on: one system, or a list of which each cell has one."""
    packages: Annotated[tuple[Packages, ...], Field(max_length=200)] = ()
    """Packages that are installed in addition to PyTorch and vLLM, by exact version."""
    constraints: Annotated[tuple[Bound, ...], Field(max_length=200)] = ()
    """Versions that the resolver must keep to, each with its reason."""
    overrides: Annotated[tuple[Bound, ...], Field(max_length=200)] = ()
    """Requirements that replace what packages declare, each with its reason."""
    omit: Annotated[tuple[Omit, ...], Field(max_length=200)] = ()
    """Packages that are left out although something asks for them, each with its reason."""
    trim: Annotated[tuple[Trim, ...], Field(max_length=200)] = ()
    """Files of packages that images do without, each with its reason."""
    system: tuple[SystemPackage, ...] = ()
    """Packages of the distribution that are added to the base."""
    env: dict[Variable, EnvValue] = {}
    """Environment variables of every image. Secrets belong to the run."""
    serve: tuple[Argument, ...] = ()
    """Arguments that every server starts with, before those of `docker run`."""
    publish: Publish
    """Where images go, and under which names."""
    verify: Verify = Field(default_factory=Verify)
    """How images are proven, and which proof counts."""
    budgets: Annotated[tuple[Budget, ...], Field(max_length=200)] = ()
    """How large images may become."""
    exceptions: Annotated[tuple[Waiver, ...], Field(max_length=200)] = ()
    """Findings of a certificate that are known and accepted, each with its reason and its end."""
    leave_out: Annotated[tuple[LeftOut, ...], Field(max_length=200)] = ()
    """Checks that some cells are not tried with, each with its reason."""


AXES = ("torch", "cuda", "python", "vllm", "platform")
SECTIONS: dict[str, type[Section]] = {
    "exclude": Exclude,
    "include": Include,
    "gpu": Gpu,
    "base": BaseImage,
    "packages": Packages,
    "constraints": Bound,
    "overrides": Bound,
    "omit": Omit,
    "trim": Trim,
    "publish": Publish,
    "verify": Verify,
    "budgets": Budget,
    "exceptions": Waiver,
    "leave_out": LeftOut,
}
"""The type of each section, by its key at the top of the file."""


def keys_of(section: type[Section]) -> tuple[str, ...]:
    """The keys that a section knows, as they are written."""
    return tuple(entry.alias or name for name, entry in section.model_fields.items())
