"""Symbols: whatever an extension leaves undefined is defined by something that is loaded with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_families, known_libraries
from pipeline.stages.audit.installed import requirement_on
from pipeline.stages.audit.rules.shared_files import fittest, how_to_reinstall
from pipeline.stages.audit.undefined import first, provider_of
from pipeline.stages.audit.undefined import undefined as lacking_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.inventory import Distribution
    from pipeline.stages.audit.loader import Load
    from pipeline.stages.audit.undefined import Undefined

_OLD_STRING, _NEW_STRING = "RKSs", "__cxx11"
"""std::string in a mangled name, before and since the ABI of GCC 5:
https://gcc.gnu.org/onlinedocs/libstdc++/manual/using_dual_abi.html."""


def undefined(image: ImageModel) -> Iterator[ImageFinding]:
    """No module, and no library that it loads, needs a symbol that its process does not have.

    Python opens modules with RTLD_NOW, so one such symbol fails the import. A module with a missing library
    is skipped: that is already reported, and the symbols are in that library. Alternatives may lack some.
    """
    looked_at: set[str] = set()
    for root, load in sorted(image.modules.items(), key=_torch_first):
        if load.missing or known_libraries.matching(known_libraries.PLUGINS, root):
            continue
        if known_families.of(root):
            continue
        for lacking in lacking_in(image, root, load, looked_at):
            yield _finding(image, lacking, root)


def _torch_first(item: tuple[str, Load]) -> tuple[bool, str]:
    """Sorts torch first: its own problems are reported for torch, not for the first module that loads it."""
    return "/torch/_C." not in item[0], item[0]


def _finding(image: ImageModel, lacking: Undefined, root: str) -> ImageFinding:
    provider = provider_of(image, lacking)
    more = f" and {len(lacking.names) - 1} more" if len(lacking.names) > 1 else ""
    symbols = f"{first(lacking.names)[:200]}{more}"
    text = f"nothing that it is loaded with defines {symbols}"
    if provider:
        owners = image.owners.holders(provider)
        package = f" ({owners[0]})" if owners else ""
        text += f", nor does {provider.rpartition('/')[2]}{package}, which has its kind"
    through = "" if lacking.path == root else f" (when {root} is imported)"
    return ImageFinding(
        rule="symbols",
        severity=Severity.ERROR,
        path=lacking.path,
        text=text,
        why=f"the import fails{through}: undefined symbol; {_reason(image, lacking, provider)}",
        hint=_remedy(image, lacking, provider),
    )


# -- why --------------------------------------------------------------------------------------------


def _reason(image: ImageModel, lacking: Undefined, provider: str | None) -> str:
    """Why they are missing, judged by their names and by whose the library is that should define them."""
    if provider and len(claimants := image.owners.claimants(provider)) > 1:
        names = " and ".join(map(str, claimants))
        return f"{provider} is claimed by {names}, one of which overwrote it"
    torchs = [name for name in lacking.names if known_libraries.is_torchs_symbol(name)]
    is_new = any(_NEW_STRING in name for path in lacking.scope for name in _exceptions(image, path))
    if is_new and any(_OLD_STRING in name for name in torchs):
        return "it was built against a PyTorch with the C++ ABI from before GCC 5"
    if not is_new and any(_NEW_STRING in name for name in torchs):
        return (
            "it was built against a PyTorch with the C++ ABI since GCC 5, which the one inside does not have"
        )
    if torchs:
        return "it was built against another release of PyTorch"
    if provider:
        return "it was built against another release of that library"
    return "it was built against other libraries than are there"


def _exceptions(image: ImageModel, path: str) -> Iterator[str]:
    """PyTorch's own exceptions, whose constructors take strings and so reveal its C++ ABI."""
    if path.endswith("/libc10.so"):
        yield from (
            name for name in image.inventory.objects[path].defined if name.startswith("_ZN3c105Error")
        )


# -- the remedy -------------------------------------------------------------------------------------


def _remedy(image: ImageModel, lacking: Undefined, provider: str | None) -> str:
    """What makes asker and provider fit: for a package, for PyTorch itself, for a library of NVIDIA's."""
    asker = _package(image, lacking.path)
    if provider is None:
        who = asker.name if asker else "the package that it is from"
        return f"install a build of {who} for what is there, both in one resolve"
    claimants, holders = image.owners.claimants(provider), image.owners.holders(provider)
    if len(claimants) > 1:
        best = fittest(claimants, holders[0] if holders else None, image)
        if best not in holders:
            return how_to_reinstall(claimants, best, image)
    theirs = _package(image, provider)
    if asker and theirs and asker.name == theirs.name:
        return f"install {asker.name}=={asker.version} again: its files are of two builds"
    if asker and theirs and (wanted := requirement_on(theirs, asker, image)):
        return f"install {wanted!r}, which {asker} asks for"
    return _fitting(asker, theirs, provider)


def _fitting(asker: Distribution | None, theirs: Distribution | None, provider: str) -> str:
    name = provider.rpartition("/")[2]
    who = asker.name if asker else "the package that it is from"
    if theirs is None:
        return f"take a base with a newer {name}, or a build of {who} for the one that is there"
    if theirs.name == "torch":
        return f"install the build of {who} for {theirs}, both in one resolve"
    if asker and asker.name.startswith("nvidia-") and theirs.name.startswith("nvidia-"):
        return f"raise {theirs.name} to the CUDA release of {asker}, both in one resolve"
    return f"install {who} and {theirs.name} in one resolve, so that their releases fit"


def _package(image: ImageModel, path: str) -> Distribution | None:
    """The distribution whose file this is; by its top-level folder where no RECORD says."""
    if holders := image.owners.holders(path):
        return holders[0]
    environment = image.environment_of(path)
    name = environment.package(path).lower().replace("_", "-") if environment else ""
    return image.installed.get(name)
