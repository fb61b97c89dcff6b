"""One CUDA: one major in a process, and no part of the toolkit newer than the runtime."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.compat.facts import version
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_families, known_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="one-cuda")


def majors(image: ImageModel) -> Iterator[ImageFinding]:
    """Everything that links CUDA's runtime links one major; libraries of another are at most unused."""
    users = image.runtimes
    main = _main(image)
    for major, paths in users.items():
        if major == main:
            continue
        for path in paths:
            if known_families.of(path):
                continue
            yield _finding(
                severity=Severity.NOTE
                if known_libraries.matching(known_libraries.PLUGINS, path)
                else Severity.ERROR,
                path=path,
                text=f"it links CUDA {major}, but the image is for CUDA {main}",
                why="streams, memory and errors of one runtime mean nothing to the other: the import fails, "
                "or a call does",
                hint=f"install the build of its package for CUDA {main}",
            )
    yield from _unused(image, main)
    yield from _compiled(image, main)


def _main(image: ImageModel) -> str:
    """The major that the image is for: that of its cell, if it is one."""
    cell = image.expected.cell
    version = cell.cuda_version if cell else None
    return version.partition(".")[0] if version else image.cuda_major


def _unused(image: ImageModel, main: str) -> Iterator[ImageFinding]:
    """Libraries of another major that nothing links."""
    for path, obj in sorted(image.inventory.objects.items()):
        major = known_libraries.cuda_major(obj.soname)
        if main and major and major != main and path not in image.in_use:
            yield _finding(
                severity=Severity.NOTE,
                path=path,
                text=f"{obj.soname} is of CUDA {major}, the image is for CUDA {main}",
                why="nothing that is loaded links it: it wastes space, and could be opened by name",
                hint="remove the package that brings it",
            )


def _compiled(image: ImageModel, main: str) -> Iterator[ImageFinding]:
    """Kernels that were compiled by another major, in a library with a runtime of its own.

    NVIDIA's own are left out: parts of a toolkit are often compiled by an older one.
    """
    for path, obj in sorted(image.inventory.objects.items()):
        major = obj.compiled_by.partition(".")[0]
        is_other = bool(main and major and major != main and obj.device_code)
        if is_other and path in image.in_use and "/nvidia/" not in path:
            yield _finding(
                severity=Severity.NOTE,
                path=path,
                text=f"its kernels were compiled by CUDA {obj.compiled_by}, the image is for CUDA {main}",
                why="its machine code runs on a driver that is new enough; its PTX may not, and a "
                "second runtime linked into it shares nothing with the first",
                hint=f"install the build of its package for CUDA {main}",
            )


def minors(image: ImageModel) -> Iterator[ImageFinding]:
    """No part of the toolkit is of another minor than the runtime; else the consequence is reported."""
    runtime = image.cuda
    if "." not in runtime:
        return
    for what, part, where in image.components:
        is_other_major = part.partition(".")[0] != runtime.partition(".")[0]
        if part == runtime or "." not in part or (is_other_major and what == "the runtime"):
            continue  # what links a second runtime, or that nothing does, is reported above
        is_newer = version(part) > version(runtime)
        is_strict = is_other_major or what not in known_libraries.BINDINGS
        makes_ptx = what in known_libraries.COMPILERS
        if is_other_major:
            why = "what it compiles or binds is of another major, whose runtime is not there"
        elif is_newer and makes_ptx:
            why = (
                f"the PTX that it compiles at run time needs the driver of CUDA {part}, not that of {runtime}"
            )
        elif what in known_libraries.BINDINGS:
            why = "it looks functions up by their names: one that the runtime lacks fails when it is called"
        elif is_newer:
            why = f"what is compiled with it may need what a runtime of {runtime} lacks"
        else:
            why = f"it knows no architecture or feature that came with CUDA {runtime}"
        yield _finding(
            severity=Severity.WARNING if is_newer and is_strict else Severity.NOTE,
            path="" if not where.startswith("/") else where,
            text=f"{what} is of CUDA {part} ({where}), the runtime of {runtime}",
            why=why,
            hint=f"hold it back to CUDA {runtime}, or raise the runtime"
            if is_newer
            else f"raise it to CUDA {runtime}",
        )
