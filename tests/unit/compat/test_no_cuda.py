"""Why PyTorch has no CUDA: each cause by what is seen of it, whose fault it is, and what hides what."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

from pipeline.compat.no_cuda import CauseName, Sight, has_cuda, why_no_cuda

PAGE = Path(__file__).parents[3] / "docs" / "suite.md"
INSIDE = {"library": "/usr/local/cuda-13.0/compat/libcuda.so.580.65.06", "is_on_root": True}
NODES = ("nvidia0", "nvidia-uvm", "nvidiactl")
PIP = "torch 2.11.0 in /opt/venv/lib/python3.11/site-packages by uv"


def sight(**changes: Any) -> Sight:
    """A container whose PyTorch is well, and whose driver shows no GPU: none was given."""
    fields: dict[str, Any] = {
        "torch": "2.11.0+cu130",
        "cuda": "13.0",
        "said": "No CUDA GPUs are available",
        "library": "/usr/lib/x86_64-linux-gnu/libcuda.so.580.65.06",
        "failure": "",
        "is_on_root": False,
        "is_in_prefix": False,
        "version": 13000,
        "init": 100,
        "devices": None,
        "nodes": (),
        "module": "",
        "visible": None,
        "capabilities": "compute,utility",
        "torches": (PIP,),
        "conda": (),
    }
    return Sight.model_validate(fields | changes)


NO_LIBRARY = {"library": "", "failure": "libcuda.so.1: cannot open shared object file", "init": None}

NO_TORCH = {"torch": None, "cuda": None, "torches": (), "said": "No module named 'torch'"}
NO_IMPORT = {"torch": None, "cuda": None, "said": "libcudnn.so.9: cannot open shared object file"}

CAUSES: dict[str, tuple[dict[str, Any], str, str]] = {
    "a Python without PyTorch": (NO_TORCH, "no-torch", "image"),
    "a Python without PyTorch, and no driver": (NO_TORCH | NO_LIBRARY, "no-torch", "image"),
    "a PyTorch that lacks a library of its own": (NO_IMPORT, "import-fails", "image"),
    "the same without a driver": (NO_IMPORT | NO_LIBRARY, "import-fails", "image"),
    "a PyTorch that wants the driver's library to be imported": (
        NO_IMPORT | NO_LIBRARY | {"said": "libcuda.so.1: cannot open shared object file"},
        "no-gpu-given",
        "host",
    ),
    "a build for the CPU": ({"torch": "2.11.0+cpu", "cuda": None}, "cpu-build", "image"),
    "pip's CPU build beside conda's PyTorch": (
        {"torch": "2.11.0+cpu", "cuda": None, "conda": ("pytorch-2.5.1-py3.11_cuda12.4",)},
        "mixed-installation",
        "image",
    ),
    "two installations of a build for the CPU": (
        {"cuda": None, "torches": (PIP, "torch 2.11.0+cpu in /home/app/.local by pip")},
        "mixed-installation",
        "image",
    ),
    "conda's CPU build alone": (
        {"cuda": None, "torches": ("torch 2.5.1 in /c by conda",), "conda": ("pytorch-2.5.1-py3.11_cpu",)},
        "cpu-build",
        "image",
    ),
    "no driver": (NO_LIBRARY | {"version": None}, "no-gpu-given", "host"),
    "no driver, though there are GPUs": (
        NO_LIBRARY | {"version": None, "nodes": NODES},
        "no-gpu-given",
        "host",
    ),
    "an image that asks for no driver": (
        NO_LIBRARY | {"capabilities": "utility"},
        "no-driver-asked",
        "image",
    ),
    "an image that asks for all of it": (NO_LIBRARY | {"capabilities": "all"}, "no-gpu-given", "host"),
    "the host's driver and no GPU": ({}, "no-gpu-given", "host"),
    "a driver for CUDA 12": ({"version": 12040}, "driver-too-old", "host"),
    "a driver for CUDA 12 that has trouble besides": (
        {"version": 12040, "init": 802},
        "driver-too-old",
        "host",
    ),
    "a newer driver of the same major": ({"version": 13030}, "no-gpu-given", "host"),
    "an older driver of the same major": ({"cuda": "13.2", "version": 13000}, "no-gpu-given", "host"),
    "a compat library of the image, 803": (INSIDE | {"init": 803}, "driver-shadowed", "image"),
    "a compat library of the image, 804": (INSIDE | {"init": 804}, "driver-shadowed", "image"),
    "a compat library that is mounted": (
        INSIDE | {"is_on_root": False, "init": 803},
        "driver-shadowed",
        "image",
    ),
    "an old driver in the image": (INSIDE | {"version": 12040}, "driver-shadowed", "image"),
    "a stub in the image": (
        {"library": "/usr/local/cuda/lib64/stubs/libcuda.so.1", "is_on_root": True, "init": 34},
        "driver-shadowed",
        "image",
    ),
    "a wheel's driver in the environment": ({"is_in_prefix": True, "init": 803}, "driver-shadowed", "image"),
    "a file that is no driver": (
        INSIDE | {"init": None, "version": None, "failure": "undefined symbol: cuInit"},
        "driver-shadowed",
        "image",
    ),
    "a driver of the image, any failure, and a GPU": (
        INSIDE | {"init": 999, "nodes": NODES},
        "driver-shadowed",
        "image",
    ),
    "a driver of the image and no GPU": (INSIDE, "no-gpu-given", "host"),
    "803 of the host's driver": ({"init": 803, "nodes": NODES}, "driver-mismatch", "host"),
    "804 of the host's driver": ({"init": 804, "nodes": NODES}, "compat-unsupported", "host"),
    "a stub that was mounted": ({"init": 34}, "driver-fails", "host"),
    "802": ({"init": 802, "nodes": NODES}, "fabric-manager", "host"),
    "999": ({"init": 999, "nodes": NODES}, "unknown-error", "host"),
    "304": ({"init": 304, "nodes": NODES}, "driver-fails", "host"),
    "an answer that nobody knows": ({"init": 12345, "nodes": NODES}, "driver-fails", "host"),
    "GPUs in /dev that the driver does not find": ({"nodes": NODES}, "no-gpu-found", "host"),
    "a driver that counts none": ({"init": 0, "devices": 0, "nodes": NODES}, "no-gpu-found", "host"),
    "an image that hides all GPUs": ({"visible": "-1"}, "gpus-hidden", "image"),
    "an image that hides all GPUs by nothing": ({"visible": ""}, "gpus-hidden", "image"),
    "an image that names a GPU which is not there": (
        {"visible": "3", "nodes": NODES},
        "gpus-hidden",
        "image",
    ),
    "an image that names a GPU where none was given": ({"visible": "0"}, "no-gpu-given", "host"),
    "PyTorch fails with a driver that is well": ({"init": 0, "devices": 1}, "pytorch-fails", "image"),
    "it fails where two of it are": (
        {"init": 0, "devices": 1, "torches": (PIP, "torch 2.10.0 in /home/app/.local by pip")},
        "mixed-installation",
        "image",
    ),
    "two of it, and no driver": (
        NO_LIBRARY | {"torches": (PIP, "torch 2.10.0 in /home/app/.local by pip")},
        "no-gpu-given",
        "host",
    ),
    "it is there at the second look": ({"init": 0, "devices": 1, "said": ""}, "passing", "host"),
}


@pytest.mark.parametrize(("seen", "name", "fault"), CAUSES.values(), ids=CAUSES)
def test_what_is_seen_in_a_container_has_one_cause(seen: dict[str, Any], name: str, fault: str) -> None:
    cause = why_no_cuda(sight(**seen), is_image=True)
    assert (cause.name, cause.fault) == (name, fault)
    assert cause.what
    assert cause.hint


def test_every_cause_has_a_case_and_a_row_of_the_page() -> None:
    names = {*get_args(CauseName)}
    assert {name for _, name, _ in CAUSES.values()} == names
    assert {
        *re.findall(r"^\| `([a-z-]+)` \| (?:image|host|either) \|", PAGE.read_text(), re.MULTILINE)
    } == names


@pytest.mark.parametrize(
    ("seen", "name", "fault"),
    [
        (INSIDE | {"init": 804}, "compat-unsupported", "host"),
        (INSIDE | {"init": 803}, "driver-mismatch", "host"),
        ({"is_in_prefix": True, "init": 803}, "driver-shadowed", "image"),
        ({"visible": "-1"}, "gpus-hidden", "host"),
        (NO_LIBRARY | {"capabilities": "utility"}, "no-gpu-given", "host"),
        ({"cuda": None}, "cpu-build", "image"),
    ],
)
def test_on_bare_metal_all_outside_the_environment_is_the_hosts(
    seen: dict[str, Any], name: str, fault: str
) -> None:
    """There the root's libraries and the variables are the machine's own."""
    cause = why_no_cuda(sight(**seen), is_image=False)
    assert (cause.name, cause.fault) == (name, fault)


def test_a_driver_that_is_too_old_is_told_with_both_numbers_and_the_driver_that_will_do() -> None:
    cause = why_no_cuda(sight(version=12040), is_image=True)
    assert "supports CUDA up to 12.4, torch 2.11.0+cu130 is built for CUDA 13.0" in cause.what
    assert "(driver 580 or newer), or take an image for CUDA 12" in cause.hint


def test_an_answer_is_told_with_its_name_and_what_lies_around_it() -> None:
    cause = why_no_cuda(sight(init=803, module="550.54.14", nodes=NODES), is_image=True)
    assert "cuInit answers 803 (SYSTEM_DRIVER_MISMATCH)" in cause.what
    assert "libcuda.so.580.65.06; kernel module 550.54.14; /dev has nvidia0" in cause.what


def test_a_library_that_shadows_is_told_by_its_path() -> None:
    cause = why_no_cuda(sight(**INSIDE | {"init": 804}), is_image=True)
    assert cause.what.startswith("/usr/local/cuda-13.0/compat/libcuda.so.580.65.06, which is inside, hides")


@pytest.mark.parametrize("cuda", ["", "x", "13", "99999999999999999999.1"])
def test_a_version_that_is_none_ends_in_a_cause(cuda: str) -> None:
    """The environment under test may say anything."""
    assert why_no_cuda(sight(cuda=cuda, init=802, version=-5), is_image=True).name


def test_cuda_is_there_where_pytorch_and_the_driver_both_say_so() -> None:
    well = {"init": 0, "devices": 2, "said": ""}
    assert has_cuda(sight(**well))
    for trouble in ({"said": "CUDA error"}, {"devices": 0}, {"init": 802}, {"cuda": None}, {"torch": None}):
        assert not has_cuda(sight(**well | trouble))
