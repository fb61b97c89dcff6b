"""Symbols: whatever an extension leaves undefined is defined by something that is loaded with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.python import site_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.loader import Load

_OLD_STRING, _NEW_STRING = "RKSs", "__cxx11"
"""std::string in a mangled name, before and since the ABI of GCC 5:
https://gcc.gnu.org/onlinedocs/libstdc++/manual/using_dual_abi.html."""

_TORCHS = ("_ZN2at", "_ZNK2at", "_ZN3c10", "_ZNK3c10", "_ZN5torch", "_ZNK5torch", "aoti_torch_", "torch_")


def undefined(image: ImageModel) -> Iterator[ImageFinding]:
    """No module, and no library that it loads, needs a symbol that its process does not have.

    Python opens modules with RTLD_NOW, so one such symbol fails the import. A module with a missing library
    is skipped: that is already reported, and the symbols are in that library.
    """
    reported: set[str] = set()
    for root, load in sorted(image.modules.items(), key=_torch_first):
        if load.missing or known_libraries.matching(known_libraries.PLUGINS, root):
            continue
        environment = image.environment_of(root)
        scope = (*load.order, *_globally(image, environment.python if environment else ""))
        assumed = [
            known_libraries.DRIVER[soname] for soname in load.drivers if known_libraries.DRIVER[soname]
        ]
        if environment is None or environment.python not in image.inventory.objects:
            assumed += ["Py", "_Py"]
        for path in load.order:
            if path in reported or site_of(path) is None:
                continue
            reported.add(path)
            missing = _undefined(image, path, scope, tuple(assumed))
            if missing:
                is_new = any(
                    _NEW_STRING in name for object_path in scope for name in _exceptions(image, object_path)
                )
                yield _finding(path, root, _reason(missing, is_new=is_new), missing)


def _torch_first(item: tuple[str, Load]) -> tuple[bool, str]:
    """Sorts torch first: its own problems are reported for torch, not for the first module that loads it."""
    return "/torch/_C." not in item[0], item[0]


def _exceptions(image: ImageModel, path: str) -> Iterator[str]:
    """PyTorch's own exceptions, whose constructors take strings and so reveal its C++ ABI."""
    if path.endswith("/libc10.so"):
        yield from (
            name for name in image.inventory.objects[path].defined if name.startswith("_ZN3c105Error")
        )


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


def _finding(path: str, root: str, reason: str, missing: frozenset[str]) -> ImageFinding:
    first = min(missing, key=lambda name: (not name.startswith(_TORCHS), name))
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    through = "" if path == root else f" (when {root} is imported)"
    return ImageFinding(
        rule="symbols",
        severity=Severity.ERROR,
        path=path,
        text=f"nothing that it is loaded with defines {first[:200]}{more}",
        why=f"the import fails{through}: undefined symbol; {reason}",
        hint="install the build of this package for the PyTorch that is there, both in one resolve",
    )


def _reason(missing: frozenset[str], *, is_new: bool) -> str:
    """Why they are missing, judged by their names; ``is_new``: the PyTorch inside has the ABI since GCC 5."""
    torchs = [name for name in missing if name.startswith(_TORCHS)]
    if is_new and any(_OLD_STRING in name for name in torchs):
        return "it was built against a PyTorch with the C++ ABI from before GCC 5"
    if not is_new and any(_NEW_STRING in name for name in torchs):
        return (
            "it was built against a PyTorch with the C++ ABI since GCC 5, which the one inside does not have"
        )
    if torchs:
        return "it was built against another release of PyTorch"
    return "it was built against other libraries than are there"
