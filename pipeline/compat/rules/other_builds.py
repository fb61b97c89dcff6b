"""vLLM's builds for another CUDA than the default index's: which one a cell needs, and what is known of it.

They are on an index of vLLM's own that nobody reads here. So their name tells which CUDA they are for, and
nothing else is claimed of them: not that they are there, nor their architectures, nor their glibc.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compat.rules.releases import holds, vllm_of
from pipeline.formats.cuda import version_of
from pipeline.model import index_of, project_of

if TYPE_CHECKING:
    from pipeline.compat.facts import Facts, Source
    from pipeline.model import Cell

UNREAD = "that index was not read: not verified here"


@dataclass(frozen=True)
class OtherBuild:
    """A build of vLLM by its release and its local version, and who says that there is one.

    Nobody does where the matrix pins it: then ``source`` is empty.
    """

    release: str
    build: str
    source: Source = ()

    @property
    def version(self) -> str:
        """``0.27.0+cu129``."""
        return f"{self.release}+{self.build}"

    @property
    def cuda(self) -> str:
        """The CUDA that its name promises, ``12.9``."""
        return version_of(self.build)

    @property
    def where(self) -> str:
        """Where a lock looks for it."""
        return f"in a local folder, else on {index_of('vllm', self.version)}"


def other_vllm(cell: Cell, facts: Facts, pins: tuple[tuple[str, str], ...] = ()) -> OtherBuild | None:
    """The build that a CUDA cell has in the place of the default index's; None where it has that one."""
    if not cell.vllm or cell.cuda_version is None:
        return None
    for name, version in pins:
        release, _, build = version.partition("+")
        if project_of(name) == "vllm" and release == cell.vllm and build.startswith("cu"):
            return OtherBuild(release, build)
    default, major = vllm_of(cell, facts), cell.cuda_version.partition(".")[0]
    if default is None or default.cuda is None or default.cuda.partition(".")[0] == major:
        return None
    for row in facts.vllm_builds:
        if version_of(row.build).partition(".")[0] == major and holds(row.vllm, cell.vllm):
            return OtherBuild(cell.vllm, row.build, row.source)
    return None
