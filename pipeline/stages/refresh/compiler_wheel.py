"""Reading a wheel of NVIDIA's compiler: the newest gcc that its headers accept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.model.errors import FactsError
from pipeline.stages.refresh import reading
from pipeline.stages.refresh.reading import Reading

if TYPE_CHECKING:
    from pipeline.adapters.package_index import RemoteWheel
    from pipeline.stages.refresh.releases import Offer

_HEADER = "/include/crt/host_config.h"


def read(wheel: RemoteWheel, offer: Offer) -> Reading:
    """The toolkit's version, and what its headers say. Raises FactsError where they say nothing."""
    member = next((member for member in wheel.members if member.endswith(_HEADER)), _HEADER)
    newest = max_gcc(wheel.read(member))
    if newest is None:
        raise FactsError(
            f"{wheel.file.name}: {member} names no newest gcc",
            hint="unsupported wheel layout; please report it",
        )
    return Reading(
        size=wheel.size,
        cuda=".".join(str(offer.version).split(".")[:2]),
        pins=reading.pins(wheel, offer),
        max_gcc=newest,
        read_from=reading.sources(cuda=reading.METADATA, pins=reading.METADATA, max_gcc=member),
    )


def max_gcc(header: bytes) -> int | None:
    """The major version above which the header stops a build: ``#if __GNUC__ > 15``."""
    match = re.search(rb"#\s*if\s+__GNUC__\s*>\s*([0-9]+)", header)
    return int(match[1]) if match else None
