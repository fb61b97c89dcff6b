"""Shadow: nothing in the image hides the host's driver from the loader."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_libraries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="shadow")

_STEMS = tuple(sorted({soname.partition(".so")[0] + ".so" for soname in known_libraries.DRIVER}))


def driver(image: ImageModel) -> Iterator[ImageFinding]:
    """No library of the driver is where the loader looks; the container toolkit mounts the host's.

    Empty files are ignored: the toolkit leaves them behind as mount points.
    """
    reasons = {
        real: reason for folder, reason in _search_folders(image) if (real := image.links.real(folder))
    }
    for path, node in sorted(image.inventory.nodes.items()):
        folder, _, name = path.rpartition("/")
        if not name.startswith("lib") or not name.startswith(_STEMS) or node.kind not in {"file", "link"}:
            continue
        real = image.links.file(path)
        if real is None or image.inventory.nodes[real].size == 0:
            continue
        reason = reasons.get(folder)
        if reason:
            yield _shadowing(path, real, reason)
        elif _is_compat(real) and node.kind == "file" and name.startswith("libcuda.so"):
            yield _finding(
                severity=Severity.NOTE,
                path=path,
                text="it is a driver for CUDA's forward compatibility, where the loader does not look",
                why="the container toolkit may use it on a data-centre GPU with an older driver; otherwise "
                "it is dead weight",
                hint="remove it (cuda-compat) if hosts have a driver that is new enough",
            )


def _shadowing(path: str, real: str, how: str) -> ImageFinding:
    if "/stubs/" in real:
        why = "it is a stub: no GPU is found, and PyTorch silently falls back to the CPU"
    elif _is_compat(real):
        why = (
            "it hides the host's driver: with a newer one there, every call fails with error 803 "
            "(https://github.com/vllm-project/vllm/issues/33447)"
        )
    else:
        why = "it is not the host's driver: the kernel module has another version, and every call fails"
    return _finding(
        severity=Severity.ERROR,
        path=path,
        text=f"a library of the driver is where the loader looks ({how})",
        why=why,
        hint=f"remove its folder from {how}, or remove the file",
    )


def _is_compat(path: str) -> bool:
    return "/compat/" in path or "/compat_orin/" in path


def _search_folders(image: ImageModel) -> Iterator[tuple[str, str]]:
    """Every folder where the loader looks and why, the strongest reason last."""
    for folder in image.loader.default_folders(image.machine):
        yield folder, "a default folder"
    for entry in image.inventory.linker_cache or ():
        if entry.soname.startswith(_STEMS):
            yield entry.path.rpartition("/")[0], "/etc/ld.so.cache"
    for folder in image.loader.configured:
        yield folder, "/etc/ld.so.conf"
    for folder in image.loader.library_path:
        yield folder, "LD_LIBRARY_PATH"
