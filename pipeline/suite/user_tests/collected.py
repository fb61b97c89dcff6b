"""What collecting a user's tests came to, as it is handed from one process to the other."""

from __future__ import annotations

from pipeline.model import BoundedText, Frozen


class Collected(Frozen):
    """The names of the tests, in the order in which they run; or why they cannot be, with the remedy."""

    names: tuple[str, ...] = ()
    refused: BoundedText = ""
    hint: BoundedText = ""
