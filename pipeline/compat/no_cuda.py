"""Why PyTorch has no CUDA somewhere: from what was seen there to one cause, whose it is, and the remedy.

``pipeline/suite/probes/driver.py`` looks, and what it tells is judged here. PyTorch's own words are not: they
change, and one sentence of it has several causes. The driver's answers are numbers that NVIDIA documents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pipeline.compat.lookup import driver_floor
from pipeline.formats.cuda import CuResult, shown_version
from pipeline.formats.numbers import whole
from pipeline.model import Frozen
from pipeline.model.certificates import UntrustedText

if TYPE_CHECKING:
    from collections.abc import Callable

_Number = Annotated[int, Field(ge=-(2**31), lt=2**31)]
_Texts = Annotated[tuple[UntrustedText, ...], Field(max_length=64)]


class Sight(Frozen):
    """What was seen where PyTorch has no CUDA.

    ``torch`` and ``cuda`` are ``torch.__version__`` and ``torch.version.cuda``; ``said`` is PyTorch's error,
    empty if it had none. ``library`` is the file of libcuda that the process loaded, ``failure`` why it could
    not be used; ``is_on_root`` and ``is_in_prefix`` tell whether it lies on the file system of ``/``, and in
    the environment's own folder. ``version``, ``init`` and ``devices`` are what cuDriverGetVersion (12040),
    cuInit and cuDeviceGetCount answered, None where they were not asked. ``nodes`` are the GPUs' files in
    /dev, ``module`` is the version of NVIDIA's kernel module. ``visible`` and ``capabilities`` are the
    variables CUDA_VISIBLE_DEVICES and NVIDIA_DRIVER_CAPABILITIES. ``torches`` are all installations of torch,
    ``conda`` are conda's packages of it and of CUDA's runtime.
    """

    torch: UntrustedText | None
    cuda: UntrustedText | None
    said: UntrustedText
    library: UntrustedText
    failure: UntrustedText
    is_on_root: bool
    is_in_prefix: bool
    version: _Number | None
    init: _Number | None
    devices: _Number | None
    nodes: _Texts
    module: UntrustedText
    visible: UntrustedText | None
    capabilities: UntrustedText
    torches: _Texts
    conda: _Texts


CauseName = Literal[
    "no-torch",
    "import-fails",
    "cpu-build",
    "mixed-installation",
    "no-driver-asked",
    "no-gpu-given",
    "driver-shadowed",
    "driver-too-old",
    "gpus-hidden",
    "no-gpu-found",
    "fabric-manager",
    "driver-mismatch",
    "compat-unsupported",
    "unknown-error",
    "driver-fails",
    "pytorch-fails",
    "passing",
]
"""docs/suite.md has the table of them."""


@dataclass(frozen=True)
class Cause:
    """Why there is no CUDA, and the remedy. At fault is the image, or environment, itself or its host."""

    name: CauseName
    fault: Literal["image", "host"]
    what: str
    hint: str


def has_cuda(sight: Sight) -> bool:
    """Whether PyTorch can use a GPU after all."""
    return bool(sight.torch and sight.cuda and sight.devices) and sight.init == 0 and not sight.said


def why_no_cuda(sight: Sight, *, is_image: bool) -> Cause:
    """The cause of what was seen in a container of an image, or else in an environment on a machine.

    Of several the one that hides the others: the build of PyTorch, then the driver's library, its version,
    its answer. Where it is not certain that the image is at fault, the host is.
    """
    looks: tuple[Callable[[Sight, bool], Cause | None], ...] = (
        _of_the_build,
        _of_the_library,
        _of_the_version,
        _of_the_devices,
        _of_the_answer,
    )
    causes = (look(sight, is_image) for look in looks)
    return next(filter(None, causes), None) or _of_pytorch(sight)


# -- PyTorch's build ----------------------------------------------------------------------------------


def _of_the_build(sight: Sight, _: bool) -> Cause | None:
    if sight.torch is None:
        return _of_the_import(sight)
    if sight.cuda:
        return None
    if _is_mixed(sight):
        return _mixed(sight)
    release = sight.torch.partition("+")[0]
    return Cause(
        "cpu-build",
        "image",
        f"torch {sight.torch} is a CPU build: torch.version.cuda is None",
        f"install the build for CUDA again, from its lock or as `explain torch={release}` says it; a later "
        "`pip install` may have replaced it with one for the CPU",
    )


def _of_the_import(sight: Sight) -> Cause | None:
    """Why PyTorch cannot be imported; not for want of a driver, which is judged by what there is of one."""
    if not sight.torches and not sight.conda:
        what = f"there is no PyTorch in this Python: {sight.said}"
        hint = "install it there, or name the Python that has it (`which` looks for all of them)"
        return Cause("no-torch", "image", what, hint)
    if any(library in sight.said for library in _DRIVERS):
        return None
    hint = "install PyTorch and CUDA's libraries again, from one lock; `certify` says what is missing"
    return Cause("import-fails", "image", f"PyTorch cannot be imported: {sight.said}", hint)


_DRIVERS = ("libcuda.so", "libnvidia-ml.so")
"""Whose absence keeps some builds from being imported where there is no driver."""


def _is_mixed(sight: Sight) -> bool:
    """Two installations of torch, or one by pip beside conda's packages; older ones of conda name nobody."""
    by_pip = [torch for torch in sight.torches if not torch.endswith((" by conda", " by nobody"))]
    return len(sight.torches) > 1 or bool(sight.conda and by_pip)


def _mixed(sight: Sight) -> Cause:
    found = ", ".join((*sight.torches, *(f"{package} by conda" for package in sight.conda)))
    return Cause(
        "mixed-installation",
        "image",
        f"packages of PyTorch from two sources are in one environment: {found}",
        "make the environment anew, by pip or by conda alone, from one lock",
    )


# -- the driver's library -----------------------------------------------------------------------------

GIVE_GPU = "run it with `--gpus all`, or with `--device nvidia.com/gpu=all` where the engine uses CDI"
_HIDING = {CuResult.SYSTEM_DRIVER_MISMATCH, CuResult.COMPAT_NOT_SUPPORTED, CuResult.STUB_LIBRARY}
"""Answers of a library that is not the one of the host's driver."""


def _of_the_library(sight: Sight, is_image: bool) -> Cause | None:
    if sight.library:
        return _shadowed(sight) if _is_inside(sight, is_image=is_image) and _is_foreign(sight) else None
    lacks_compute = sight.capabilities and not {"compute", "all"} & set(sight.capabilities.split(","))
    if is_image and lacks_compute:
        return Cause(
            "no-driver-asked",
            "image",
            f"NVIDIA_DRIVER_CAPABILITIES is '{sight.capabilities}', so no libcuda.so.1 is brought in",
            "set it to compute,utility",
        )
    beside = f", though /dev has {', '.join(sight.nodes)}" if sight.nodes else ""
    return Cause(
        "no-gpu-given",
        "host",
        f"there is no driver here{beside}: {sight.failure or 'no libcuda.so.1'}",
        f"{GIVE_GPU}; on the host `nvidia-smi` must answer",
    )


def _is_inside(sight: Sight, *, is_image: bool) -> bool:
    """Whether the driver's library is part of what is tried; what an engine brings in is mounted there."""
    return sight.is_in_prefix or (is_image and (sight.is_on_root or "/compat/" in sight.library))


def _is_foreign(sight: Sight) -> bool:
    """Whether it answers as a library that does not fit the host; without a GPU none could do otherwise."""
    return sight.init is None or sight.init in _HIDING or _is_too_old(sight) or bool(sight.nodes)


def _shadowed(sight: Sight) -> Cause:
    answer = f"cuInit answers {CuResult.shown(sight.init)}" if sight.init else "it is not the host's"
    return Cause(
        "driver-shadowed",
        "image",
        f"{sight.library}, which is inside, hides the host's driver: {sight.failure or answer}",
        "take it (a compat library or a stub of CUDA's toolkit) off LD_LIBRARY_PATH and /etc/ld.so.conf.d, "
        "and run ldconfig",
    )


# -- the driver's version -----------------------------------------------------------------------------


def _of_the_version(sight: Sight, _: bool) -> Cause | None:
    if not _is_too_old(sight) or sight.version is None or sight.cuda is None:
        return None
    major, floor = sight.cuda.partition(".")[0], driver_floor(sight.cuda)
    needed = f"driver {floor} or newer" if floor else f"one for CUDA {major}"
    return Cause(
        "driver-too-old",
        "host",
        f"the driver is too old: it supports CUDA up to {shown_version(sight.version)}, "
        f"torch {sight.torch} is built for CUDA {sight.cuda}",
        f"update the host's driver ({needed}), or take an image for CUDA {sight.version // 1000}",
    )


def _is_too_old(sight: Sight) -> bool:
    """Whether the driver's CUDA has a lower major than PyTorch's; within a major any driver will do.

    https://docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html
    """
    major = whole((sight.cuda or "").partition(".")[0])
    return sight.version is not None and major is not None and sight.version // 1000 < major


# -- the GPUs that it sees ----------------------------------------------------------------------------

_HIDES_ALL = {"", "-1", "none", "NoDevFiles"}


def _of_the_devices(sight: Sight, is_image: bool) -> Cause | None:
    if sight.init != CuResult.NO_DEVICE and (sight.init or sight.devices):
        return None
    if sight.visible in _HIDES_ALL or (sight.visible is not None and sight.nodes):
        return Cause(
            "gpus-hidden",
            "image" if is_image else "host",
            f"the driver shows no GPU, and CUDA_VISIBLE_DEVICES is '{sight.visible}'",
            "unset it; which GPUs a container has is said when it starts",
        )
    if not sight.nodes:
        what = "the driver's library is here and no GPU: /dev has no nvidia*"
        return Cause("no-gpu-given", "host", what, GIVE_GPU)
    return Cause(
        "no-gpu-found",
        "host",
        f"the driver finds no GPU, though /dev has {', '.join(sight.nodes)}",
        "look at `nvidia-smi -L` on the host: MIG without an instance, a GPU that fell off the bus (dmesg: "
        "Xid 79), or one that this driver does not support",
    )


# -- its answer ---------------------------------------------------------------------------------------

ANSWERS: dict[int, Cause] = {
    CuResult.SYSTEM_NOT_READY: Cause(
        "fabric-manager",
        "host",
        "the machine's GPUs are joined by NVSwitch, and the service that sets it up is not ready",
        "on the host: `systemctl start nvidia-fabricmanager`, of the driver's very version; then wait until "
        "`nvidia-smi -q` says that the fabric's state is Completed",
    ),
    CuResult.SYSTEM_DRIVER_MISMATCH: Cause(
        "driver-mismatch",
        "host",
        "the driver's library and the kernel's module are of different versions",
        "reboot the host after an update of its driver, or load the new module (`rmmod nvidia_uvm nvidia`, "
        "then `modprobe nvidia`); `nvidia-smi` must answer",
    ),
    CuResult.COMPAT_NOT_SUPPORTED: Cause(
        "compat-unsupported",
        "host",
        "a compat library is loaded, and this GPU does not support forward compatibility",
        "take cuda-compat off the host's LD_LIBRARY_PATH and ld.so.conf, as only data-centre GPUs support "
        "it; or update the driver",
    ),
    CuResult.UNKNOWN: Cause(
        "unknown-error",
        "host",
        "the driver cannot be set up",
        "on the host: does `nvidia-smi` answer, was the driver updated without a reboot (dmesg: API "
        "mismatch), is /dev/nvidia-uvm there (`nvidia-modprobe -u -c 0`), does nvidia-persistenced run? A "
        "container that lost its GPU by `systemctl daemon-reload` has to be started again",
    ),
}
OTHER_ANSWER = Cause(
    "driver-fails",
    "host",
    "the driver fails",
    "look at `nvidia-smi` and at dmesg on the host, and whether other processes hold the GPU",
)


def _of_the_answer(sight: Sight, _: bool) -> Cause | None:
    if not sight.init:
        return None
    cause = ANSWERS.get(sight.init, OTHER_ANSWER)
    around = (
        f"library {sight.library}",
        f"kernel module {sight.module or 'unknown'}",
        f"/dev has {', '.join(sight.nodes) or 'no nvidia*'}",
    )
    answer = f"cuInit answers {CuResult.shown(sight.init)}"
    return replace(cause, what=f"{cause.what}: {answer} ({'; '.join(around)})")


# -- what is left -------------------------------------------------------------------------------------


def _of_pytorch(sight: Sight) -> Cause:
    """The driver is well, so PyTorch is not; or it is by now."""
    if sight.torch is not None and not sight.said:
        return Cause(
            "passing",
            "host",
            "CUDA was not available at first, and is now",
            "run it again; see whether the GPU was being reset, or another process held it",
        )
    if _is_mixed(sight):
        return _mixed(sight)
    return Cause(
        "pytorch-fails",
        "image",
        f"the driver is well and shows {sight.devices} GPUs, and PyTorch cannot use them: {sight.said}",
        "install PyTorch and CUDA's libraries again, from one lock",
    )
