"""How the GPUs of a host stand, by what NVML and the kernel tell of them."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.compat import shipped
from pipeline.compat.gpus_here import HostSight, aspects
from pipeline.model.examinations import Aspect, Standing

H100: dict[str, Any] = {
    "name": "NVIDIA H100 80GB HBM3",
    "capability": (9, 0),
    "memory": 80 << 30,
    "instances": None,
    "fabric": None,
    "failure": None,
}
LOST = H100 | {"name": "", "capability": None, "memory": 0, "failure": 15}
V100 = H100 | {"name": "Tesla V100-SXM2-16GB", "capability": (7, 0), "memory": 16 << 30}


def host(*gpus: dict[str, Any], **changes: Any) -> tuple[Aspect, ...]:
    """How a host with these GPUs stands, whose driver is well unless told otherwise."""
    fields: dict[str, Any] = {
        "nodes": ("nvidia0", "nvidiactl"),
        "module": "580.65.06",
        "cards": len(gpus),
        "card_drivers": ("nvidia",) if gpus else (),
        "switches": 0,
        "has_fabric_manager": False,
        "has_iommu": False,
        "failure": None,
        "said": "",
        "library": "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.580.65.06",
        "driver": "580.65.06",
        "cuda": 13000,
        "gpus": gpus,
        "peers": (),
    }
    return aspects(HostSight.model_validate(fields | changes), shipped())


def without(failure: int, **changes: Any) -> Aspect:
    """How a host stands whose NVML refuses."""
    (aspect,) = host(failure=failure, said="words of NVML", driver="", cuda=0, **changes)
    return aspect


NO_LIBRARY: dict[str, Any] = {"nodes": (), "module": "", "library": ""}


def test_a_gpu_that_is_well_is_told_with_its_driver() -> None:
    driver, gpu = host(H100)
    assert driver.standing is gpu.standing is Standing.GOOD
    assert driver.text == "580.65.06 serves CUDA 13.0; it runs builds for CUDA 11 and 12 and 13"
    assert gpu.text.startswith("GPU 0: NVIDIA H100 80GB HBM3, sm_90, 85.9 GB; drivers since ")


def test_an_older_driver_says_what_the_newer_cuda_needs() -> None:
    driver, _ = host(H100, driver="550.54.14", cuda=12040)
    assert driver.standing is Standing.LIMITED
    assert driver.text == "550.54.14 serves CUDA 12.4; it runs builds for CUDA 11 and 12"
    assert driver.hint == "CUDA 13 needs driver 580 or newer"


def test_a_gpu_with_a_last_driver_says_so() -> None:
    _, gpu = host(V100)
    assert "R580 is its last branch" in gpu.text
    _, gpu = host(V100, driver="590.44.01", cuda=13010)
    assert (gpu.standing, gpu.hint) == (Standing.BROKEN, "take a driver of branch R580")


# -- no answer ----------------------------------------------------------------------------------------


def test_a_machine_without_a_gpu_is_no_failure() -> None:
    none = without(12, **NO_LIBRARY)
    assert (none.standing, none.text) == (Standing.ABSENT, "no NVIDIA GPU is in this machine")


def test_a_driver_that_was_updated_under_a_running_kernel() -> None:
    """https://github.com/NVIDIA/nvidia-container-toolkit/issues/394: Driver/library version mismatch."""
    mismatch = without(18, module="570.124.06")
    assert mismatch.standing is Standing.BROKEN
    assert "the kernel's module is 570.124.06, the library 580.65.06" in mismatch.text
    assert mismatch.hint.startswith("reboot")


def test_a_gpu_without_a_driver_is_told_with_who_drives_it() -> None:
    nouveau = without(12, **NO_LIBRARY, cards=1, card_drivers=("nouveau",))
    assert nouveau.standing is Standing.ABSENT
    assert nouveau.text == "no driver of NVIDIA's, and 1 NVIDIA GPU, driven by nouveau"
    passed = without(12, **NO_LIBRARY, cards=2, card_drivers=("vfio-pci",))
    assert passed.hint == "give it back to the host, or look in the guest"


@pytest.mark.parametrize(
    ("failure", "changes", "standing", "words"),
    [
        (9, {"module": "", "cards": 1}, Standing.BROKEN, "has not loaded its module"),
        (9, {"module": "", "cards": 0}, Standing.ABSENT, "no NVIDIA GPU is in this machine"),
        (12, {"library": ""}, Standing.BROKEN, "there is no libnvidia-ml.so.1 here"),
        (4, {}, Standing.BROKEN, "4 (NO_PERMISSION): words of NVML"),
        (999, {}, Standing.BROKEN, "999 (UNKNOWN): words of NVML"),
        (77, {}, Standing.BROKEN, "NVML answers 77: words of NVML"),
        (12, NO_LIBRARY | {"nodes": ("dxg",)}, Standing.ABSENT, "WSL has a GPU's device"),
        (12, NO_LIBRARY | {"nodes": ("nvmap",)}, Standing.LIMITED, "a Jetson"),
        (12, NO_LIBRARY | {"nodes": ("kfd",)}, Standing.ABSENT, "AMD's GPU is here"),
    ],
)
def test_each_refusal_of_nvml_has_its_own_words(
    failure: int, changes: dict[str, Any], standing: Standing, words: str
) -> None:
    aspect = without(failure, **changes)
    assert aspect.standing is standing
    assert words in aspect.text


# -- a GPU that is not well ---------------------------------------------------------------------------


def test_a_gpu_that_fell_off_the_bus_is_told_and_the_others_stay() -> None:
    _, lost, well = host(LOST, H100)
    assert (lost.standing, well.standing) == (Standing.BROKEN, Standing.GOOD)
    assert lost.text == "GPU 0 does not answer: NVML 15 (GPU_IS_LOST)"
    assert "79: it fell off the bus" in lost.hint


def test_a_gpu_that_nvml_does_not_show_is_missed() -> None:
    *_, missed = host(H100, cards=8)
    assert (missed.standing, missed.text) == (
        Standing.BROKEN,
        "NVML shows 1 of 8 GPUs that the driver has",
    )
    assert len(host(H100, cards=2, card_drivers=("nouveau", "nvidia"))) == 2


def test_mig_without_an_instance_is_no_gpu_for_cuda() -> None:
    _, uncut = host(H100 | {"instances": 0})
    assert uncut.standing is Standing.BROKEN
    assert "MIG mode without an instance" in uncut.text
    _, cut = host(H100 | {"instances": 7})
    assert cut.standing is Standing.GOOD
    assert "cut into 7 MIG instances" in cut.text


# -- between GPUs -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gpu", "changes", "standing"),
    [
        (H100 | {"fabric": (3, 0)}, {}, Standing.GOOD),
        (H100 | {"fabric": (2, 0)}, {}, Standing.BROKEN),
        (H100 | {"fabric": (1, 0)}, {"has_fabric_manager": True}, Standing.BROKEN),
        (H100 | {"fabric": (3, 999)}, {}, Standing.BROKEN),
        (H100, {"switches": 4}, Standing.BROKEN),
        (H100, {"switches": 6, "has_fabric_manager": True}, Standing.GOOD),
    ],
)
def test_a_machine_with_nvswitch_needs_its_fabric_set_up(
    gpu: dict[str, Any], changes: dict[str, Any], standing: Standing
) -> None:
    """https://github.com/MiniMax-AI/MiniMax-M2.5/issues/9: cuInit answers 802 where it is not."""
    *_, fabric = host(gpu, **changes)
    assert (fabric.name, fabric.standing) == ("fabric", standing)
    assert ("nvidia-fabricmanager" in fabric.hint) is (standing is Standing.BROKEN)


def test_a_machine_without_nvswitch_is_told_nothing_of_a_fabric() -> None:
    assert [aspect.name for aspect in host(H100 | {"fabric": (0, 0)})] == ["driver", "gpu"]


@pytest.mark.parametrize(
    ("peers", "has_iommu", "standing", "words"),
    [
        (((0, 1, 0, 0),), True, Standing.GOOD, "all 2 GPUs reach each other, by NVLink"),
        (((0, 1, 0, 5),), False, Standing.GOOD, "all 2 GPUs reach each other, by PCIe"),
        (((0, 1, 0, 5),), True, Standing.LIMITED, "the IOMMU is on"),
        (((0, 1, 1, 5),), False, Standing.LIMITED, "GPUs 0 and 1 have no peer access"),
    ],
)
def test_peer_access_is_told_where_there_are_several(
    peers: tuple[tuple[int, ...], ...], has_iommu: bool, standing: Standing, words: str
) -> None:
    """https://github.com/vllm-project/vllm/issues/33041: what an IOMMU swallows, a server waits for."""
    *_, between = host(H100, H100, peers=peers, has_iommu=has_iommu)
    assert (between.name, between.standing) == ("peers", standing)
    assert words in between.text
