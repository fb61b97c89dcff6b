"""What the objects of an image ask of the driver's libraries, which are on the host and never inside."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.model.certificates import DRIVER_SYMBOL, MAX_DRIVER_SYMBOLS
from pipeline.stages.audit.known_libraries import is_drivers

if TYPE_CHECKING:
    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.loader import Load

_LIBRARIES = frozenset({"libcuda.so.1", "libnvidia-ml.so.1"})
_SYMBOL = re.compile(DRIVER_SYMBOL)


def driver_symbols(image: ImageModel) -> tuple[str, ...]:
    """The functions of CUDA's driver and of NVML that must be there before an object inside can be loaded.

    Of each object that links one of these libraries, itself or through another: what it and all that it
    loads leave undefined. A copy of the driver inside does not count: it is a stub, or hides the host's.
    A function that is looked up by its name at run time is in no table of a file, so it is not among them.
    """
    asked_by = {path: _asked(obj.undefined) for path, obj in image.inventory.objects.items()}
    loads = (*image.loads.values(), *image.others.values())
    symbols = {
        symbol
        for load in loads
        if any(_LIBRARIES & set(image.inventory.objects[path].needs) for path in load.order)
        for symbol in _undefined(image, load, frozenset().union(*(asked_by[path] for path in load.order)))
    }
    return tuple(sorted(symbols)[:MAX_DRIVER_SYMBOLS])


def _asked(undefined: frozenset[str]) -> frozenset[str]:
    return frozenset(name for name in undefined if name[:2] in {"cu", "nv"} and _SYMBOL.fullmatch(name))


def _undefined(image: ImageModel, load: Load, symbols: frozenset[str]) -> frozenset[str]:
    """Of these symbols, those that nothing in the scope of the load defines but the driver."""
    objects = (image.inventory.objects[path] for path in load.order)
    for obj in objects:
        if symbols and not is_drivers(obj.soname):
            symbols -= obj.defined
    return symbols
