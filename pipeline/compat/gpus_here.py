"""The GPUs of a host, from what was read there to how each thing stands: driver, GPUs, fabric, peer access.

``pipeline/suite/probes/gpus.py`` looks, and what it tells is judged here, by the numbers that NVML documents:
https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceEnumvs.html, enum nvmlReturn_t.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pipeline.compat.drivers import is_past, reaches, window_of
from pipeline.formats.cuda import shown_version
from pipeline.formats.units import size
from pipeline.model import Frozen, Level
from pipeline.model.certificates import UntrustedText
from pipeline.model.examinations import Aspect, Standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.facts import Facts

_Number = Annotated[int, Field(ge=-(2**31), lt=2**31)]
_Texts = Annotated[tuple[UntrustedText, ...], Field(max_length=64)]
_MAX_GPUS = 64


class Nvml(IntEnum):
    """NVML's refusals that say what is wrong; a name is NVIDIA's, without ``NVML_ERROR_``."""

    NO_PERMISSION = 4
    DRIVER_NOT_LOADED = 9
    TIMEOUT = 10
    LIBRARY_NOT_FOUND = 12
    GPU_IS_LOST = 15
    RESET_REQUIRED = 16
    OPERATING_SYSTEM = 17
    LIB_RM_VERSION_MISMATCH = 18
    UNKNOWN = 999

    @classmethod
    def shown(cls, code: int | None) -> str:
        """The code, with its name if it has one: ``15 (GPU_IS_LOST)``."""
        return f"{code} ({cls(code).name})" if code in set(cls) else f"{code}"


class GpuSight(Frozen):
    """One GPU: ``capability`` as [9, 0], ``memory`` in bytes; ``failure`` is NVML's refusal, None if none.

    ``instances`` is how many a GPU in MIG mode is cut into, None for a whole one; ``fabric`` the state and
    the status of NVSwitch's fabric, None where there is none.
    """

    name: UntrustedText
    capability: tuple[_Number, _Number] | None
    memory: Annotated[int, Field(ge=0)]
    instances: _Number | None
    fabric: tuple[_Number, _Number] | None
    failure: _Number | None

    @property
    def architecture(self) -> str:
        """``sm_90``; empty of one that does not answer."""
        return f"sm_{self.capability[0]}{self.capability[1]}" if self.capability else ""


class HostSight(Frozen):
    """What was seen of a host's GPUs.

    ``failure`` is NVML's refusal as a whole (None: it answers) and ``said`` its words; ``library`` is the
    file that was loaded, ``driver`` the version, ``cuda`` the newest CUDA that it serves (13000). ``peers``
    are pairs of GPUs with the status of peer access by any way, and by NVLink; 0 is well. ``module`` is the
    version of the kernel's module, ``cards`` how many NVIDIA GPUs PCI has, ``card_drivers`` who drives them,
    ``switches`` how many NVSwitches there are.
    """

    nodes: _Texts
    module: UntrustedText
    cards: Annotated[int, Field(ge=0)]
    card_drivers: _Texts
    switches: Annotated[int, Field(ge=0)]
    has_fabric_manager: bool
    has_iommu: bool
    failure: _Number | None
    said: UntrustedText
    library: UntrustedText
    driver: UntrustedText
    cuda: _Number
    gpus: Annotated[tuple[GpuSight, ...], Field(max_length=_MAX_GPUS)]
    peers: Annotated[tuple[tuple[_Number, _Number, _Number, _Number], ...], Field(max_length=_MAX_GPUS**2)]

    @property
    def architectures(self) -> tuple[str, ...]:
        """Those of the GPUs that answer."""
        return tuple(gpu.architecture for gpu in self.gpus if gpu.architecture)

    @property
    def has_gpu(self) -> bool:
        """Whether there is an NVIDIA GPU, usable or not."""
        return bool(self.cards or self.gpus or {"dxg", "nvmap"} & set(self.nodes))


def aspects(sight: HostSight, facts: Facts) -> tuple[Aspect, ...]:
    """How the driver, each GPU, the fabric and peer access stand."""
    if sight.failure is not None:
        return (_without_nvml(sight),)
    return (
        _driver(sight, facts),
        *(_gpu(number, gpu, sight, facts) for number, gpu in enumerate(sight.gpus)),
        *_lost(sight),
        *_fabric(sight),
        *_peers(sight),
    )


# -- no answer ----------------------------------------------------------------------------------------

_INSTALL = "install NVIDIA's driver (Debian: nvidia-driver, Ubuntu: `ubuntu-drivers install`), then reboot"
_KERNEL = (
    "look at `dmesg | grep -i nvrm`; after an update of the kernel its module has to be built anew (`dkms "
    "autoinstall`), and Secure Boot refuses one that is not signed"
)


def _without_nvml(sight: HostSight) -> Aspect:
    """Why the management library does not answer, and whether that is anything wrong."""
    name, words = "driver", f"NVML answers {Nvml.shown(sight.failure)}: {sight.said}"
    if sight.failure == Nvml.LIB_RM_VERSION_MISMATCH:
        versions = (
            f"the kernel's module is {sight.module or 'unknown'}, the library {_version_in(sight.library)}"
        )
        hint = (
            "reboot; or end what uses the GPU, then `rmmod nvidia_uvm nvidia_drm nvidia_modeset nvidia` and "
            "`modprobe nvidia`"
        )
        what = "the driver was updated, and the kernel still runs the old module"
        return Aspect(name, Standing.BROKEN, f"{what}: {versions}: {words}", hint)
    if sight.failure == Nvml.LIBRARY_NOT_FOUND and not sight.module:
        return _without_driver(sight)
    if sight.failure == Nvml.LIBRARY_NOT_FOUND:
        what = f"the kernel has NVIDIA's module {sight.module}, and there is no libnvidia-ml.so.1 here"
        hint = (
            "in a container: start it with `--gpus all`; on a host: install the driver's libraries of that "
            "version"
        )
        return Aspect(name, Standing.BROKEN, what, hint)
    if sight.failure == Nvml.DRIVER_NOT_LOADED and not sight.module:
        what = "the driver's libraries are here, and the kernel has not loaded its module"
        if not sight.cards:
            return Aspect(name, Standing.ABSENT, f"{what}; no NVIDIA GPU is in this machine")
        return Aspect(name, Standing.BROKEN, f"{what}: {words}", f"`modprobe nvidia`; {_KERNEL}")
    if sight.failure == Nvml.NO_PERMISSION:
        hint = "`ls -l /dev/nvidia*`: this user may not open them (group video, or the container's devices)"
        return Aspect(name, Standing.BROKEN, words, hint)
    return Aspect(name, Standing.BROKEN, words, f"`nvidia-smi` must answer; {_KERNEL}")


def _without_driver(sight: HostSight) -> Aspect:
    if "dxg" in sight.nodes:
        hint = "install NVIDIA's driver in Windows, and none inside WSL; then `wsl --shutdown`"
        return Aspect("driver", Standing.ABSENT, "WSL has a GPU's device, and no driver's library", hint)
    if "nvmap" in sight.nodes:
        what = "a Jetson: its driver comes with its JetPack, and its images are not those of servers"
        return Aspect("driver", Standing.LIMITED, what, "`cat /etc/nv_tegra_release` names the release")
    if sight.cards:
        driven = ", ".join(filter(None, sight.card_drivers)) or "nothing"
        what = f"no driver of NVIDIA's, and {_counted(sight.cards, 'NVIDIA GPU')}, driven by {driven}"
        hint = "give it back to the host, or look in the guest" if driven == "vfio-pci" else _INSTALL
        return Aspect("driver", Standing.ABSENT, what, hint)
    if "kfd" in sight.nodes:
        return Aspect(
            "gpu", Standing.ABSENT, "AMD's GPU is here, and none of NVIDIA's: these images are for CUDA"
        )
    return Aspect("gpu", Standing.ABSENT, "no NVIDIA GPU is in this machine")


def _version_in(library: str) -> str:
    return library.partition(".so.")[2] or "another one"


# -- the driver and the GPUs ---------------------------------------------------------------------------


def _driver(sight: HostSight, facts: Facts) -> Aspect:
    """Which CUDA the driver serves, by itself and for machine code of the same major."""
    served = [floor for floor in facts.driver_floors if reaches(sight.driver, floor.driver) is Level.OK]
    majors = " and ".join(floor.cuda for floor in served) or "none that is known"
    serves = f" serves CUDA {shown_version(sight.cuda)};" if sight.cuda else ":"
    text = f"{sight.driver}{serves} it runs builds for CUDA {majors}"
    beyond = [floor for floor in facts.driver_floors if floor not in served]
    hint = f"CUDA {beyond[0].cuda} needs driver {beyond[0].driver} or newer" if beyond else ""
    return Aspect("driver", Standing.GOOD if not beyond else Standing.LIMITED, text, hint)


def _gpu(number: int, gpu: GpuSight, sight: HostSight, facts: Facts) -> Aspect:
    if gpu.failure is not None or gpu.capability is None:
        what = f"GPU {number} does not answer: NVML {Nvml.shown(gpu.failure)}"
        return Aspect("gpu", Standing.BROKEN, what, _LOST)
    name = f"GPU {number}: {gpu.name}, {gpu.architecture}, {size(gpu.memory)}"
    if gpu.instances == 0:
        hint = (
            "`nvidia-smi mig -cgi 9,9 -C` cuts it (`-lgip` lists the profiles); `nvidia-smi -mig 0` ends "
            "the mode"
        )
        return Aspect(
            "gpu", Standing.BROKEN, f"{name}, in MIG mode without an instance: CUDA finds none", hint
        )
    if gpu.instances:
        name = f"{name}, cut into {_counted(gpu.instances, 'MIG instance')}"
    window = window_of(gpu.name, facts) or window_of(gpu.architecture, facts)
    if window is None:
        return Aspect("gpu", Standing.GOOD, f"{name}; which drivers support it is not known")
    if is_past(sight.driver, window.last):
        hint = f"take a driver of branch R{window.last}"
        return Aspect("gpu", Standing.BROKEN, f"{name}: no driver after R{window.last} knows it", hint)
    last = f"; R{window.last} is its last branch" if window.last else ""
    return Aspect("gpu", Standing.GOOD, f"{name}; drivers since {window.first}{last}")


_LOST = (
    "`dmesg | grep -i xid` (79: it fell off the bus); reset it (`nvidia-smi --gpu-reset`), or power the "
    "machine off and on; if it comes again: power, cooling, seat"
)


def _lost(sight: HostSight) -> Iterator[Aspect]:
    """GPUs that PCI has, that NVIDIA's module drives, and that NVML does not show."""
    if sight.card_drivers == ("nvidia",) and sight.cards > len(sight.gpus):
        what = f"NVML shows {len(sight.gpus)} of {sight.cards} GPUs that the driver has"
        yield Aspect("gpu", Standing.BROKEN, what, _LOST)


# -- between GPUs -------------------------------------------------------------------------------------

_COMPLETED = 3
"""NVML_GPU_FABRIC_STATE_COMPLETED; 0 is "not supported", 1 and 2 are on the way."""

_START_FABRIC = (
    "`systemctl enable --now nvidia-fabricmanager`, of the driver's very version; then wait until "
    "`nvidia-smi -q` says that the fabric's state is Completed"
)


def _fabric(sight: HostSight) -> Iterator[Aspect]:
    """The service that sets up NVSwitch, on a machine that has it.

    An HGX A100 tells no state by NVML, so there the service itself is looked for.
    """
    told = [gpu.fabric for gpu in sight.gpus if gpu.fabric and gpu.fabric[0]]
    unready = [fabric for fabric in told if fabric[0] != _COMPLETED or fabric[1]]
    if unready:
        state, status = unready[0]
        what = f"NVSwitch's fabric is not ready: state {state}, status {status}; cuInit answers 802"
        yield Aspect("fabric", Standing.BROKEN, what, _START_FABRIC)
    elif told:
        yield Aspect("fabric", Standing.GOOD, "NVSwitch's fabric is set up (Completed)")
    elif sight.switches and not sight.has_fabric_manager:
        what = f"{_counted(sight.switches, 'NVSwitch', 'es')}, and no nv-fabricmanager: cuInit answers 802"
        yield Aspect("fabric", Standing.BROKEN, what, _START_FABRIC)
    elif sight.switches:
        yield Aspect("fabric", Standing.GOOD, "nv-fabricmanager runs")


def _peers(sight: HostSight) -> Iterator[Aspect]:
    """Peer access between GPUs, where there are several; by PCIe an IOMMU may swallow what is written.

    https://github.com/vllm-project/vllm/issues/33041
    """
    if not sight.peers:
        return
    by_pcie = [pair for pair in sight.peers if not pair[2] and pair[3]]
    without = [pair for pair in sight.peers if pair[2]]
    if by_pcie and sight.has_iommu:
        what = (
            f"{_pairs(by_pcie)} reach each other by PCIe, and the IOMMU is on: it may swallow what they write"
        )
        hint = (
            "if a server hangs at NCCL's start: NCCL_P2P_DISABLE=1 with --disable-custom-all-reduce shows "
            "it; the cure is ACS and IOMMU off in BIOS (amd_iommu=off, pci=noacs)"
        )
        yield Aspect("peers", Standing.LIMITED, what, hint)
    elif without:
        what = f"{_pairs(without)} have no peer access: they speak through the host's memory"
        yield Aspect("peers", Standing.LIMITED, what, "`nvidia-smi topo -p2p w` shows every pair")
    else:
        way = "PCIe" if by_pcie else "NVLink"
        yield Aspect("peers", Standing.GOOD, f"all {len(sight.gpus)} GPUs reach each other, by {way}")


def _pairs(pairs: list[tuple[int, int, int, int]]) -> str:
    named = ", ".join(f"{left} and {right}" for left, right, *_ in pairs[:3])
    return f"GPUs {named}{' and others' if len(pairs) > 3 else ''}"  # noqa: PLR2004 - as many as are named


def _counted(count: int, noun: str, plural: str = "s") -> str:
    return f"{count} {noun}{plural if count != 1 else ''}"
