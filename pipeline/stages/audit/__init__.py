"""The static certificate: will this image run, and where, told from its files alone, without a GPU.

    FileSystem → survey → Inventory → judge (rules) → Certificate

Nothing of the image is run, and only the files that a rule looks at are read.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipeline.model import key_of, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.model import Digest, Expectations, Waiver


def inputs_of(digest: Digest, expected: Expectations, waivers: Sequence[Waiver]) -> str:
    """A key of what a certificate is about: the image, what is expected of it, and the exceptions.

    The rules are not in it: a certificate names their versions. What the last proven image was like is not
    in it either, or each publication would void the certificates; nor are the facts of compatibility, or
    each refresh would: a certificate names the day of its own.
    """
    expectations = to_json(replace(expected, last=None))
    accepted = [[waiver.rule, waiver.path, waiver.expires.isoformat()] for waiver in waivers]
    return key_of([digest.value, expectations, sorted(accepted)])
