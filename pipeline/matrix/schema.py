"""The shape of matrix.yaml: its sections and what each key may hold.

The text under a key is its description in the JSON Schema, which editors show.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator

from pipeline.matrix.cell_rules import (
    BaseImage,
    Bases,
    Bound,
    Budget,
    Gpu,
    Gpus,
    LeftOut,
    Omit,
    Packages,
    Section,
    Some,
    Support,
    Trim,
    Waiver,
)
from pipeline.matrix.coming import Coming
from pipeline.matrix.fields import (
    Alias,
    Cuda,
    Day,
    Glob,
    Hours,
    Plain,
    Platform,
    ProjectGlob,
    Python,
    Ratio,
    Reason,
    RepositoryName,
    SystemPackage,
    Template,
    Torch,
    Vllm,
    refusal,
)
from pipeline.matrix.labels import LabelName, LabelValue
from pipeline.matrix.scanning import Scanning
from pipeline.matrix.variables import Argument, EnvValue, Variable
from pipeline.model import CHECK_VERSIONS, MAX_ATTEMPTS, PROJECT, RULE_VERSIONS, CheckName, RuleName

AUTO, NONE = "auto", "none"
"""Values of ``vllm``: the newest that fits, and none at all."""


def _listed(value: Any) -> Any:
    """``vllm: auto`` as ``vllm: [auto]``, which is easier to write."""
    return [value] if value in (AUTO, NONE) else value


_Releases = Annotated[tuple[Vllm, ...], Some]
Releases = Annotated[
    _Releases, BeforeValidator(_listed, json_schema_input_type=Literal["auto", "none"] | _Releases)
]


Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
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


class Hurry(Section):
    """Packages that a lock takes however young they are."""

    packages: Annotated[tuple[ProjectGlob, ...], Some]
    """Their names; `*` and `?` stand for any letters and for one."""
    reason: Reason
    """Why they cannot wait; the lock shows it."""


class Locking(Section):
    """What `lock` may take from the index."""

    cooldown: Annotated[int, Field(ge=1, le=365)]
    """For how many days a wheel has to have been on the index before a lock takes it."""
    exceptions: Annotated[tuple[Hurry, ...], Field(max_length=200)] = ()
    """Packages that need not wait, each with its reason."""


class Closed(Section):
    """When no tag is given: at each moment for which all holds that is named here. All times are UTC."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 2})

    days: Annotated[tuple[Weekday, ...], Field(max_length=7)] = ()
    """Days of the week: `[fri, sat, sun]`."""
    first: Annotated[Day | None, Field(alias="from")] = None
    """The first day, quoted."""
    until: Day | None = None
    """The last day, quoted; it is in it."""
    hours: Hours | None = None
    """From a time of the day up to another, past midnight where that comes first: `"18:00-06:00"`, in UTC."""
    reason: Reason
    """Why; a publication that is refused says it."""

    @model_validator(mode="after")
    def _is_some_time(self) -> Self:
        if not (self.days or self.first or self.until or self.hours):
            raise refusal("a freeze without a time", "name `days:`, `from:`, `until:` or `hours:`")
        if self.first and self.until and self.until < self.first:
            raise refusal(f"a freeze until {self.until} that begins on {self.first}", "exchange the two days")
        return self


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
    aliases: dict[Alias, Glob] = Field(default_factory=dict)
    """Further tags, each for the one cell that its glob matches."""
    moves: Literal["forward", "never"] = "forward"
    """Whether a tag moves to a newer proven image of its cell."""
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """For how many days after the last statement staging keeps an image that no tag names: see `prune`."""
    freeze: Annotated[tuple[Closed, ...], Field(max_length=200)] = ()
    """Days and hours on which no tag is given, each with its reason. What is taken back needs not wait."""


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
    at_least: Annotated[dict[ProvenName, _Least], AfterValidator(_made_here)] = Field(default_factory=dict)
    """The oldest version of a check, or of a family of rules, that counts: `correct: 2`; else any does."""
    later: Annotated[tuple[Coming, ...], Field(max_length=50)] = ()
    """What is asked besides, from a day on."""
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
    lock: Locking | None = None
    """What `lock` may take from the index; anything of any age unless this is written."""
    system: tuple[SystemPackage, ...] = ()
    """Packages of the distribution that are added to the base."""
    env: dict[Variable, EnvValue] = Field(default_factory=dict)
    """Environment variables of every image. Secrets belong to the run."""
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict)
    """Labels of every image, in addition to those that each has: `org.opencontainers.image.source: https://…`."""
    serve: tuple[Argument, ...] = ()
    """Arguments that every server starts with, before those of `docker run`."""
    publish: Publish
    """Where images go, and under which names."""
    verify: Verify = Field(default_factory=Verify)
    """How images are proven, and which proof counts."""
    scan: Scanning = Field(default_factory=Scanning)
    """Which weaknesses refuse an image that is scanned."""
    budgets: Annotated[tuple[Budget, ...], Field(max_length=200)] = ()
    """How large images may become."""
    exceptions: Annotated[tuple[Waiver, ...], Field(max_length=200)] = ()
    """Findings of a certificate that are known and accepted, each with its reason and its end."""
    support: Annotated[tuple[Support, ...], Field(max_length=200)] = ()
    """How long cells get new tags."""
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
    "lock": Locking,
    "publish": Publish,
    "verify": Verify,
    "scan": Scanning,
    "budgets": Budget,
    "exceptions": Waiver,
    "support": Support,
    "leave_out": LeftOut,
}
"""The type of each section, by its key at the top of the file."""


def keys_of(section: type[Section]) -> tuple[str, ...]:
    """The keys that a section knows, as they are written."""
    return tuple(entry.alias or name for name, entry in section.model_fields.items())
