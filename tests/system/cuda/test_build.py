"""A CUDA cell of matrix.yaml is built from its lock: its files say that it will run, and where."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.model import Severity
from tests.cuda_build import CELL, ROOT

if TYPE_CHECKING:
    from tests.system.cuda.cuda_image import CudaImage

pytestmark = pytest.mark.needs("engine", "registry", "mmdebstrap", "cuda-build")

LISTED = """
import json, sys
from importlib.metadata import distribution
files = {name: distribution(name).files for name in sys.argv[1:]}
absent = [str(file) for listed in files.values() for file in listed if not file.locate().exists()]
print(json.dumps([{name: [str(file) for file in listed] for name, listed in files.items()}, absent]))
"""
COMPILES = Path(__file__).with_name("compiles.py")


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


def test_what_the_matrix_trims_is_gone_and_no_list_of_files_names_it(cuda_image: CudaImage) -> None:
    """All that these packages say they have installed is there, and no glob of the matrix finds any of it."""
    (spec,) = matrix.select(matrix.load(ROOT / "matrix.yaml"), [CELL])
    globs = {name: trim.files for trim in spec.trim for name in trim.packages}
    installed, absent = json.loads(cuda_image.prints("-c", LISTED, *globs))
    assert absent == []
    for name, files in globs.items():
        assert len(installed[name]) > 1
        assert [path for path in installed[name] for glob in files if fnmatchcase(path, glob)] == []


@pytest.mark.parametrize("compiler", ["triton", "nvcc", "inductor"])
def test_what_compiles_at_run_time_finds_all_that_it_needs(cuda_image: CudaImage, compiler: str) -> None:
    cuda_image.prints("/compiles.py", compiler, mounted=COMPILES)


def test_it_takes_no_more_disk_than_the_matrix_allows(cuda_image: CudaImage) -> None:
    (spec,) = matrix.select(matrix.load(ROOT / "matrix.yaml"), [CELL])
    assert spec.budget is not None
    assert spec.budget.installed == 10_000_000_000
    assert cuda_image.certificate.sizes.installed < spec.budget.installed
