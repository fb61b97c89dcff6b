"""What every environment is asked, whether it serves or not: is it what the lock says, and does it load."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from pipeline.formats import requirements
from pipeline.formats.gpu_arch import Coverage, coverage
from pipeline.model.errors import MachineError
from pipeline.suite.expect import Mismatch, brief, expect, expect_that

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.suite.stage import Stage

_NO_DRIVER = re.compile(r"lib(?:cuda|nvidia-ml|nvcuvid|nvidia-encode)\.so\.1: cannot open shared object file")


def check_versions(stage: Stage) -> None:
    """torch, its CUDA, Python and vLLM, or none, inside are those of lock and cell; so are the labels."""
    cell, expected, installed = stage.trial.cell, stage.trial.expected, stage.packages()
    torch, pinned = _found(stage.facts(), "torch"), expected.torch or cell.torch
    expect("torch", _with_local(pinned, cell.cuda_version, torch["version"]), torch["version"])
    expect("torch.version.cuda", cell.cuda_version, torch["cuda"])
    depth = cell.python.count(".") + 1
    expect("Python", cell.python, ".".join(installed["python"].split(".")[:depth]))
    expect("vLLM", cell.vllm, _public(installed["vllm"]))
    if cell.vllm:
        expect("vllm.__version__", cell.vllm, _public(_found(stage.facts(), "vllm")["version"]))
    labels = stage.target.labels()
    for name, value in expected.labels:
        expect(f"label {name}", value, labels.get(name))


def check_cuda(stage: Stage) -> None:
    """CUDA is available where the cell claims it, the build covers the device, and the device computes."""
    torch, claimed = _found(stage.facts(), "torch"), stage.trial.cell.needs_gpu
    expect("torch.cuda.is_available()", claimed, torch["is_available"])
    if claimed:
        major, minor = torch["capability"]
        archs = torch["archs"]
        expect_that(f"code for sm_{major}{minor} in torch", _covers(archs, major, minor), f"only {archs}")
        expect("product on the device equal to the CPU's:", True, torch["product_equal"])


def check_imports(stage: Stage) -> None:
    """Every extension for this Python loads, exactly the lock's packages are there, no requirement is broken.

    Where no GPU is, its driver's library is not either: what wants nothing else is neither passed nor blamed.
    """
    undecided: dict[str, str] = {}
    for name in stage.imported:
        extensions = _found(stage.facts()["extensions"], name)
        waiting = _awaiting_driver(stage, extensions["failed"])
        failed = {file: error for file, error in extensions["failed"].items() if file not in waiting}
        expect_that(f"all extensions of {name} load", not failed, failed)
        expect_that(f"extensions in {name}", extensions["count"] > 0, _none_but(extensions["others"]))
        undecided |= waiting
    packages, expected = stage.packages(), stage.trial.expected
    if expected.pins is not None:
        wrong = _differences(dict(expected.pins), packages["installed"])
        expect_that(f"the {len(expected.pins)} packages of the lock", not wrong, "; ".join(wrong))
    found = requirements.broken(requirements.Packages.told(packages))
    broken = [one for one in found if one.name not in expected.excused]
    expect_that("no broken requirement", not broken, "; ".join(map(str, broken)))
    if undecided:
        raise MachineError(
            f"{len(undecided)} extensions need the GPU driver, and no GPU is here: {brief(str(undecided))}",
            hint="all else that is asked of the imports holds; run it where there is a GPU",
        )


# -- judging ----------------------------------------------------------------------------------------


def _found(facts: Mapping[str, Any], name: str) -> Any:
    """A part of what the probe found. Raises Mismatch where that part broke."""
    part = facts[name]
    if "error" in part:
        raise Mismatch(f"import {name}", part["error"])
    return part


def _awaiting_driver(stage: Stage, failed: Mapping[str, str]) -> dict[str, str]:
    """Those that wait for the driver's own library, which comes with a GPU and never with an image.

    None where a GPU is, or where none is claimed: there, whoever wants it is to blame.
    """
    if not stage.trial.cell.needs_gpu or stage.facts()["has_gpu"]:
        return {}
    return {file: error for file, error in failed.items() if _NO_DRIVER.match(error)}


def _none_but(others: list[str]) -> str:
    """What is seen of a package without an extension for this Python."""
    return f"none for this Python, only {', '.join(others)}" if others else "none"


def _with_local(pinned: str, cuda: str | None, seen: str) -> str:
    """What ``torch.__version__`` must say: a wheel of the general index names its CUDA there only."""
    if "+" in pinned or "+" not in seen:
        return pinned
    local = "cpu" if cuda is None else "cu" + cuda.replace(".", "")
    return f"{pinned}+{local}"


def _public(version: str | None) -> str | None:
    return version and version.partition("+")[0]


def _covers(archs: Sequence[str], major: int, minor: int) -> bool:
    """Whether code of these architectures reaches the device, by whatever way."""
    return coverage(tuple(archs), f"sm_{major}{minor}") is not Coverage.NONE


def _differences(pins: Mapping[str, str], installed: Mapping[str, str]) -> list[str]:
    """How the installed set differs from the lock, in words."""
    missing = [f"{name} is missing" for name in pins if name not in installed]
    extra = [f"{name} {installed[name]} is not in the lock" for name in installed if name not in pins]
    other = [
        f"{name} {installed[name]} instead of {pins[name]}"
        for name in pins
        if name in installed and not _same(pins[name], installed[name])
    ]
    return [*missing, *extra, *other]


def _same(one: str, other: str) -> bool:
    try:
        return Version(one) == Version(other)
    except ValueError:  # also where a number has thousands of digits
        return one == other
