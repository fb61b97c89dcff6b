"""The linker's search, which is not the loader's: where ``ld`` finds what a compiler links at run time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipeline.stages.audit.image_model import ImageModel

DRIVER_FOLDER = "/usr/local/nvidia/lib64"
"""Where GKE and Container-Optimized OS mount the driver, without the container toolkit and its ldconfig:
https://cloud.google.com/kubernetes-engine/docs/how-to/gpus#cuda."""


def linker_folders(image: ImageModel) -> tuple[str, ...]:
    """Where ``ld`` looks besides what -L names: LIBRARY_PATH, which gcc hands on, and its own folders.

    It reads no LD_LIBRARY_PATH for what is named with -l, and no ld.so.cache: ld(1), gcc(1).
    """
    named = (folder.rstrip("/") for folder in image.env.get("LIBRARY_PATH", "").split(":") if folder)
    return tuple(dict.fromkeys((*named, *image.loader.default_folders(image.machine), "/usr/local/lib")))
