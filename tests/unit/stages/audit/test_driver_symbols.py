"""What a certificate says is asked of the driver's libraries: by whom, and what does not count."""

from __future__ import annotations

import json

import pytest

from pipeline.model import Certificate
from pipeline.model.certificates import MAX_DRIVER_SYMBOLS
from pipeline.report.certificate import as_json
from tests.builders import certificate
from tests.unit.stages.audit.audited_image import LIB, SITE, TORCH, VLLM, Image, library, module


def test_what_an_object_asks_of_the_driver_is_told() -> None:
    """PyTorch of the healthy image links libcuda.so.1 and calls cuInit; cudaMalloc is the runtime's."""
    assert Image().judged().driver_symbols == ("cuInit",)


def test_management_and_what_is_linked_through_another_object_count_too() -> None:
    image = Image()
    names = frozenset({"nvmlInit_v2", "cuMemCreate"})
    image.add(module(f"{VLLM}/mem.abi3.so", "libtorch_cuda.so", "libnvidia-ml.so.1", undefined=names))
    assert image.judged().driver_symbols == ("cuInit", "cuMemCreate", "nvmlInit_v2")


def test_what_a_library_of_the_toolkit_defines_is_not_asked_of_the_driver() -> None:
    """The functions of cuFile are named as the driver's are."""
    image = Image()
    image.add(library(f"{LIB}/libcufile.so.0", defined=frozenset({"cuFileRead"})))
    image.add(
        module(f"{VLLM}/io.abi3.so", "libcufile.so.0", "libcuda.so.1", undefined=frozenset({"cuFileRead"}))
    )
    assert image.judged().driver_symbols == ("cuInit",)


@pytest.mark.parametrize("soname", ["libcuda_stub.so", "libcuda-40d19bb1.so"])
def test_a_stub_that_others_link_takes_nothing_from_what_the_rest_asks(soname: str) -> None:
    """As those of TileLang and of wheels that auditwheel repaired: PyTorch does not load them."""
    image = Image()
    image.add(library(f"{SITE}/other/{soname}", defined=frozenset({"cuInit", "cuCtxGetDevice"})))
    image.add(module(f"{SITE}/other/lib.abi3.so", soname, undefined=frozenset({"cuCtxGetDevice"})))
    image.change(f"{SITE}/other/lib.abi3.so", rpath=("$ORIGIN",))
    assert image.judged().driver_symbols == ("cuInit",)


def test_a_driver_inside_counts_as_nothing() -> None:
    """The rule `shadow` refuses it; the double takes its place."""
    image = Image()
    image.add(library(f"{LIB}/libcuda.so.1", defined=frozenset({"cuInit"})))
    assert image.judged().driver_symbols == ("cuInit",)


def test_an_image_that_links_no_driver_asks_nothing() -> None:
    image = Image()
    image.change(f"{TORCH}/libtorch_cuda.so", needs=("libcudart.so.13", "libc10.so"), undefined=frozenset())
    assert image.judged().driver_symbols == ()


def test_what_is_no_name_of_a_function_or_has_no_end_is_left_out() -> None:
    """The names go into a program: a hostile image has no say in it, and its certificate stays small."""
    image = Image()
    names = {f"cuFake{number}" for number in range(MAX_DRIVER_SYMBOLS + 5)}
    strange = {"cuX;system", "cuInit\n", f"cu{'X' * 500}", "cudaMalloc_v9"}
    image.change(f"{TORCH}/libtorch_cuda.so", undefined=frozenset(names | strange))
    symbols = image.judged().driver_symbols
    assert len(symbols) == MAX_DRIVER_SYMBOLS
    assert set(symbols) <= names


def test_a_certificate_of_before_is_read_and_written_as_it_was() -> None:
    """It has no such field, and one that is empty is not written: what is signed stays the same."""
    old = certificate()
    assert "driver_symbols" not in json.loads(as_json(old))
    told = certificate(driver_symbols=("cuInit",))
    assert json.loads(as_json(told))["driver_symbols"] == ["cuInit"]
    assert Certificate.model_validate_json(as_json(told)) == told
