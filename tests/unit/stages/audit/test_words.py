"""What a finding says: who lacks what, of which package, and a remedy that fits whoever asks."""

from __future__ import annotations

import pytest

from pipeline.model import Severity
from pipeline.stages.audit.inventory import Claim
from tests.unit.stages.audit.audited_image import (
    CUDA,
    LIB,
    SITE,
    TORCH,
    VLLM,
    Image,
    library,
    listing,
    module,
)

ERROR, WARNING, NOTE = Severity
DYNLOAD = "/usr/lib/python3.11/lib-dynload"


def own(image: Image, path: str, name: str, version: str) -> None:
    """Let a file be a package's."""
    image.claims[path] = (Claim(f"{SITE}/{name.replace('-', '_')}-{version}.dist-info", holds=True),)


def the_symbol(image: Image) -> tuple[str, str]:
    """Text and hint of the one finding on symbols."""
    certificate = image.judged()
    (finding,) = [one for one in certificate.findings if one.rule == "symbols"]
    return finding.text, finding.hint


# -- the provider, and the remedy -------------------------------------------------------------------


def test_an_extension_for_another_pytorch_is_told_which_pytorch_is_there() -> None:
    image = Image()
    own(image, f"{TORCH}/libc10.so", "torch", "2.13.0")
    own(image, f"{VLLM}/_moe_C.abi3.so", "vllm", "0.32.0")
    image.change(f"{VLLM}/_moe_C.abi3.so", undefined=frozenset({"_ZN3c105OtherE"}))
    text, hint = the_symbol(image)
    assert "nor does libc10.so (torch 2.13.0)" in text
    assert hint == "install the build of vllm for torch 2.13.0, both in one resolve"


@pytest.mark.parametrize(
    "symbol",
    [
        "_ZNR5torch7Library4_defEONS_8MovedE",
        "_ZNO3c104impl5MovedE",
        "_ZNK2at6Tensor5otherEv",
        "_ZTIN3c105OtherE",
        "aoti_torch_other",
    ],
)
def test_a_symbol_of_pytorch_is_known_whatever_its_qualifiers(symbol: str) -> None:
    """Torchvision 0.26 over PyTorch 2.12 lacks a function that is qualified by a reference."""
    image = Image()
    image.change(f"{VLLM}/_moe_C.abi3.so", undefined=frozenset({symbol}))
    (finding,) = [one for one in image.judged().findings if one.rule == "symbols"]
    assert "it was built against another release of PyTorch" in finding.why


def test_pytorch_itself_is_told_which_release_it_asks_for() -> None:
    """https://github.com/pytorch/pytorch/issues/176829: an NCCL that is older than the one that is pinned."""
    image = Image()
    nccl = f"{SITE}/nvidia/nccl/lib/libnccl.so.2"
    torch = image.objects[f"{TORCH}/libtorch_cuda.so"]
    image.change(
        torch.path,
        needs=(*torch.needs, "libnccl.so.2"),
        rpath=(*torch.rpath, "$ORIGIN/../../nvidia/nccl/lib"),
        undefined=torch.undefined | {"ncclAlltoAll"},
    )
    image.add(library(nccl, defined=frozenset({"ncclAllReduce"})))
    image.install("nvidia-nccl-cu13", "2.27.5")
    image.install("torch", "2.13.0", requires=("nvidia-nccl-cu13==2.29.7; platform_system == 'Linux'",))
    own(image, nccl, "nvidia-nccl-cu13", "2.27.5")
    own(image, torch.path, "torch", "2.13.0")
    text, hint = the_symbol(image)
    assert "nor does libnccl.so.2 (nvidia-nccl-cu13 2.27.5)" in text
    assert hint == "install 'nvidia-nccl-cu13==2.29.7', which torch 2.13.0 asks for"


def test_of_two_libraries_of_nvidias_the_older_is_raised() -> None:
    """CuSPARSE and nvJitLink: https://github.com/pytorch/pytorch/issues/111469."""
    image = Image()
    sparse, jit = f"{CUDA}/libcusparse.so.12", f"{CUDA}/libnvJitLink.so.13"
    image.add(library(sparse, "libnvJitLink.so.13", undefined=frozenset({"__nvJitLinkCreate_13_1"})))
    image.add(library(jit, defined=frozenset({"__nvJitLinkCreate_13_0"})))
    image.change(sparse, runpath=("$ORIGIN",))
    image.add(module(f"{SITE}/odd.abi3.so", "libcusparse.so.12", rpath=("$ORIGIN/nvidia/cu13/lib",)))
    for path, name in ((sparse, "nvidia-cusparse"), (jit, "nvidia-nvjitlink")):
        image.install(name, "13.0.1")
        own(image, path, name, "13.0.1")
    text, hint = the_symbol(image)
    assert "nor does libnvJitLink.so.13 (nvidia-nvjitlink 13.0.1)" in text
    assert hint == "raise nvidia-nvjitlink to the CUDA release of nvidia-cusparse 13.0.1, both in one resolve"


def test_where_no_pytorch_is_there_nobody_is_told_to_fit_it() -> None:
    image = Image()
    image.stranger()
    image.distributions = []
    image.objects = {path: obj for path, obj in image.objects.items() if not path.startswith(SITE)}
    image.add(library(f"{LIB}/libz.so.1", defined=frozenset({"zlibVersion", "inflate"})))
    image.add(module(f"{SITE}/odd.abi3.so", "libz.so.1", undefined=frozenset({"zlibOther"})))
    text, hint = the_symbol(image)
    assert "nor does libz.so.1" in text
    assert "PyTorch" not in hint
    assert "a newer libz.so.1" in hint


# -- one cause, one finding -------------------------------------------------------------------------


def test_a_python_without_its_library_is_one_finding_and_not_one_for_each_module() -> None:
    image = Image()
    image.change("/usr/bin/python3.11", needs=("libpython3.11.so.1.0",), defined=frozenset())
    for number in range(20):
        name = f"{DYNLOAD}/_m{number}.cpython-311-x86_64-linux-gnu.so"
        image.add(module(name, "libc.so.6", undefined=frozenset({"PyLong_FromLong", "_Py_NoneStruct"})))
    certificate = image.judged()
    errors = [one for one in certificate.findings if one.severity is ERROR]
    assert [(one.rule, one.path) for one in errors] == [("closure", "/usr/bin/python3.11")], listing(
        certificate
    )


def test_a_library_that_was_cut_off_is_damaged_and_not_nowhere() -> None:
    image = Image()
    path = f"{TORCH}/libc10.so"
    del image.objects[path]
    image.file(path)
    image.unreadable = ((path, "it is shorter than its headers say"),)
    own(image, path, "torch", "2.13.0")
    errors = [one for one in image.judged().findings if one.severity is ERROR]
    assert errors
    assert all("is damaged (it is shorter than its headers say)" in one.text for one in errors)
    assert all("install torch==2.13.0 again" in one.hint for one in errors)


def test_a_library_that_went_with_its_twin_is_installed_again() -> None:
    """https://github.com/pytorch/pytorch/issues/186591: who uninstalls one NCCL removes the file of both."""
    image = Image()
    path = f"{SITE}/nvidia/nccl/lib/libnccl.so.2"
    image.install("nvidia-nccl-cu13", "2.29.7", missing=(path,))
    torch = image.objects[f"{TORCH}/libtorch_cuda.so"]
    image.change(torch.path, needs=(*torch.needs, "libnccl.so.2"))
    hints = {one.hint for one in image.judged().findings if one.text.startswith("libnccl.so.2 is nowhere")}
    assert len(hints) == 1
    assert hints.pop().startswith("install nvidia-nccl-cu13==2.29.7 again: its RECORD has libnccl.so.2")


# -- what refuses no image --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "severity"),
    [
        ("nis", NOTE),
        ("ossaudiodev", NOTE),
        ("_crypt", NOTE),
        ("readline", NOTE),
        ("_curses_panel", NOTE),
        ("_tkinter", NOTE),
        ("_uuid", NOTE),
        ("_sqlite3", WARNING),
        ("_lzma", WARNING),
        ("_bz2", WARNING),
        ("_ssl", ERROR),
        ("_ctypes", ERROR),
    ],
)
def test_a_module_of_the_standard_library_refuses_an_image_only_if_servers_import_it(
    name: str, severity: Severity
) -> None:
    """A Python that was copied into a slim image lacks libraries of modules that nobody uses there."""
    image = Image()
    image.add(module(f"{DYNLOAD}/{name}.cpython-311-x86_64-linux-gnu.so", "libnowhere.so.2"))
    found = [one.severity for one in image.judged().findings if "libnowhere.so.2" in one.text]
    assert found == [severity]


def test_the_bindings_that_a_plain_installation_of_pytorch_brings_are_no_warning() -> None:
    """PyTorch for CUDA 13.0 asks for any cuda-bindings of 13, and gets 13.5."""
    image = Image()
    image.install("cuda-bindings", "13.5.0")
    found = [one for one in image.judged().findings if "the Python bindings" in one.text]
    assert [one.severity for one in found] == [NOTE]


def test_an_older_part_of_the_toolkit_is_raised_and_not_held_back() -> None:
    """https://github.com/vllm-project/vllm/issues/50705: nvcc of 12.8 beside a runtime of 12.9."""
    image = Image()
    image.install("nvidia-cuda-runtime", "13.1.80")
    image.stranger()
    hints = [one.hint for one in image.judged().findings if "NVRTC is of CUDA 13.0" in one.text]
    assert hints == ["raise it to CUDA 13.1"]


def test_the_cuda_of_an_image_is_pytorchs_although_another_package_brings_a_higher_one() -> None:
    """https://github.com/vllm-project/vllm/issues/43435: vLLM of CUDA 13 over PyTorch of 12.9."""
    image = Image()
    twelve = f"{SITE}/nvidia/cuda_runtime/lib"
    for name in ("libtorch_cuda.so", "libtorch_global_deps.so"):
        obj = image.objects[f"{TORCH}/{name}"]
        needs = tuple(need.replace("libcudart.so.13", "libcudart.so.12") for need in obj.needs)
        rpath = (*obj.rpath, "$ORIGIN/../../nvidia/cuda_runtime/lib")
        image.change(obj.path, needs=needs, rpath=rpath, compiled_by="12.9")
    image.add(library(f"{twelve}/libcudart.so.12", "libc.so.6", defined=frozenset({"cudaMalloc"})))
    image.change(f"{VLLM}/_C.abi3.so", rpath=("$ORIGIN/../nvidia/cu13/lib",))
    image.install("nvidia-cuda-runtime-cu12", "12.9.79")
    image.stranger()
    certificate = image.judged()
    assert certificate.cuda == "12.9", listing(certificate)
    assert any("it links CUDA 13, but the image is for CUDA 12" in one.text for one in certificate.findings)
    assert not [one for one in certificate.findings if "the runtime is of CUDA" in one.text]
