"""Reading a wheel of PyTorch: its CUDA, architectures and pins, and what its smaller libraries need."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

from pipeline.stages.refresh import reading
from pipeline.stages.refresh.reading import Reading

if TYPE_CHECKING:
    from pipeline.adapters.package_index import RemoteWheel
    from pipeline.stages.refresh.releases import Offer

_VERSION = "torch/version.py"
_CONFIG = "torch/include/ATen/cuda/CUDAConfig.h"
"""The flags that its own build gave to nvcc, in 1 kB: the list that ``torch.cuda.get_arch_list()`` gives."""

_LIBRARIES = ("torch/lib/libtorch_global_deps.so", "torch/lib/libshm.so", "torch/lib/libc10.so")
"""Small ones. The first links what PyTorch wants loaded before itself: CUDA's own libraries."""


def read(wheel: RemoteWheel, offer: Offer) -> Reading:
    """All that we want to know of it. Raises FactsError."""
    version = strings(wheel.read(_VERSION))
    cuda = version.get("cuda")
    needs_by_member = reading.inside(wheel, [member for member in _LIBRARIES if member in wheel.members])
    glibc, glibc_from = reading.glibc(needs_by_member)
    return Reading(
        size=wheel.size,
        cuda=cuda,
        archs=archs(wheel.read(_CONFIG)) if cuda else (),
        glibc_seen=glibc,
        needs=reading.libraries(wheel, needs_by_member),
        pins=reading.pins(wheel, offer),
        read_from=reading.sources(
            cuda=_VERSION,
            archs=_CONFIG if cuda else _VERSION,
            pins=reading.METADATA,
            glibc_seen=glibc_from,
            needs=tuple(needs_by_member),
        ),
    )


def strings(source: bytes) -> dict[str, str]:
    """The names that a Python module gives texts to, with them; nothing of it is run."""
    assigned: dict[str, str] = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            if isinstance(value, str):
                assigned |= {target.id: value for target in targets if isinstance(target, ast.Name)}
    return assigned


def archs(config: bytes) -> tuple[str, ...] | None:
    """What nvcc was told to make, from ``-gencode;arch=compute_90,code=sm_90;…``; None where it says none."""
    flags = re.search(rb'NVCC_FLAGS_EXTRA\s+"([^"]+)"', config)
    codes = re.findall(r"code=\[?((?:sm|compute)_[0-9a-z]+)", flags[1].decode()) if flags else []
    return tuple(codes) or None
