"""How a program ended that found no GPU: what its log must say, and what it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.suite.deviceless import other_than_want_of_a_device, raised

LOG = (Path(__file__).with_name("no_gpu.log")).read_text("utf-8")
"""What vLLM 0.26.0 wrote in a CUDA image with a double of the driver: its logger, and Python between."""

IN_VLLM = """Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/vllm/v1/worker/gpu_worker.py", line 352, in init_device
    torch.accelerator.set_device_index(self.device)
RuntimeError: No CUDA GPUs are available
"""


def against(log: str, package: str = "vllm") -> str:
    return other_than_want_of_a_device(log, package)


def test_what_vllm_says_without_a_gpu_is_understood() -> None:
    assert against(LOG) == ""
    assert [one.error.partition(":")[0] for one in raised(LOG)] == ["RuntimeError"] * 3


@pytest.mark.parametrize(
    "error",
    [
        "RuntimeError: No CUDA GPUs are available",
        "AssertionError: DP adjusted local rank 0 is out of bounds for 0 devices.",
        "RuntimeError: CUDA error: no CUDA-capable device is detected",
    ],
)
def test_each_way_to_say_so_counts(error: str) -> None:
    assert against(IN_VLLM.replace("RuntimeError: No CUDA GPUs are available", error)) == ""


def test_the_words_alone_are_no_evidence() -> None:
    """Printed, or raised by whatever is not the package that has to notice."""
    assert against("RuntimeError: No CUDA GPUs are available\n") == "no error of vllm that says so"
    script = IN_VLLM.replace("/opt/venv/lib/python3.11/site-packages/vllm/", "/usr/local/bin/")
    assert against(script) == "no error of vllm that says so"
    assert against("") == "no error of vllm that says so"


@pytest.mark.parametrize(
    "error",
    [
        "ImportError: libcudart.so.12: cannot open shared object file",
        "RuntimeError: Found no NVIDIA driver on your system",
        "RuntimeError: Failed to infer device type",
        "AssertionError: DP adjusted local rank 3 is out of bounds for 2 devices.",
        "RuntimeError",
    ],
)
def test_any_other_error_speaks_against_it_beside_the_right_one_too(error: str) -> None:
    """Before it or after it, logged or printed, by that process or by another."""
    other = IN_VLLM.replace("RuntimeError: No CUDA GPUs are available", error)
    logged = "".join(
        f"(APIServer pid=8) ERROR 11-26 11:07:08 [core.py:1] {line}\n" for line in other.split("\n")
    )
    for log in (other, other + IN_VLLM, IN_VLLM + other, LOG + logged):
        assert against(log) == error


def test_a_consequence_alone_is_no_evidence() -> None:
    error = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
    log = IN_VLLM.replace("RuntimeError: No CUDA GPUs are available", error)
    assert against(log) == "no error of vllm that says so"
