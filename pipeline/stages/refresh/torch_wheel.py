"""Reading a wheel of PyTorch: its CUDA, architectures and pins, and what its smaller libraries need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.formats.torch_build import CONFIG, VERSION, archs, strings
from pipeline.stages.refresh import reading
from pipeline.stages.refresh.reading import Reading

if TYPE_CHECKING:
    from pipeline.adapters.package_index import RemoteWheel
    from pipeline.stages.refresh.releases import Offer

_LIBRARIES = ("torch/lib/libtorch_global_deps.so", "torch/lib/libshm.so", "torch/lib/libc10.so")
"""Small ones. The first links what PyTorch wants loaded before itself: CUDA's own libraries."""


def read(wheel: RemoteWheel, offer: Offer) -> Reading:
    """All that we want to know of it. Raises FactsError."""
    version = strings(wheel.read(VERSION))
    cuda = version.get("cuda")
    needs_by_member = reading.inside(wheel, [member for member in _LIBRARIES if member in wheel.members])
    glibc, glibc_from = reading.glibc(needs_by_member)
    return Reading(
        size=wheel.size,
        cuda=cuda,
        archs=archs(wheel.read(CONFIG)) if cuda else (),
        glibc_seen=glibc,
        needs=reading.libraries(wheel, needs_by_member),
        pins=reading.pins(wheel, offer),
        read_from=reading.sources(
            cuda=VERSION,
            archs=CONFIG if cuda else VERSION,
            pins=reading.METADATA,
            glibc_seen=glibc_from,
            needs=tuple(needs_by_member),
        ),
    )
