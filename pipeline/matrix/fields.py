"""The types of the fields: versions, names, tags, sizes, each with corrections for common mistakes.

Every pattern is strict, so that nothing passes which a shell, a Dockerfile or a workflow would interpret.
Each adds its pattern and an example to the JSON Schema.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError, core_schema

from pipeline import compat
from pipeline.formats import axes
from pipeline.model import CHECKS, USER_TEST, Cell, ImageRef, Repository
from pipeline.model.platforms import AMD64

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler

_MAX_SHOWN = 60


def refusal(what: str, hint: str) -> PydanticCustomError:
    """The error for a value that does not fit its key: what it is, and the remedy."""
    return PydanticCustomError("refused", "{what}", {"what": what, "hint": hint})


def shown(value: Any) -> str:
    """A value as an error shows it: quoted, on one line, not too long."""
    return brief(repr(value))


def quoted(text: str) -> str:
    """A text as it is written in the file: quoted, on one line, not too long."""
    return brief(json.dumps(text, ensure_ascii=not text.isprintable()))


def brief(text: str) -> str:
    """A text, cut off where it is too long for an error."""
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}…"


@dataclass(frozen=True)
class Text:
    """A text of one pattern: its name, an example, and how common mistakes are corrected.

    A slip is a pattern and its replacement; ``fallback`` corrects what no pattern can.
    """

    pattern: str
    name: str
    example: str
    slips: axes.Spellings = ()
    fallback: Callable[[str], str | None] = lambda _: None

    def check(self, value: str) -> str:
        """The value unchanged; raises with what was probably meant."""
        if re.fullmatch(self.pattern, value):
            return value
        meant = self._meant(value)
        hint = f'did you mean "{meant}"?' if meant else f'write it like "{self.example}"'
        raise refusal(f"{shown(value)} is no {self.name}", hint)

    def corrected(self, value: str) -> str:
        """The value, or what was probably meant by it."""
        return value if re.fullmatch(self.pattern, value) else self._meant(value) or value

    def _meant(self, value: str) -> str | None:
        fitting = (
            meaning for meaning in axes.meanings(value, self.slips) if re.fullmatch(self.pattern, meaning)
        )
        return next(fitting, None) or self.fallback(value)

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
        (*axes.CUDA, (r"(?:cu|cuda)?(\d\d)", r"cu\g<1>0")),
    ),
]
Glibc = Annotated[
    str,
    Text(
        r"2\.(?:1[7-9]|[2-9][0-9])",
        "glibc version that wheels are made for (2.17 or newer)",
        "2.36",
        ((r"(?:glibc)?[ =-]?(2)[._](\d\d)(?:\.\d+)?", r"\1.\2"),),
    ),
]
Python = Annotated[
    str,
    Text(
        r"3\.[0-9]{1,2}",
        "Python version",
        "3.11",
        axes.PYTHON,
    ),
]
Vllm = Annotated[
    str,
    Text(
        rf"auto|none|{_NUMBER}\.{_NUMBER}(\.{_NUMBER})?(\.{_NUMBER})?{_SUFFIX}",
        "vLLM release (or auto, or none)",
        "0.32.0",
        (
            (r"v(.+)", r"\1"),
            (r"(\d+\.\d+\.\d+)\+.*", r"\1"),
            (r"auto|latest|newest|\*", "auto"),
            (r"none|null|no|off|false|without|-", "none"),
        ),
    ),
]
Platform = Annotated[
    str,
    Text(
        r"linux/(amd64|arm64)",
        "platform",
        AMD64,
        axes.PLATFORM,
    ),
]
Arch = Annotated[
    str,
    Text(
        r"sm_[1-9][0-9]{1,2}",
        "GPU architecture",
        "sm_90",
        axes.ARCH,
        lambda name: gpu.sm if (gpu := compat.shipped().gpu(name)) else None,
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
ProjectGlob = Annotated[
    str, Text(r"[A-Za-z0-9*?][A-Za-z0-9._*?-]{0,99}", "pattern for names of packages", "nvidia-*")
]
PackageGlob = Annotated[
    str, Text(r"[A-Za-z0-9*?][A-Za-z0-9+._*?-]{0,99}", "pattern for names of packages", "openssl")
]
WeaknessId = Annotated[str, Text(r"[A-Za-z0-9][A-Za-z0-9._:-]{2,99}", "id of an advisory", "CVE-2026-12345")]
SystemPackage = Annotated[str, Text(r"[a-z0-9][a-z0-9+.-]{1,62}", "name of a Debian package", "libnuma1")]
Glob = Annotated[str, Text(r"[A-Za-z0-9.*?\[\]!{},-]{1,200}", "pattern for cell ids", "*-{cpu,cu130}-*")]
InstalledGlob = Annotated[
    str, Text(r"(?!/)[A-Za-z0-9_.*?\[\]!+/ -]{1,300}", "pattern for files of a package", "triton/**/*.a")
]
Alias = Annotated[
    str,
    Text(r"(?!sha256-)[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", "tag (letters, digits, . _ -)", "latest"),
]
Plain = Annotated[
    str, Text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,1000}", "text on one line", "Qwen/Qwen3-0.6B")
]


AXIS_TEXTS: dict[str, Text] = {
    name: get_args(kind)[1]
    for name, kind in {
        "torch": Torch,
        "cuda": Cuda,
        "python": Python,
        "vllm": Vllm,
        "platform": Platform,
    }.items()
}
"""What a value of each axis may be."""


# -- fields that a pattern alone does not check -------------------------------------------------------


def _tried(value: str) -> str:
    if value in CHECKS or re.fullmatch(USER_TEST, value):
        return value
    similar = get_close_matches(value, CHECKS, n=1)
    hint = f"the checks: {' '.join(CHECKS)}; of a test of yours: {_USER_TEST}"
    raise refusal(f"{shown(value)} is no check", f"did you mean {similar[0]}?" if similar else hint)


_USER_TEST = "user:test_answers::test_it_greets"


def _one_line(value: str) -> str:
    line = " ".join(value.split())
    if not line or not line.isprintable():
        raise refusal(f"{shown(value)} is no reason", "write a sentence that says why this is here")
    return line


def _day(value: str) -> str:
    try:
        if re.fullmatch(_DAY, value) and date.fromisoformat(value):
            return value
    except ValueError:
        pass
    raise refusal(f"{shown(value)} is no day", 'write it like "2026-11-20"')


def _hours(value: str) -> str:
    start, _, end = value.partition("-")
    if re.fullmatch(_HOURS, value) and start != end:
        return value
    raise refusal(f"{shown(value)} is no span of hours", 'write it like "18:00-06:00", in UTC')


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


def _only_words(template: str) -> str:
    for word in re.findall(r"\{(\w+)\}", template):
        if word not in WORDS:
            similar = get_close_matches(word.lower(), WORDS, n=1)
            hint = f"the words here: {', '.join(f'{{{name}}}' for name in WORDS)}"
            raise refusal(f"unknown word {{{word}}}", f"did you mean {{{similar[0]}}}?" if similar else hint)
    return template


WORDS = tuple(Cell("", "", "", None).words)
"""The words that the template of a tag may contain."""

_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_HOURS = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]-(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_HOSTED = r"[^\s/@]+(/[^\s/@]+)+"


def _json_schema(pattern: str, example: str) -> WithJsonSchema:
    """The JSON Schema of such a text, for editors."""
    return WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern})$", "examples": [example]})


Tried = Annotated[
    str,
    AfterValidator(_tried),
    WithJsonSchema(
        {
            "type": "string",
            "anyOf": [{"enum": [*CHECKS]}, {"pattern": f"^(?:{USER_TEST})$", "examples": [_USER_TEST]}],
        }
    ),
]
"""A check, or a test of the user's."""
Reason = Annotated[
    str, Field(max_length=1000, json_schema_extra={"pattern": r"\S"}), AfterValidator(_one_line)
]
Day = Annotated[str, AfterValidator(_day), _json_schema(_DAY, "2026-11-20")]
Hours = Annotated[str, AfterValidator(_hours), _json_schema(_HOURS, "18:00-06:00")]
RepositoryName = Annotated[
    str, AfterValidator(_repository), _json_schema(_HOSTED, "registry.example.org/team/vllm")
]
ImageByDigest = Annotated[
    str,
    AfterValidator(_image),
    _json_schema(rf"{_HOSTED}@sha256:[0-9a-f]{{64}}", f"registry.example.org/team/base@sha256:{'0' * 64}"),
]
Template = Annotated[
    str,
    Text(
        r"(?!sha256-)([A-Za-z0-9_]|\{\w+\})([A-Za-z0-9_.-]|\{\w+\}){0,99}",
        "template of a tag (letters, digits, . _ - and {words})",
        "{torch}-{cuda}-py{python}",
        ((r"(.*)\+(.*)", r"\1-\2"),),
    ),
    AfterValidator(_only_words),
]
Size = Annotated[
    str,
    Text(
        r"(?=.*[1-9])[0-9]{1,6}(\.[0-9]{1,6})? ?(GB|MB|GiB|MiB)",
        "size (in GB, MB, GiB or MiB)",
        "1.5 GB",
        (
            (r"(\d+(?:\.\d+)?) ?gb?", r"\1 GB"),
            (r"(\d+(?:\.\d+)?) ?gib?", r"\1 GiB"),
            (r"(\d+(?:\.\d+)?) ?mb?", r"\1 MB"),
            (r"(\d+(?:\.\d+)?) ?mib?", r"\1 MiB"),
            (r"(\d+),(\d+) ?gi?b?", r"\1.\2 GB"),
        ),
    ),
]


def bytes_in(size: str) -> int:
    """A ``Size`` in bytes: 1.5 GB is 1,500,000,000, 1 GiB is 1,073,741,824."""
    unit = {"GB": 10**9, "MB": 10**6, "GiB": 2**30, "MiB": 2**20}
    number = size.rstrip("GMiB ")
    return int(Decimal(number) * unit[size[len(number) :].strip()])


LEAST_SHARE, MOST_SHARE = 0.5, 0.95


def _share(value: object) -> float:
    """A share of a GPU's memory, as a number of the file or as text."""
    text = str(getattr(value, "text", value))  # a number with a point is none that YAML may make a value of
    share = float(text) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text) else -1.0
    if LEAST_SHARE <= share <= MOST_SHARE:
        return share
    meant = f"did you mean {share / 100:g}?" if LEAST_SHARE <= share / 100 <= MOST_SHARE else "write 0.9"
    raise refusal(
        f"{shown(text)} is no share of a GPU's memory from {LEAST_SHARE:g} to {MOST_SHARE:g}",
        f"{meant} (less is not what serves in production, more leaves CUDA itself no room)",
    )


MemoryShare = Annotated[
    float,
    BeforeValidator(_share),
    WithJsonSchema({"type": "number", "minimum": LEAST_SHARE, "maximum": MOST_SHARE}),
]

LEAST_RATIO, MOST_RATIO = 1.05, 100.0


def _ratio(value: object) -> float:
    """How many times slower something may be, as a number of the file or as text."""
    text = str(getattr(value, "text", value))
    ratio = float(text) if re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text) else -1.0
    if LEAST_RATIO <= ratio <= MOST_RATIO:
        return ratio
    raise refusal(
        f"{shown(text)} is no ratio from {LEAST_RATIO:g} to {MOST_RATIO:g}",
        "write 1.5 for half as slow again (two runs of one image may differ by more than a closer one)",
    )


Ratio = Annotated[
    float,
    BeforeValidator(_ratio),
    WithJsonSchema({"type": "number", "minimum": LEAST_RATIO, "maximum": MOST_RATIO}),
]
