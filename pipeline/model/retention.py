"""Which images of staging are still needed, and which nobody needs any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.model.reasons import Reason
    from pipeline.model.references import ImageRef


@dataclass(frozen=True)
class Staged:
    """An image in staging, and why it stays; ``stays`` is empty where nothing keeps it.

    ``last`` is the day of the newest statement beside it by a trusted key ("2026-11-20"), empty without one.
    """

    image: ImageRef
    tags: tuple[str, ...]
    last: str
    stays: str = ""


@dataclass(frozen=True)
class Retention:
    """The images of staging, in order of their age, and what is freed where those go that nothing keeps.

    ``freed`` are the compressed bytes that no other image of staging or of the destination needs.
    ``removed`` are those that went; ``reasons`` say why others did not, though they were to.
    """

    staged: tuple[Staged, ...]
    freed: int
    removed: tuple[ImageRef, ...] = ()
    reasons: tuple[Reason, ...] = ()

    @property
    def going(self) -> tuple[Staged, ...]:
        """Those that nothing keeps."""
        return tuple(one for one in self.staged if not one.stays)
