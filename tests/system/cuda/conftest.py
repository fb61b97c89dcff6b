"""The CUDA image that the tests of this folder share: built once, for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.system.cuda.cuda_image import a_builder, built

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.cuda.cuda_image import CudaImage


@pytest.fixture(scope="package")
def cuda_image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CudaImage]:
    """The cell of ``tests/cuda_build.py``, built from its lock and certified.

    Whoever uses it says so: ``@pytest.mark.needs("engine", "registry", "mmdebstrap", "cuda-build")``. All of
    it is gone before the tests of the next folder, because it takes 26 GB of the engine's disk.
    """
    with a_builder(tmp_path_factory.mktemp("cuda")) as builder:
        yield built(builder)
