"""People ask of a CUDA image, on a machine without a GPU, what it is, and why CUDA is not there."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model.errors import MACHINE
from tests.cuda_build import ROOT

if TYPE_CHECKING:
    from tests.system.cuda.cuda_image import CudaImage

pytestmark = pytest.mark.needs("engine", "registry", "mmdebstrap", "cuda-build")


def asked(image: CudaImage, *words: str) -> tuple[int, dict[str, Any]]:
    """The exit code and the JSON of a command that ends in the image's reference."""
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", *words, str(image.image.ref), "--json"],
        cwd=ROOT,
        env=image.builder.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_doctor_says_that_the_container_was_given_no_gpu(cuda_image: CudaImage) -> None:
    code, said = asked(cuda_image, "doctor", "--container")
    assert (code, said["cause"]["name"]) == (MACHINE, "no-gpu-given")


@pytest.mark.parametrize("words", [(), ("--labels",)], ids=["its certificate or files", "its labels"])
def test_which_says_what_it_is(cuda_image: CudaImage, words: tuple[str, ...]) -> None:
    code, said = asked(cuda_image, "which", *words)
    (row,) = said["images"]
    cell, torch = cuda_image.image.cell, row["torch"].partition("+")[0]
    assert code == 0
    assert (torch, row["vllm"], row["python"]) == (
        cell.torch,
        cell.vllm,
        cell.python,
    )
