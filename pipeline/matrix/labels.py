"""Which labels the matrix may give an image: not those that every image has, and no secret."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from pipeline.matrix.fields import Text, refusal, shown
from pipeline.matrix.variables import no_secret
from pipeline.model import PROJECT

_SHAPE = r"[a-z0-9](?:[a-z0-9._/-]{0,98}[a-z0-9])?"
_OURS = rf"{PROJECT}\..*|org\.opencontainers\.image\.(?:title|version|base\.digest)"
_EACH_COMMITS = r"org\.opencontainers\.image\.(?:revision|created)"


def _label(name: str) -> str:
    """The name unchanged; raises with the reason where an image has it already, or must not have it."""
    if not re.fullmatch(_SHAPE, name):
        raise refusal(
            f"{shown(name)} is no label (lower case letters, digits and . _ - /)",
            'write it like "org.opencontainers.image.source"',
        )
    if re.fullmatch(_OURS, name):
        raise refusal(f"{shown(name)} is a label that every image has already", "leave it out")
    if re.fullmatch(_EACH_COMMITS, name):
        raise refusal(
            f"{shown(name)} would be another one with each commit, and make another image",
            "leave it out: an image is named by what it is made of, and one that was proven stays",
        )
    return name


LabelName = Annotated[
    str,
    AfterValidator(_label),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": f"^(?!(?:{_OURS}|{_EACH_COMMITS})$){_SHAPE}$",
            "examples": ["org.opencontainers.image.source"],
        }
    ),
]
LabelValue = Annotated[
    str,
    Text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]{1,1000}", "text on one line", "https://example.com/images"),
    BeforeValidator(no_secret),
]
