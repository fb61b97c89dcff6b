"""One CUDA: one major in a process, and no part of the toolkit newer than the runtime."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.certify import known
from pipeline.compat.facts import version
from pipeline.nouns import ImageFinding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.certify.subject import Subject

_finding = partial(ImageFinding, rule="one-cuda")


def majors(subject: Subject) -> Iterator[ImageFinding]:
    """All that links CUDA's runtime links that of one major; another's libraries are at most there unused."""
    users = subject.runtimes
    main = _main(subject)
    for major, paths in users.items():
        if major == main:
            continue
        for path in paths:
            yield _finding(
                severity=Severity.NOTE if known.matching(known.PLUGINS, path) else Severity.ERROR,
                path=path,
                what=f"it links CUDA {major}, the image's PyTorch or most of it CUDA {main}",
                why="streams, memory and errors of one runtime mean nothing to the other: the import fails, "
                "or a call does",
                remedy=f"install the build of its package for CUDA {main}",
            )
    yield from _unused(subject, main)
    yield from _compiled(subject, main)


def _main(subject: Subject) -> str:
    """The major that the image is for: that of its cell, of torch's own libraries, or of most users."""
    users = subject.runtimes
    if subject.wanted.cell and (version := subject.wanted.cell.cuda_version):
        return version.partition(".")[0]
    torchs = [major for major, paths in users.items() if any("/torch/lib/" in path for path in paths)]
    return max(torchs or users, key=lambda major: len(users[major]), default="")


def _unused(subject: Subject, main: str) -> Iterator[ImageFinding]:
    """Libraries of another major that nothing loaded links."""
    for path, one in sorted(subject.inventory.objects.items()):
        major = known.cuda_major(one.soname)
        if main and major and major != main and path not in subject.in_use:
            yield _finding(
                severity=Severity.NOTE,
                path=path,
                what=f"{one.soname} is of CUDA {major}, the image is for CUDA {main}",
                why="nothing that is loaded links it: it costs room, and someone may open it by name",
                remedy="leave out the package that brings it",
            )


def _compiled(subject: Subject, main: str) -> Iterator[ImageFinding]:
    """Kernels that another major's compiler made, in a library that brings a runtime of its own.

    NVIDIA's own are left out: parts of a toolkit are often compiled by an older one.
    """
    for path, one in sorted(subject.inventory.objects.items()):
        major = one.compiled_by.partition(".")[0]
        is_other = bool(main and major and major != main and one.device_code)
        if is_other and path in subject.in_use and "/nvidia/" not in path:
            yield _finding(
                severity=Severity.NOTE,
                path=path,
                what=f"its kernels were compiled by CUDA {one.compiled_by}, the image is for CUDA {main}",
                why="machine code runs all the same on a driver that is new enough; its PTX may not, and a "
                "second runtime linked into it shares nothing with the first",
                remedy=f"install the build of its package for CUDA {main}",
            )


def minors(subject: Subject) -> Iterator[ImageFinding]:
    """No part of the toolkit is of another minor than the runtime, or the consequence is said."""
    ours = subject.cuda
    if "." not in ours:
        return
    for what, theirs, where in subject.components:
        if theirs == ours or "." not in theirs:
            continue
        is_newer = version(theirs) > version(ours)
        makes_ptx = what in known.COMPILERS
        if theirs.partition(".")[0] != ours.partition(".")[0]:
            why = "what it makes or binds is of another major, whose runtime is not there"
        elif is_newer and makes_ptx:
            why = f"the PTX that it makes at run time needs the driver of CUDA {theirs}, not that of {ours}"
        elif is_newer:
            why = f"what is compiled with it may ask for what a runtime of {ours} lacks"
        else:
            why = f"it knows no architecture or feature that came with CUDA {ours}"
        yield _finding(
            severity=Severity.WARNING if is_newer else Severity.NOTE,
            path="" if not where.startswith("/") else where,
            what=f"{what} is of CUDA {theirs} ({where}), the runtime of {ours}",
            why=why,
            remedy=f"hold it back to CUDA {ours}, or raise the runtime",
        )
