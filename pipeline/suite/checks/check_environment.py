"""The checks of every environment, with or without a server: it matches its lock, and it loads."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from packaging.version import Version
from pydantic import ValidationError

from pipeline.compat.no_cuda import Sight, why_no_cuda
from pipeline.formats import requirements
from pipeline.formats.gpu_arch import Coverage, coverage
from pipeline.model import ImageTarget
from pipeline.model.errors import MachineError
from pipeline.suite.expect import Mismatch, brief, expect, expect_that

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.suite.trial_run import TrialRun

_NO_DRIVER = re.compile(r"lib(?:cuda|nvidia-ml|nvcuvid|nvidia-encode)\.so\.1: cannot open shared object file")


def check_versions(trial_run: TrialRun) -> None:
    """torch, its CUDA, Python and vLLM (or none) are those of lock and cell; so are the labels."""
    cell, expected, installed = trial_run.trial.cell, trial_run.trial.expected, trial_run.packages()
    torch, pinned = _part(trial_run.facts(), "torch"), expected.torch or cell.torch
    expect("torch", _with_local(pinned, cell.cuda_version, torch["version"]), torch["version"])
    expect("torch.version.cuda", cell.cuda_version, torch["cuda"])
    depth = cell.python.count(".") + 1
    expect("Python", cell.python, ".".join(installed["python"].split(".")[:depth]))
    expect("vLLM", cell.vllm, _public(installed["vllm"]))
    if cell.vllm:
        expect("vllm.__version__", cell.vllm, _public(_part(trial_run.facts(), "vllm")["version"]))
    labels = trial_run.target.labels()
    for name, value in expected.labels:
        expect(f"label {name}", value, labels.get(name))


def check_cuda(trial_run: TrialRun) -> None:
    """CUDA is available if the cell needs it, the build covers the device, and the device computes.

    Where it is not, the cause decides: the image fails for its own fault only, never for one of the host.

    A pass does not say that vLLM's kernels have code for the device: its answers do.
    """
    torch, claimed = _part(trial_run.facts(), "torch"), trial_run.trial.cell.needs_gpu
    if claimed and not torch["is_available"]:
        raise _without_cuda(trial_run)
    expect("torch.cuda.is_available()", claimed, torch["is_available"])
    if claimed:
        major, minor = torch["capability"]
        archs = torch["archs"]
        expect_that(f"code for sm_{major}{minor} in torch", _covers(archs, major, minor), f"only {archs}")
        expect("product on the device equal to the CPU's:", True, torch["product_equal"])


def check_imports(trial_run: TrialRun) -> None:
    """Every extension for this Python loads, exactly the lock is installed, no requirement is broken.

    Without a GPU there is no driver library: an extension that lacks only that neither passes nor fails.
    """
    undecided: dict[str, str] = {}
    for name in trial_run.imported:
        undecided |= expect_loaded(trial_run, name, _awaiting_driver(trial_run, name))
    expect_installed(trial_run)
    if undecided:
        raise MachineError(
            f"{len(undecided)} extensions need the GPU driver, and no GPU is here: {brief(str(undecided))}",
            hint="all else that is asked of the imports holds; run it where there is a GPU",
        )


# -- comparisons ----------------------------------------------------------------------------------------


def expect_loaded(trial_run: TrialRun, name: str, waiting: Mapping[str, str]) -> Mapping[str, str]:
    """Raise Mismatch unless a package has extensions, and all load but those that wait; returns these."""
    extensions = _part(trial_run.facts()["extensions"], name)
    failed = {file: error for file, error in extensions["failed"].items() if file not in waiting}
    expect_that(f"all extensions of {name} load", not failed, failed)
    expect_that(f"extensions in {name}", extensions["count"] > 0, _none_but(extensions["others"]))
    return waiting


def expect_installed(trial_run: TrialRun) -> None:
    """Raise Mismatch unless exactly the lock is installed, and no requirement is broken."""
    packages, expected = trial_run.packages(), trial_run.trial.expected
    if expected.pins is not None:
        wrong = _differences(dict(expected.pins), packages["installed"])
        expect_that(f"the {len(expected.pins)} packages of the lock", not wrong, "; ".join(wrong))
    violations = requirements.broken(requirements.Packages.from_probe(packages))
    broken = [violation for violation in violations if violation.name not in expected.excused]
    expect_that("no broken requirement", not broken, "; ".join(map(str, broken)))


def _part(facts: Mapping[str, Any], name: str) -> Any:
    """A part of a probe's result. Raises Mismatch if the probe failed at that part."""
    part = facts[name]
    if "error" in part:
        raise Mismatch(f"import {name}", part["error"])
    return part


def _without_cuda(trial_run: TrialRun) -> Mismatch | MachineError:
    """Why CUDA is not available: a failure of the image, or trouble of the machine."""
    told = json.dumps(trial_run.probe("driver"))
    try:
        sight = Sight.model_validate_json(told)
    except ValidationError:
        return Mismatch("what the probe of the driver tells", told)
    cause = why_no_cuda(sight, is_image=isinstance(trial_run.trial.target, ImageTarget))
    if cause.fault == "host":
        return MachineError(f"{cause.name}: {cause.what}", hint=cause.hint)
    return Mismatch("torch.cuda.is_available() True", f"{cause.name}: {cause.what}\nhint: {cause.hint}")


def _awaiting_driver(trial_run: TrialRun, name: str) -> dict[str, str]:
    """The extensions of a package that lack only the driver's library, which is never in an image.

    None if there is a GPU, or if the cell needs none: then an extension that needs it fails.
    """
    if not trial_run.trial.cell.needs_gpu or trial_run.facts()["has_gpu"]:
        return {}
    failed = _part(trial_run.facts()["extensions"], name)["failed"]
    return {file: error for file, error in failed.items() if _NO_DRIVER.match(error)}


def _none_but(others: list[str]) -> str:
    """What a package has instead of an extension for this Python."""
    return f"none for this Python, only {', '.join(others)}" if others else "none"


def _with_local(pinned: str, cuda: str | None, actual: str) -> str:
    """The expected ``torch.__version__``: a wheel of the default index names its CUDA only there."""
    if "+" in pinned or "+" not in actual:
        return pinned
    local = "cpu" if cuda is None else "cu" + cuda.replace(".", "")
    return f"{pinned}+{local}"


def _public(version: str | None) -> str | None:
    return version and version.partition("+")[0]


def _covers(archs: Sequence[str], major: int, minor: int) -> bool:
    """Whether code for these architectures runs on the device, in any way."""
    return coverage(tuple(archs), f"sm_{major}{minor}") is not Coverage.NONE


def _differences(pins: Mapping[str, str], installed: Mapping[str, str]) -> list[str]:
    """How the installed packages differ from the lock, as text."""
    missing = [f"{name} is missing" for name in pins if name not in installed]
    extra = [f"{name} {installed[name]} is not in the lock" for name in installed if name not in pins]
    other = [
        f"{name} {installed[name]} instead of {pins[name]}"
        for name in pins
        if name in installed and not _is_same_version(pins[name], installed[name])
    ]
    return [*missing, *extra, *other]


def _is_same_version(version: str, other: str) -> bool:
    try:
        return Version(version) == Version(other)
    except ValueError:  # also for a number of thousands of digits
        return version == other
