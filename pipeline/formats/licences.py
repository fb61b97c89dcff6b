"""What a Python distribution says of its licence, in its METADATA.

The field ``License-Expression`` holds an SPDX expression
(https://packaging.python.org/en/latest/specifications/core-metadata/); older packages have free text in
``License``, a whole licence at times, and classifiers. None of that is guessed into an expression: a
"BSD License" names no one licence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression

from pipeline.model import Licence

if TYPE_CHECKING:
    from email.message import Message

MAX_CHARACTERS = 200
"""Of a licence: what is longer is its text and not its name."""

_CLASSIFIER = "License ::"


def licence_of(metadata: Message) -> Licence | None:
    """The licence of a distribution by its METADATA; None where that says nothing short."""
    fields = [_line(metadata.get(name, "")) for name in ("License-Expression", "License")]
    for text in filter(None, fields):
        if expression := expression_of(text):
            return Licence(expression, is_expression=True)
    classifiers = (_line(line) for line in metadata.get_all("Classifier", ()))
    named = [line.rpartition("::")[2].strip() for line in classifiers if line.startswith(_CLASSIFIER)]
    name = ", ".join(dict.fromkeys(named)) or next(filter(None, fields), "")
    return Licence(name, is_expression=False) if 0 < len(name) <= MAX_CHARACTERS else None


def expression_of(text: str) -> str | None:
    """A text as a canonical SPDX expression, if it is one: ``MIT``, ``Apache-2.0 OR BSD-2-Clause``."""
    if not 0 < len(text) <= MAX_CHARACTERS:
        return None
    try:
        return canonicalize_license_expression(text)
    except InvalidLicenseExpression:
        return None


def _line(value: object) -> str:
    """A field in one line, without what a terminal would obey; empty where it has more than a line."""
    text = str(value).strip()
    return text if text.isprintable() and text.upper() != "UNKNOWN" else ""
