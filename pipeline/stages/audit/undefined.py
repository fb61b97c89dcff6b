"""Which symbols of what is loaded nothing that is loaded with it defines."""

from __future__ import annotations

from bisect import bisect
from dataclasses import dataclass
from functools import lru_cache
from posixpath import commonprefix
from typing import TYPE_CHECKING

from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.python import site_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.loader import Load


@dataclass(frozen=True)
class Undefined:
    """The symbols that an object of a load lacks, and the objects that were asked for them."""

    path: str
    names: frozenset[str]
    scope: tuple[str, ...]


def undefined(image: ImageModel, root: str, load: Load, looked_at: set[str]) -> Iterator[Undefined]:
    """The objects of a load, below folders of packages, that lack symbols; each is looked at once.

    Python's own count as defined where the environment's program is not there, or cannot be loaded itself:
    then that is the fault.
    """
    environment = image.environment_of(root)
    python = environment.python if environment else ""
    scope = (*load.order, *_globally(image, python))
    assumed = [known_libraries.DRIVER[soname] for soname in load.drivers if known_libraries.DRIVER[soname]]
    if python not in image.inventory.objects or image.loader.load(python).missing:
        assumed += ["Py", "_Py"]
    for path in load.order:
        if path in looked_at or site_of(path) is None:
            continue
        looked_at.add(path)
        if names := _undefined(image, path, scope, tuple(assumed)):
            yield Undefined(path, names, scope)


def _globally(image: ImageModel, python: str) -> tuple[str, ...]:
    """The objects that every module of a Python sees besides its own: the program's, and preloaded ones.

    torch opens libtorch_global_deps.so globally (RTLD_GLOBAL); what it needs, users of torch need themselves.
    """
    if python not in image.inventory.objects:
        return ()
    preloaded = (image.links.file(path) for path in image.env.get("LD_PRELOAD", "").replace(":", " ").split())
    loaded = (path for path in preloaded if path in image.inventory.objects)
    return (*image.loader.load(python).order, *(path for path in loaded if path))


def _undefined(
    image: ImageModel, path: str, scope: Iterable[str], assumed: tuple[str, ...]
) -> frozenset[str]:
    missing = image.inventory.objects[path].undefined
    for provider in scope:
        if not missing:
            break
        missing -= image.inventory.objects[provider].defined
    return frozenset(name for name in missing if not name.startswith(assumed)) if assumed else missing


_NAMESPACED = "_Z"
_MIN_COMMON, _MIN_MANGLED = 4, 6
"""Letters in common that tell something: ``nccl``; of C++ the start of a namespace."""


def provider_of(image: ImageModel, lacking: Undefined) -> str | None:
    """The object that should define the first of the symbols, judged by the names that it does define.

    Symbols are not bound to libraries unless they have versions. A library's functions share a prefix, or a
    namespace, so it is the one with the longest start in common: of ``ncclCommResume`` the one that has
    ``ncclCommRevoke``.
    """
    symbol = first(lacking.names)
    least = _MIN_MANGLED if symbol.startswith(_NAMESPACED) else _MIN_COMMON
    lengths = {
        path: _longest_common(symbol, image.inventory.objects[path].defined)
        for path in dict.fromkeys(lacking.scope)
        if path != lacking.path
    }
    best = max(lengths, key=lambda path: lengths[path], default=None)
    return best if best and lengths[best] >= least else None


def _longest_common(symbol: str, names: frozenset[str]) -> int:
    """The letters that a symbol has in common with one of these names, from the start.

    In alphabetical order the name with the most is next to where the symbol would be.
    """
    ordered = _ordered(names)
    place = bisect(ordered, symbol)
    return max(
        (len(commonprefix((symbol, name))) for name in ordered[max(place - 1, 0) : place + 1]), default=0
    )


@lru_cache(maxsize=256)
def _ordered(names: frozenset[str]) -> list[str]:
    return sorted(names)


def first(names: Iterable[str]) -> str:
    """The symbol that a finding names: one of PyTorch's if there is any, as it says most."""
    return min(names, key=lambda name: (not known_libraries.is_torchs_symbol(name), name))
