"""What a proof stands on beside the image and the suite's own checks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Basis:
    """The model that an image is tried with, and the tests of a user's, each by the digest of its files.

    ``tests`` is None where there are none: a record of such a proof is written as it was before there
    could be any.
    """

    model: str
    tests: str | None = None
