"""Which environment variables and arguments the matrix may set in an image, and where others belong.

Refused is a variable that changes which code is loaded or started, that the image sets itself, that belongs
to the machine on which it runs, or that holds a secret; and an argument that holds a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from pipeline.formats import secrets
from pipeline.matrix.fields import Text, refusal, shown

_HARMLESS_TO_PYTHON = (
    "UNBUFFERED",
    "HASHSEED",
    "DONTWRITEBYTECODE",
    "FAULTHANDLER",
    "IOENCODING",
    "UTF8",
    "WARNINGS",
    "MALLOC",
    "DEVMODE",
    "TRACEMALLOC",
    "ASYNCIODEBUG",
    "INTMAXSTRDIGITS",
    "NODEBUGRANGES",
    "COERCECLOCALE",
)


@dataclass(frozen=True)
class Kind:
    """Variables that are refused: a pattern of names (also for editors), why, and where they belong."""

    names: str
    why: str
    remedy: str


_TO_THE_RUN = "pass it to the container when it starts: docker run -e {name}=…"
_INSTALL = "install what is to be loaded, under `packages:` or `system:`; for one run: docker run -e {name}=…"

KINDS: tuple[Kind, ...] = (
    Kind(
        r"LD_[A-Z0-9_]+|GLIBC_TUNABLES|GCONV_PATH",
        "it changes which libraries every program of the image loads",
        _INSTALL,
    ),
    Kind(
        rf"PYTHON(?!(?:{'|'.join(_HARMLESS_TO_PYTHON)})$)[A-Z0-9_]+",
        "it changes which code Python loads, or how",
        _INSTALL,
    ),
    Kind(
        r"ENV|BASH_[A-Z0-9_]+|BASHOPTS|SHELLOPTS|IFS|CDPATH|GLOBIGNORE|PROMPT_COMMAND|PS[0-4]|ZDOTDIR",
        "it changes what every shell runs, or how it reads its scripts",
        _TO_THE_RUN,
    ),
    Kind(
        r"NODE_(?:OPTIONS|PATH)|PERL5[A-Z]+|PERLLIB|RUBY(?:LIB|OPT)|LUA_C?PATH|(?:_JAVA|JAVA_TOOL|JDK_JAVA)_OPTIONS"
        r"|OPENSSL_(?:CONF|ENGINES|MODULES)|GIT_(?:SSH|SSH_COMMAND|EXEC_PATH|ASKPASS|CONFIG_[A-Z0-9_]+)"
        r"|[A-Z0-9]+_INJECTION(?:32|64)_PATH|VLLM_(?:NCCL|CUDART)_SO_PATH"
        r"|GCC_EXEC_PREFIX|COMPILER_PATH|LIBRARY_PATH|CPATH|C(?:PLUS)?_INCLUDE_PATH",
        "it makes programs load, start or compile in other code than what is installed",
        _TO_THE_RUN,
    ),
    Kind(r"SERVE_ARGS", "the image sets it itself", "write the arguments under `serve:`"),
    Kind(
        r"PATH|HOME|USER",
        "the image sets it itself, and what it starts is found by it",
        _INSTALL,
    ),
    Kind(
        r"NVIDIA_(?!TF32_OVERRIDE$)[A-Z0-9_]+|CUDA_VISIBLE_DEVICES|CUDA_MPS_[A-Z0-9_]+",
        "it selects which GPUs and which parts of the driver a container gets; the image sets what it needs",
        "set it when the container starts: docker run --gpus … -e {name}=…",
    ),
    Kind(
        rf"AWS_(?!(?:(?:DEFAULT_)?REGION|EC2_METADATA_DISABLED)$)[A-Z0-9_]+|{secrets.NAMES}",
        "it is named like a secret, and everyone who can pull the image can read it",
        "secrets belong to the run: docker run -e {name}",
    ),
)
"""The kinds that are refused by name; the first match gives the reason."""

_SHAPE = r"[A-Za-z_][A-Za-z0-9_]{0,99}"
_MAX_SEARCHED = 2000
"""How many characters of a value are searched for a secret; a longer one is refused for its length."""
_STUBS = re.compile(r"(?:^|[:=/])stubs(?:[:/]|$)")


def variable(name: str) -> str:
    """The name unchanged; raises with the reason and where such a variable belongs."""
    if not re.fullmatch(_SHAPE, name):
        raise refusal(
            f"{shown(name)} is no environment variable (letters, digits and _)",
            'write it like "VLLM_NO_USAGE_STATS"',
        )
    for kind in KINDS:
        if re.fullmatch(kind.names, name) or (kind is KINDS[-1] and secrets.is_name_of_one(name)):
            what = f"{shown(name)} is no environment variable for an image: {kind.why}"
            raise refusal(what, kind.remedy.format(name=name))
    return name


def no_secret(value: object) -> object:
    """The value unchanged; of a secret only its kind is reported, never the value itself."""
    if isinstance(value, str) and (form := secrets.form_of(value[:_MAX_SEARCHED])):
        raise refusal(
            f"the value holds {form}, and everyone who can pull the image can read it",
            "revoke it if anyone has seen this file, and pass the new one to the run: docker run -e …",
        )
    return value


def _no_stubs(value: str) -> str:
    """The value unchanged, unless it names a folder of stubs: these hide the real driver."""
    if _STUBS.search(value):
        raise refusal(
            f"{shown(value)} names a folder of stubs, which hide the GPU's driver",
            "leave it out: the container toolkit brings the driver's own libraries",
        )
    return value


def _no_secret_option(word: str) -> str:
    """The argument unchanged, unless it is an option that takes a secret."""
    option = word.partition("=")[0]
    if option.startswith("-") and secrets.is_name_of_one(option):
        raise refusal(
            f"{shown(option)} takes a secret, and everyone who can pull the image can read it",
            f"secrets belong to the run: docker run IMAGE {option} …",
        )
    return word


Variable = Annotated[
    str,
    AfterValidator(variable),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(?!(?:{'|'.join(kind.names for kind in KINDS)})$){_SHAPE}$",
            "examples": ["VLLM_NO_USAGE_STATS"],
        }
    ),
]
EnvValue = Annotated[
    str,
    Text(
        r'[^\x00-\x1f\x7f-\x9f\u2028\u2029$`\\"]{0,1000}', 'plain value (no $, backtick, backslash, ")', "1"
    ),
    AfterValidator(_no_stubs),
    BeforeValidator(no_secret),
]
Argument = Annotated[
    str,
    Text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,1000}", "argument on one line", "--seed=0"),
    AfterValidator(_no_secret_option),
    BeforeValidator(no_secret),
]
