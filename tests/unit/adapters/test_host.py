"""What we say of the machine that we run on."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

from pipeline.adapters import gpu, host

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _nvml(**functions: object) -> SimpleNamespace:
    """A management library for one GPU."""
    nothing = {"nvmlInit": lambda: None, "nvmlShutdown": lambda: None}
    found = {
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetCudaComputeCapability": lambda _: (9, 0),
        "nvmlDeviceGetMemoryInfo": lambda _: SimpleNamespace(total=80 << 30),
        "nvmlDeviceGetName": lambda _: "NVIDIA H100",
        "nvmlDeviceGetUUID": lambda _: "GPU-1",
        "nvmlSystemGetDriverVersion": lambda: "580.65.06",
    }
    return SimpleNamespace(**nothing | found | functions)


def test_no_library_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without NVIDIA's library has no GPU and no driver; that is no error."""
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu.gpus() == ()
    assert gpu.driver() == ""
    assert host.here().hardware.startswith("cpu-")


def test_a_library_that_fails_means_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that was updated under a running system answers with an error only."""

    def mismatch() -> None:
        raise RuntimeError("Driver/library version mismatch")

    monkeypatch.setitem(sys.modules, "pynvml", _nvml(nvmlInit=mismatch))
    assert gpu.gpus() == ()
    assert gpu.driver() == ""


def test_a_gpu_names_the_hardware_class(monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs of a GPU are kept apart by its compute capability."""
    monkeypatch.setitem(sys.modules, "pynvml", _nvml())
    here = host.here("26.1")
    assert here.hardware.startswith("sm_90-")
    assert here.gpus == ("NVIDIA H100 (sm_90, 81920 MiB)",)
    assert here.driver == "580.65.06"
    assert here.engine == "26.1"


def test_free_disk_is_told_for_a_folder_that_is_not_there_yet(tmp_path: Path) -> None:
    """The nearest folder that exists decides."""
    assert host.disk_free(tmp_path / "not" / "yet") > 0
