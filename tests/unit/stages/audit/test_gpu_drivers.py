"""Drivers in a certificate: those that know a GPU and run what is inside, and what is answered of others."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.compat.rows import Gpu, KnownBy
from pipeline.formats.elf.objects import DeviceCode
from pipeline.model import Certificate, Expectations, Level
from pipeline.report.certificate import answer
from pipeline.stages.audit.audit import judge
from pipeline.stages.audit.runs_on import runs_on
from tests.unit.stages.audit.audited_image import (
    CUDART,
    FACTS,
    HERE,
    LIB,
    NOW,
    TORCH,
    VLLM,
    Image,
    library,
)


def of_cuda_12() -> Certificate:
    """The certificate of an image for CUDA 12, with code for every GPU of the facts and an old one."""
    image = Image()
    image.stranger()
    image.objects = {
        path: replace(one, needs=tuple(need.replace("cudart.so.13", "cudart.so.12") for need in one.needs))
        for path, one in image.objects.items()
        if path != CUDART
    }
    image.add(library(f"{LIB}/libcudart.so.12", "libc.so.6", defined=frozenset({"cudaMalloc"})))
    image.install("nvidia-cuda-runtime", "12.8.90")
    image.install("nvidia-cuda-nvrtc", "12.8.90")
    archs = ("sm_37", "sm_70", "sm_75", "sm_80", "sm_89", "sm_90", "sm_100")
    for path in (f"{VLLM}/_C.abi3.so", f"{TORCH}/libtorch_cuda.so"):
        image.change(path, device_code=tuple(DeviceCode("cubin", arch, 1) for arch in archs))
    return judge(image.inventory(), Expectations(), (), NOW, WITH_OLD)


WITH_OLD = replace(
    FACTS,
    gpus=(
        Gpu("K80", "sm_37", "Kepler", True, "documented", HERE),
        Gpu("V100", "sm_70", "Volta", True, "documented", HERE),
        *FACTS.gpus,
    ),
    known_by=(
        KnownBy("sm_37", "346.46", "documented", HERE, last="470"),
        KnownBy("sm_70", "384.81", "documented", HERE, last="580"),
        *FACTS.known_by,
    ),
)


def test_each_gpu_has_the_oldest_driver_that_knows_it_and_runs_the_image_and_its_last_branch() -> None:
    there = {one.name: (one.driver, one.last_driver) for one in of_cuda_12().gpus}
    assert there["B200"] == ("570.133.20", "")
    assert there["V100"] == ("525.60.13", "580")
    assert there["L4"] == ("525.60.13", "")


@pytest.mark.parametrize(
    ("gpu", "driver", "level", "words"),
    [
        (
            "B200",
            "570.124.06",
            Level.IMPOSSIBLE,
            "driver 570.133.20 or newer; 570.124.06 is there",
        ),
        ("B200", "570.133.20", Level.OK, ""),
        ("B200", "535.161.08", Level.IMPOSSIBLE, "535.161.08 is there"),
        ("sm_100", "570.26", Level.OK, ""),
        ("V100", "595.10", Level.IMPOSSIBLE, "none after branch R580; 595.10 is there"),
        ("V100", "580.65.06", Level.OK, ""),
        ("V100", "520.61.05", Level.IMPOSSIBLE, "it needs driver 525.60.13"),
        ("K80", None, Level.IMPOSSIBLE, "no driver does both"),
        ("K80", "470.82.01", Level.IMPOSSIBLE, "no driver does both"),
    ],
)
def test_a_certificate_knows_which_drivers_know_a_gpu(
    gpu: str, driver: str | None, level: Level, words: str
) -> None:
    verdict = runs_on(of_cuda_12(), gpu, driver, WITH_OLD)
    assert verdict.level is level, answer(verdict)
    assert words in answer(verdict)


@pytest.mark.parametrize(
    ("driver", "level"), [("570.26", Level.OK), ("570.133.20", Level.OK), ("535.161.08", Level.IMPOSSIBLE)]
)
def test_a_gpu_without_a_row_is_answered_by_its_architecture_and_its_own_drivers(
    driver: str, level: Level
) -> None:
    """The drivers of the row are those of another GPU: B200 has heard of none before 570.133.20."""
    other = Gpu(
        "B100", "sm_100", "Blackwell", True, "documented", ("https://example.org/b100",), listed=False
    )
    facts = replace(WITH_OLD, gpus=(*WITH_OLD.gpus, other))
    assert runs_on(of_cuda_12(), "B100", driver, facts).level is level


def test_a_gpu_without_a_row_adds_none_to_a_certificate() -> None:
    names = {row.name for row in of_cuda_12().gpus}
    assert names == {gpu.name for gpu in WITH_OLD.gpus}
    assert all(gpu.listed for gpu in WITH_OLD.gpus)


def test_a_certificate_made_before_anybody_knew_of_last_drivers_is_read_by_what_is_known_today() -> None:
    old = of_cuda_12().model_dump(by_alias=True)
    for gpu in old["gpus"]:
        gpu["driver"] = "525.60.13"
        del gpu["last_driver"]
    certificate = Certificate.model_validate(old)
    assert runs_on(certificate, "B200", "535.161.08", WITH_OLD).level is Level.IMPOSSIBLE
    assert runs_on(certificate, "V100", "595.10", WITH_OLD).level is Level.IMPOSSIBLE
