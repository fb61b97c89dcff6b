"""A package with several builds of one library: one that fails is nothing, all of them are a failure."""

from __future__ import annotations

import pytest

from pipeline.model import Severity
from tests.unit.stages.audit.audited_image import LIB, SITE, TORCH, Image, library, listing, module

ERROR, WARNING, NOTE = Severity
NONE = "none of the 4 builds of torchcodec can be loaded: "
CODEC = f"{SITE}/torchcodec"
FFMPEGS = {4: "libavutil.so.56", 5: "libavutil.so.57", 6: "libavutil.so.58", 7: "libavutil.so.59"}


def with_torchcodec(*needs: str, ffmpeg: int | None = 7, vllm: str = "0.32.0", **changes: object) -> Image:
    """The healthy image with a build of torchcodec for each FFmpeg, which link these libraries too."""
    image = Image()
    image.install("torchcodec", "0.14.0")
    image.install("vllm", vllm)
    image.stranger()
    for number, soname in FFMPEGS.items():
        path = f"{CODEC}/libtorchcodec_core{number}.so"
        image.add(library(path, soname, "libc10.so", *needs, **changes))
        image.add(library(f"{CODEC}/libtorchcodec_custom_ops{number}.so", path.rpartition("/")[2]))
    if ffmpeg:
        image.add(library(f"{LIB}/{FFMPEGS[ffmpeg]}"))
    return image


def told(image: Image) -> list[tuple[Severity, str]]:
    """What is found in it that is not found without torchcodec."""
    healthy = {one.text for one in Image().judged().findings}
    return [(one.severity, one.text) for one in image.judged().findings if one.text not in healthy]


def test_one_build_that_loads_is_enough_and_nothing_is_said_of_the_others() -> None:
    assert told(with_torchcodec()) == []


def test_where_all_need_what_is_nowhere_it_is_one_finding_that_names_it() -> None:
    """https://github.com/vllm-project/vllm/issues/48592: a build for CUDA 13 beside PyTorch for 12."""
    assert told(with_torchcodec("libnvrtc.so.14")) == [
        (
            WARNING,
            f"{NONE}all need libnvrtc.so.14, and libnvrtc.so.14 is nowhere in the image",
        )
    ]


def test_it_is_an_error_where_the_server_imports_it_at_its_start() -> None:
    image = with_torchcodec("libnvrtc.so.14", vllm="0.25.0")
    ((severity, text),) = told(image)
    assert (severity, "libnvrtc.so.14" in text) == (ERROR, True)
    assert any("vllm 0.25.0 imports it at its start" in one.why for one in image.judged().findings)


@pytest.mark.parametrize(("vllm", "severity"), [("0.32.0", NOTE), ("0.25.0", ERROR)])
def test_an_image_without_ffmpeg_has_no_torchcodec(vllm: str, severity: Severity) -> None:
    """https://github.com/vllm-project/vllm/pull/47888: it blocked the start until that was caught."""
    assert told(with_torchcodec(ffmpeg=None, vllm=vllm)) == [
        (
            severity,
            f"{NONE}each is for another FFmpeg, and none of those is there",
        )
    ]


def test_the_one_for_the_ffmpeg_that_is_there_must_find_its_symbols() -> None:
    """https://github.com/vllm-project/vllm/issues/48395: built against another libstdc++, or PyTorch."""
    ((severity, text),) = told(with_torchcodec(undefined=frozenset({"_ZN3c105OtherE"})))
    assert (
        severity,
        "libtorchcodec_core7.so, whose libraries are there, finds no _ZN3c105OtherE" in text,
    ) == (
        WARNING,
        True,
    )


@pytest.mark.parametrize(
    ("broken", "good"),
    [
        (f"{SITE}/numba/np/ufunc/tbbpool.abi3.so", f"{SITE}/numba/np/ufunc/workqueuepool.abi3.so"),
        (f"{SITE}/faiss/_swigfaiss_avx512.so", f"{SITE}/faiss/_swigfaiss.so"),
        (f"{SITE}/bitsandbytes/libbitsandbytes_cuda118.so", f"{SITE}/bitsandbytes/libbitsandbytes_cpu.so"),
        (f"{SITE}/torch_c_dlpack_ext/libaddon_torch28.so", f"{SITE}/torch_c_dlpack_ext/libaddon_torch29.so"),
        (f"{SITE}/torio/lib/libtorio_ffmpeg4.so", f"{SITE}/torio/lib/libtorio_ffmpeg5.so"),
        ("/usr/lib/python3.11/lib-dynload/_gdbm.abi3.so", "/usr/lib/python3.11/lib-dynload/_dbm.abi3.so"),
    ],
)
def test_of_every_family_a_broken_one_beside_a_good_one_is_nothing(broken: str, good: str) -> None:
    image = Image()
    image.add(library(broken, "libnowhere.so.1"))
    image.add(library(good))
    assert told(image) == [], listing(image.judged())


def test_torchs_own_libraries_are_no_alternatives() -> None:
    image = Image()
    image.add(module(f"{TORCH}/_other.abi3.so", "libnowhere.so.1"))
    assert [severity for severity, _ in told(image)] == [ERROR]
