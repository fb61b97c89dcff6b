"""A CUDA cell of matrix.yaml is built from its lock: its files say that it will run, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.model import Severity
from tests.cuda_build import CELL

if TYPE_CHECKING:
    from tests.system.cuda.cuda_image import CudaImage

pytestmark = pytest.mark.needs("engine", "registry", "mmdebstrap", "cuda-build")


def test_its_certificate_finds_nothing_that_refuses_it(cuda_image: CudaImage) -> None:
    certificate = cuda_image.certificate
    assert certificate.digest == str(cuda_image.image.ref.digest)
    errors = [finding for finding in certificate.findings if finding.severity is Severity.ERROR]
    assert errors == []
    assert certificate.passed


def test_only_a_gpu_is_left_to_prove_it(cuda_image: CudaImage) -> None:
    row = cuda_image.builder.status()
    assert (row["state"], row["pending"], row["tags"]) == ("unproven", "needs a GPU", [])


def test_a_second_build_has_nothing_to_do(cuda_image: CudaImage) -> None:
    done = cuda_image.builder.types("build", CELL)
    assert done.returncode == 0, done.stderr
    assert "took" not in done.stderr
    assert cuda_image.builder.status()["image"]["ref"] == str(cuda_image.image.ref)
