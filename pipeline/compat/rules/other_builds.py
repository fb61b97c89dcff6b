"""vLLM's builds beside those of the default index: which one a cell needs, and what is known of it.

They are on an index of vLLM's own, or are files of its releases, which nobody reads here. That there is one,
for which architectures and with which glibc, is what its makers' own pipeline and threads say; what they do
not say is unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pipeline.compat.rules.releases import holds
from pipeline.formats.cuda import version_of
from pipeline.model import index_of, project_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.facts import Facts
    from pipeline.compat.rows import Source
    from pipeline.model import Cell

UNREAD = "nobody has read it here"


@dataclass(frozen=True)
class OtherBuild:
    """A build of vLLM by its release and its local version, and who says that there is one.

    Nobody does where the matrix pins one that no row names: then ``source`` is empty.
    """

    release: str
    build: str
    source: Source = ()
    archs: tuple[str, ...] | None = None
    glibc: str | None = None
    file: str = ""

    @property
    def version(self) -> str:
        """``0.27.0+cu129``."""
        return f"{self.release}+{self.build}"

    @property
    def cuda(self) -> str:
        """The CUDA that its name promises, ``12.9``."""
        return version_of(self.build)

    @property
    def place(self) -> str:
        """The index that has it, or the address of the file that it is."""
        return self.file or index_of("vllm", self.version)

    @property
    def where(self) -> str:
        """Where a lock looks for it."""
        return f"in a local folder, else on {index_of('vllm', self.version)}"


def other_vllm(cell: Cell, facts: Facts, pins: tuple[tuple[str, str], ...] = ()) -> OtherBuild | None:
    """The build that a CUDA cell has in the place of the default index's; None where it has that one."""
    if not cell.vllm or cell.cuda_version is None:
        return None
    return _other(cell.vllm, cell.cuda_version.partition(".")[0], cell.machine, facts, pins)


@cache
def _other(
    release: str, major: str, machine: str, facts: Facts, pins: tuple[tuple[str, str], ...]
) -> OtherBuild | None:
    """The build of a release for a major of CUDA, where the default index's is for another; or as pinned."""
    known = tuple(_builds(release, machine, facts))
    for name, version in pins:
        pinned, _, build = version.partition("+")
        if project_of(name) == "vllm" and pinned == release and build.startswith("cu"):
            return next((one for one in known if one.build == build), OtherBuild(release, build))
    default = facts.artefact("vllm", release, machine)
    if default is None or default.cuda is None or default.cuda.partition(".")[0] == major:
        return None
    with_cuda = (one for one in known if one.build != "cpu")
    return next((one for one in with_cuda if one.cuda.partition(".")[0] == major), None)


def own_cpu_build(cell: Cell, facts: Facts) -> OtherBuild | None:
    """The build for CPUs that vLLM's makers publish of this release; the community's is another one."""
    if not cell.vllm or cell.cuda_version is not None:
        return None
    known = _builds(cell.vllm, cell.machine, facts)
    return next((one for one in known if one.build == "cpu"), None)


def _builds(release: str, machine: str, facts: Facts) -> Iterator[OtherBuild]:
    """What is known of the builds of a release for a machine."""
    for row in facts.vllm_builds:
        if row.machine == machine and holds(row.vllm, release):
            file = row.file.format(release=release)
            yield OtherBuild(release, row.build, row.source, row.archs, row.glibc, file)
