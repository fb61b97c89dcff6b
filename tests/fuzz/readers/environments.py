"""Lists of packages that somebody else wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compat import pairs
from tests.fuzz.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path


def read_pairs(data: bytes, _: Path) -> object:
    """Feeds versions, a line for each of these packages."""
    names = ("vllm", "transformers", "flashinfer-python", "flashinfer-cubin", "pynvml", "nvidia-ml-py")
    installed = dict(zip(names, data.decode("utf-8", "replace").splitlines(), strict=False))
    return list(pairs.clashes(installed)), list(pairs.unequal(installed)), list(pairs.twins(installed))


READERS = (Reader("pairs", read_pairs, (b"0.11.0\n5.1.0\n0.6.14\n0.6.13\n11.5.3\n12.570.86\n",)),)
