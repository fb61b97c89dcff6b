"""The folder of the driver: loader and linker find it where a platform mounts it without the toolkit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.linker import DRIVER_FOLDER, linker_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel


def loader(image: ImageModel) -> Iterator[ImageFinding]:
    """The loader looks where GKE and Container-Optimized OS mount the driver."""
    if not image.uses_cuda or _is_loaded_from(image):
        return
    yield ImageFinding(
        rule="config",
        severity=Severity.NOTE,
        text=f"the loader does not look in {DRIVER_FOLDER}",
        why="GKE and Container-Optimized OS mount the driver there, without the container toolkit: no GPU is "
        "found (https://github.com/keras-team/kinetic/issues/269)",
        hint=f"for these platforms, set LD_LIBRARY_PATH and LIBRARY_PATH to {DRIVER_FOLDER}",
    )


def linker(image: ImageModel) -> Iterator[ImageFinding]:
    """Where the loader looks there, so does the linker, which Triton calls for its launchers."""
    is_enough = _is_configured(image) or DRIVER_FOLDER in linker_folders(image)
    if not image.uses_cuda or not _has_triton(image) or not _is_loaded_from(image) or is_enough:
        return
    if image.env.get("TRITON_LIBCUDA_PATH", "").rstrip("/") == DRIVER_FOLDER:
        return
    yield ImageFinding(
        rule="jit",
        severity=Severity.WARNING,
        text=f"LD_LIBRARY_PATH has {DRIVER_FOLDER}, and LIBRARY_PATH has not: the linker does not look there",
        why="Triton links its launchers with -l:libcuda.so.1, and ld reads no LD_LIBRARY_PATH; Triton names "
        "its folders only where ldconfig lists no libcuda.so.1 at all, not even one that is gone or another: "
        "/usr/bin/ld: cannot find -l:libcuda.so.1 (https://github.com/llm-d/llm-d/issues/1063)",
        hint=f"set LIBRARY_PATH={DRIVER_FOLDER} too, or put the folder into /etc/ld.so.conf.d and run "
        "ldconfig when the container starts",
    )


def list_of_libraries(image: ImageModel) -> Iterator[ImageFinding]:
    """``/sbin/ldconfig`` is there, which Triton asks for the driver's folder."""
    if not image.uses_cuda or not _has_triton(image) or image.env.get("TRITON_LIBCUDA_PATH"):
        return
    if image.links.file("/sbin/ldconfig") is None:
        yield ImageFinding(
            rule="jit",
            severity=Severity.WARNING,
            path="/sbin/ldconfig",
            text="/sbin/ldconfig is not there, which Triton asks where the driver is",
            why="Triton's first kernel fails: No such file or directory: '/sbin/ldconfig' "
            "(https://github.com/triton-lang/triton: third_party/nvidia/backend/driver.py, libcuda_dirs)",
            hint="install it (Debian: libc-bin), or set TRITON_LIBCUDA_PATH to the driver's folder",
        )


def _has_triton(image: ImageModel) -> bool:
    return "triton" in image.installed


def _is_loaded_from(image: ImageModel) -> bool:
    folders = (folder.rstrip("/") for folder in image.loader.library_path)
    return DRIVER_FOLDER in folders or _is_configured(image)


def _is_configured(image: ImageModel) -> bool:
    return DRIVER_FOLDER in image.loader.configured
