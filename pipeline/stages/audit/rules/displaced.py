"""Displaced: no other copy stands before the one of CUDA's libraries that a package brings for itself."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.image_model import is_grafted
from pipeline.stages.audit.loader import Loaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="shadow")


@dataclass(frozen=True)
class _Opener:
    """A package that opens a library by its bare name, as ``ctypes.CDLL`` does; where that was read."""

    package: str
    soname: str
    variable: str
    source: str


_OPENERS = (
    _Opener(
        "vllm",
        "libnccl.so.2",
        "VLLM_NCCL_SO_PATH",
        "https://github.com/vllm-project/vllm: vllm/distributed/device_communicators/pynccl_wrapper.py",
    ),
    _Opener(
        "sglang",
        "libnccl.so.2",
        "SGLANG_NCCL_SO_PATH",
        "https://github.com/sgl-project/sglang: srt/distributed/device_communicators/pynccl_wrapper.py",
    ),
    _Opener("verl", "libnccl.so.2", "", "https://github.com/verl-project/verl/pull/6621"),
)

_MAX_NAMES = 3
_SIBLINGS = {"libcudnn": "libcudnn_", "libnvrtc": "libnvrtc-builtins"}
"""Libraries of NVIDIA's that open others of their own release by name, and how those are called. cuDNN does
not go on with others: https://github.com/pytorch/pytorch/issues/188892."""


def by_name(image: ImageModel) -> Iterator[ImageFinding]:
    """What a package opens by its bare name is the copy that its Python has of it.

    Once PyTorch is loaded, the loader answers with PyTorch's; before that, or in a process without it, with
    the first that it finds.
    """
    if image.main is None or image.main.python not in image.inventory.objects:
        return
    for opener in _OPENERS:
        own = _own(image, opener.soname)
        if opener.package not in image.installed or own is None:
            continue
        found = image.loader.find(opener.soname, Loaded(image.main.python, ""))
        if found and found[1] != own and not image.env.get(opener.variable):
            yield _first(image, opener, found[1], own)


def _first(image: ImageModel, opener: _Opener, first: str, own: str) -> ImageFinding:
    versions = [_release(image, path) for path in (first, own)]
    is_same = versions[0] == versions[1] != ""
    named = [
        f"{path}{f' ({release})' if release else ''}"
        for path, release in zip((first, own), versions, strict=True)
    ]
    set_it = f"set {opener.variable}={own}, or " if opener.variable else ""
    return _finding(
        severity=Severity.NOTE if is_same else Severity.WARNING,
        path=first,
        text=f"who opens {opener.soname} by name gets {named[0]}, not the {named[1]} of its Python",
        why=f"{opener.package} opens it so: a function that the newer one has is missing in the older, "
        f"unless PyTorch has loaded its own before ({opener.source})",
        hint=f"{set_it}{_out_of_the_way(image, first)}",
    )


def siblings(image: ImageModel) -> Iterator[ImageFinding]:
    """A library that opens others of its release finds those beside it."""
    for path in sorted(image.in_use):
        stem = image.inventory.objects[path].soname.partition(".so.")[0]
        if stem not in _SIBLINGS:
            continue
        folder = path.rpartition("/")[0]
        strangers = [
            found[1]
            for soname in _called(image, path)
            if (found := image.loader.find(soname, Loaded(path, folder)))
            and found[1].rpartition("/")[0] != folder
        ]
        mixed = [
            one
            for one in strangers
            if _release(image, one) != _release(image, path) or not _release(image, one)
        ]
        if mixed:
            yield _finding(
                severity=Severity.WARNING,
                path=path,
                text=f"it opens {', '.join(mixed[:_MAX_NAMES])} in place of its own"
                + (f" and {len(mixed) - _MAX_NAMES} more" if len(mixed) > _MAX_NAMES else ""),
                why="parts of two releases in one process: CUDNN_STATUS_SUBLIBRARY_VERSION_MISMATCH at the "
                "first convolution (https://github.com/pytorch/pytorch/issues/188892)"
                if stem == "libcudnn"
                else "parts of two releases in one process: run-time compilation fails",
                hint=_out_of_the_way(image, mixed[0]),
            )


def by_path(image: ImageModel) -> Iterator[ImageFinding]:
    """LD_LIBRARY_PATH puts no other copy before the one that a module would find without it."""
    folders = {image.links.real(folder) for folder in image.loader.library_path}
    if not folders:
        return
    displaced: dict[str, str] = {}
    for load in image.modules.values():
        for soname, real in load.names.items():
            folder = load.origins.get(real, "")
            if image.links.real(folder) in folders and _is_cudas(soname):
                own = _own(image, soname)
                if own and own != real:
                    displaced[real] = own
    for real, own in sorted(displaced.items()):
        releases = [_release(image, path) for path in (real, own)]
        is_same = releases[0] == releases[1] != ""
        yield _finding(
            severity=Severity.NOTE if is_same else Severity.WARNING,
            path=real,
            text=f"LD_LIBRARY_PATH puts it before {own}, the one of the image's Python",
            why="PyTorch and what is built for it were tested with theirs; another release may lack a "
            "function or a kernel, and mixes with those parts that are found elsewhere",
            hint=_out_of_the_way(image, real),
        )


def in_folders(image: ImageModel) -> Iterator[ImageFinding]:
    """The folders of LD_LIBRARY_PATH have no other releases than the packages, though nothing takes them yet.

    PyTorch's own libraries have an RPATH, which goes before the variable; not all that is built for it has.
    """
    displacing = _paths(image)
    for folder in dict.fromkeys(image.links.real(one) or "" for one in image.loader.library_path):
        others = dict(_other_releases(image, folder))
        if others and displacing.isdisjoint(others):
            names = list(others.values())
            more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
            yield _finding(
                severity=Severity.WARNING,
                path=folder,
                text="LD_LIBRARY_PATH has it, with other releases than the packages of the image's Python: "
                f"{', '.join(names[:_MAX_NAMES])}{more}",
                why="what has no RPATH, or opens one of them by name, gets these, and PyTorch its own: parts "
                "of two releases in one process (https://github.com/pytorch/pytorch/issues/80637)",
                hint=f"take {folder} out of LD_LIBRARY_PATH",
            )


def _other_releases(image: ImageModel, folder: str) -> Iterator[tuple[str, str]]:
    """The libraries in a folder of which the packages have another release: path, and words for both."""
    site = f"{image.main.site}/" if image.main else ""
    for path, obj in sorted(image.inventory.objects.items()):
        is_there = path.rpartition("/")[0] == folder and not path.startswith(site)
        own = _own(image, obj.soname) if is_there and _is_cudas(obj.soname) else None
        releases = [_release(image, one) for one in (path, own) if one]
        if len(set(releases)) == len(releases) > 1 and all(releases):
            yield path, f"{obj.soname} ({releases[0]}, not {releases[1]})"


def paths(image: ImageModel) -> frozenset[str]:
    """The libraries that displace others, or would."""
    folders = {image.links.real(folder) or "" for folder in image.loader.library_path}
    others = (path for folder in folders for path, _ in _other_releases(image, folder))
    return _paths(image) | frozenset(others)


def _paths(image: ImageModel) -> frozenset[str]:
    return frozenset(finding.path for rule in (by_name, by_path) for finding in rule(image))


def _is_cudas(soname: str) -> bool:
    return any(fnmatchcase(soname, glob) for glob in known_libraries.CUDA_FAMILY)


def _own(image: ImageModel, soname: str) -> str | None:
    """The copy among the packages of the main environment."""
    site = image.main.site if image.main else ""
    paths = (
        path
        for path, obj in sorted(image.inventory.objects.items())
        if obj.soname == soname and path.startswith(f"{site}/") and not is_grafted(path)
    )
    return next(paths, None) if site else None


def _called(image: ImageModel, opener: str) -> list[str]:
    """The sonames that this library opens: those beside it, and those of the image with its own number."""
    objects, folder = image.inventory.objects, opener.rpartition("/")[0]
    stem, _, number = objects[opener].soname.partition(".so.")
    siblings = {
        obj.soname
        for path, obj in objects.items()
        if obj.soname.startswith(_SIBLINGS[stem])
        and (path.rpartition("/")[0] == folder or obj.soname.endswith(f".so.{number}"))
    }
    return sorted(siblings)


def _release(image: ImageModel, path: str) -> str:
    """The release of a library of NVIDIA's: of its package if it is in one, else by its own file's name."""
    name = path.rpartition("/")[2]
    stem = name.partition(".so")[0].partition("_")[0].removeprefix("lib").lower().removesuffix("lt")
    if image.main and path.startswith(f"{image.main.site}/"):
        packages = [
            one
            for key, one in image.installed.items()
            if re.fullmatch(f"nvidia-(cuda-)?{stem}(-cu[0-9]+)?", key)
        ]
        return ".".join(packages[0].version.split(".")[:3]) if len(packages) == 1 else ""
    numbered = re.search(r"\.so\.([0-9]+\.[0-9]+\.[0-9]+)(\.[0-9]+)?$", name)
    return numbered[1] if numbered else ""


def _out_of_the_way(image: ImageModel, path: str) -> str:
    """How the loader is kept from finding what lies there."""
    folder = path.rpartition("/")[0]
    if folder in {image.links.real(one) for one in image.loader.library_path}:
        return f"take {folder} out of LD_LIBRARY_PATH"
    if folder in {image.links.real(one) for one in image.loader.default_folders(image.machine)}:
        return f"remove {path}"
    return f"remove {path}, or take its folder out of /etc/ld.so.conf.d and run ldconfig"
