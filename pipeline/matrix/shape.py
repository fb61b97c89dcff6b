"""The shape of matrix.yaml: what each key may hold, in types from which editors can be taught.

Every text has a strict shape, so nothing that a shell, a Dockerfile or a workflow would take for
more than text gets past this file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError, core_schema

from pipeline.nouns import CHECKS, CheckName, ImageRef, Repository

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

PYTHON_OF = {"bookworm": "3.11", "trixie": "3.13"}
"""The Python that each distribution's suite brings."""

_LONGEST = 60


def refusal(what: str, hint: str) -> PydanticCustomError:
    """The error of a value that is not what its key asks for: what it is instead, and the remedy."""
    return PydanticCustomError("refused", "{what}", {"what": what, "hint": hint})


def shown(value: Any) -> str:
    """A value as an error shows it: quoted, on one line, not too long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


@dataclass(frozen=True)
class Text:
    """A text of one shape: what it is called, an example, and how common slips are put right."""

    pattern: str
    name: str
    example: str
    slips: tuple[tuple[str, str], ...] = ()

    def check(self, value: str) -> str:
        """The value as it is; raises with what was probably meant."""
        if re.fullmatch(self.pattern, value):
            return value
        meant = self._meant(value)
        hint = f'did you mean "{meant}"?' if meant else f'write it like "{self.example}"'
        raise refusal(f"{shown(value)} is no {self.name}", hint)

    def _meant(self, value: str) -> str | None:
        for slip, remedy in self.slips:
            match = re.fullmatch(slip, value.strip(), re.IGNORECASE)
            if match and re.fullmatch(self.pattern, meant := match.expand(remedy)):
                return meant
        return None

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^(?:{self.pattern})$", "examples": [self.example]}


_SUFFIX = r"((a|b|rc)[0-9]{1,4})?(\.post[0-9]{1,4})?(\.dev[0-9]{1,8})?"
_NUMBER = "[0-9]{1,4}"
_PROJECT = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?"
_EXTRAS = rf"(?:\[{_PROJECT}(?:,{_PROJECT})*\])?"
_VERSION = r"[0-9][A-Za-z0-9.!+]{0,62}"
_CLAUSE = rf"(?:(?:==|!=)\s?{_VERSION}(?:\.\*)?|(?:<=|>=|<|>|~=)\s?{_VERSION})"

Torch = Annotated[
    str,
    Text(
        rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}{_SUFFIX}",
        "PyTorch release",
        "2.13.0",
        ((r"v?(\d+\.\d+\.\d+)\+.*", r"\1"), (r"v?(\d+\.\d+)", r"\1.0"), (r"v(\d+\.\d+\.\d+.*)", r"\1")),
    ),
]
Cuda = Annotated[
    str,
    Text(
        r"cpu|cu[0-9]{3}",
        "CUDA variant (cpu, or cu and three digits)",
        "cu130",
        (
            (r"(?:cu|cuda)?[ -]?(\d\d)\.?(\d)(?:\.\d+)?", r"cu\1\2"),
            (r"(?:cu|cuda)?(\d\d)", r"cu\g<1>0"),
            (r"cpu", "cpu"),
        ),
    ),
]
Glibc = Annotated[str, Text(r"2\.[0-9]{2}", "glibc version", "2.36")]
Python = Annotated[
    str,
    Text(
        r"3\.[0-9]{1,2}",
        "Python version",
        "3.11",
        ((r"(?:py|python|cp)?(3)\.?(\d{1,2})(?:\.\d+)?", r"\1.\2"),),
    ),
]
Vllm = Annotated[
    str,
    Text(
        rf"{_NUMBER}\.{_NUMBER}(\.{_NUMBER})?(\.{_NUMBER})?{_SUFFIX}",
        "vLLM release",
        "0.32.0",
        ((r"v(.+)", r"\1"), (r"(\d+\.\d+\.\d+)\+.*", r"\1")),
    ),
]
Platform = Annotated[
    str,
    Text(
        r"linux/(amd64|arm64)",
        "platform",
        "linux/amd64",
        (
            (r"(?:linux/)?(?:x86[_-]64|amd64|x64)", "linux/amd64"),
            (r"(?:linux/)?(?:aarch64|arm64).*", "linux/arm64"),
        ),
    ),
]
ExactPin = Annotated[
    str,
    Text(
        rf"{_PROJECT}{_EXTRAS}=={_VERSION}",
        "exact pin (name==version)",
        "numpy==2.3.4",
        ((r"([\w.-]+)\s*={1,3}\s*([\w.!+]+)", r"\1==\2"),),
    ),
]
Requirement = Annotated[
    str,
    Text(
        rf"{_PROJECT}{_EXTRAS}\s?{_CLAUSE}(?:,\s?{_CLAUSE})*",
        "requirement with a version",
        "nvidia-cuda-nvcc<13.1",
        ((r"([\w.-]+)\s*=\s*([\w.!+]+)", r"\1==\2"),),
    ),
]
Project = Annotated[str, Text(_PROJECT, "name of a Python package", "torchvision")]
SystemPackage = Annotated[str, Text(r"[a-z0-9][a-z0-9+.-]{1,62}", "name of a Debian package", "libnuma1")]
Glob = Annotated[str, Text(r"[A-Za-z0-9.*?\[\]!{},-]{1,200}", "pattern for cell ids", "*-{cpu,cu130}-*")]
Alias = Annotated[
    str,
    Text(r"(?!sha256-)[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", "tag (letters, digits, . _ -)", "latest"),
]
SecretFree = Annotated[
    str,
    Text(
        r"(?!LD_PRELOAD$)(?!.*(?:TOKEN|SECRET|PASSWORD|API_KEY)$)[A-Za-z_][A-Za-z0-9_]{0,99}",
        "environment variable for an image (secrets and LD_PRELOAD belong to the run)",
        "VLLM_NO_USAGE_STATS",
    ),
]
EnvValue = Annotated[
    str,
    Text(
        r"[^\x00-\x1f\x7f-\x9f\u2028\u2029$`\\\"]{0,1000}", 'plain value (no $, backtick, backslash, ")', "1"
    ),
]
Argument = Annotated[
    str,
    Text(
        r"[^\x00-\x1f\x7f-\x9f\u2028\u2029$`\\]{1,1000}",
        "plain argument (no $, backtick, backslash)",
        "--seed=0",
    ),
]
Plain = Annotated[
    str, Text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,1000}", "text on one line", "Qwen/Qwen3-0.6B")
]


def _one_line(value: str) -> str:
    line = " ".join(value.split())
    if not line or not line.isprintable():
        raise refusal(f"{shown(value)} is no reason", "say in a sentence why this is here")
    return line


def _day(value: str) -> str:
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) and date.fromisoformat(value):
            return value
    except ValueError:
        pass
    raise refusal(f"{shown(value)} is no day", 'write it like "2026-11-20"')


def _repository(value: str) -> str:
    try:
        Repository.parse(value)
    except ValueError as error:
        raise refusal(str(error), 'write it like "registry.example.org/team/vllm", without a tag') from error
    return value


def _image(value: str) -> str:
    try:
        ImageRef.parse(value)
    except ValueError as error:
        hint = "name the image by digest: host/path@sha256:… (a tag can change)"
        raise refusal(str(error), hint) from error
    return value


Reason = Annotated[str, Field(max_length=1000), AfterValidator(_one_line)]
Day = Annotated[str, AfterValidator(_day)]
RepositoryName = Annotated[str, AfterValidator(_repository)]
ImageByDigest = Annotated[str, AfterValidator(_image)]
Some = Field(min_length=1, max_length=1000)
"""A list that says something."""


class Section(BaseModel):
    """A mapping whose keys are all known."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Include(Section):
    """One more cell, written out."""

    torch: Torch
    cuda: Cuda
    python: Python
    vllm: Vllm | None = None
    platform: Platform = "linux/amd64"


class Exclude(Section):
    """Cells of the product that are not wanted: those that agree with every axis named here."""

    reason: Reason
    torch: Torch | None = None
    cuda: Cuda | None = None
    python: Python | None = None
    vllm: Vllm | None = None
    platform: Platform | None = None

    @property
    def axes(self) -> dict[str, str]:
        """The axes that it names."""
        return self.model_dump(exclude={"reason"}, exclude_none=True)


class BaseImage(Section):
    """What every image stands on: a distribution's suite as of a day, or an image by digest."""

    suite: Literal["bookworm", "trixie"] = "bookworm"
    refresh: Day | None = None
    image: ImageByDigest | None = None
    glibc: Glibc = "2.28"


class Rule(Section):
    """What is said of some cells."""

    cells: Glob = "*"


class Packages(Rule):
    """Packages that are installed beside PyTorch and vLLM."""

    pins: Annotated[tuple[ExactPin, ...], Some]
    reason: Reason | None = None


class Bound(Rule):
    """Versions that the resolver must keep to (constraints), or take whatever was asked (overrides)."""

    pins: Annotated[tuple[Requirement, ...], Some]
    reason: Reason


class Omit(Rule):
    """Packages that are left out although something asks for them."""

    packages: Annotated[tuple[Project, ...], Some]
    reason: Reason


class Publish(Section):
    """Where images go, and under which further names."""

    repository: RepositoryName
    staging: RepositoryName | None = None
    aliases: dict[Alias, Glob] = {}
    moves: Literal["forward", "never"] = "forward"


class Verify(Section):
    """What the gate asks of a proof."""

    required: Annotated[tuple[CheckName, ...], Some] = CHECKS
    model: Plain | None = None
    signers: tuple[Plain, ...] = ()
    max_age_days: Annotated[int, Field(ge=1, le=3650)] = 90
    flaky: Literal["refuse", "accept"] = "refuse"
    healthy_seconds: Annotated[int, Field(ge=1, le=7200)] = 300


class File(Section):
    """matrix.yaml as it is written."""

    schema_number: Annotated[int, Field(alias="schema", ge=1, le=1)]
    torch: Annotated[tuple[Torch, ...], Some] | None = None
    cuda: Annotated[tuple[Cuda, ...], Some] | None = None
    python: Annotated[tuple[Python, ...], Some] | None = None
    vllm: Annotated[tuple[Vllm, ...], Some] | None = None
    platform: Annotated[tuple[Platform, ...], Some] | None = None
    exclude: Annotated[tuple[Exclude, ...], Field(max_length=1000)] = ()
    include: Annotated[tuple[Include, ...], Field(max_length=1000)] = ()
    base: BaseImage
    packages: Annotated[tuple[Packages, ...], Field(max_length=200)] = ()
    constraints: Annotated[tuple[Bound, ...], Field(max_length=200)] = ()
    overrides: Annotated[tuple[Bound, ...], Field(max_length=200)] = ()
    omit: Annotated[tuple[Omit, ...], Field(max_length=200)] = ()
    system: tuple[SystemPackage, ...] = ()
    env: dict[SecretFree, EnvValue] = {}
    serve: tuple[Argument, ...] = ()
    publish: Publish
    verify: Verify = Verify()


AXES = ("torch", "cuda", "python", "vllm", "platform")
SECTIONS: dict[str, type[Section]] = {
    "exclude": Exclude,
    "include": Include,
    "base": BaseImage,
    "packages": Packages,
    "constraints": Bound,
    "overrides": Bound,
    "omit": Omit,
    "publish": Publish,
    "verify": Verify,
}
"""The type of each section, by its key at the top of the file."""


def keys_of(section: type[Section]) -> tuple[str, ...]:
    """The keys that a section knows, as they are written."""
    return tuple(entry.alias or name for name, entry in section.model_fields.items())
