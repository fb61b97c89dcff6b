"""How long a survey takes beside the mere streaming and unpacking of the same layers.

    nox -s bench -- layers IMAGE

IMAGE is what `certify` takes: a reference in a registry, an archive, a layout. Both are done twice, in turns.
"""

from __future__ import annotations

import resource
import sys
import time

from pipeline.adapters.image_files.limits import Meter
from pipeline.adapters.image_files.opening import open_image
from pipeline.stages.audit.survey import survey


def streamed(reference: str) -> int:
    """Stream, hash and unpack every layer, and look at nothing; the unpacked bytes."""
    with open_image(reference) as files:
        size = 0
        for blob in files.blobs:
            with blob.unpacked(Meter()) as pieces:
                size += sum(map(len, pieces))
        return size


def surveyed(reference: str) -> int:
    """Survey it; the objects that were read."""
    with open_image(reference) as files:
        return len(survey(files).objects)


def main(reference: str) -> None:
    """Print seconds of wall clock and of processor for each turn."""
    for _ in range(2):
        for name, work in (("stream", streamed), ("survey", surveyed)):
            wall, cpu = time.monotonic(), time.process_time()
            count = work(reference)
            wall, cpu = time.monotonic() - wall, time.process_time() - cpu
            print(f"{name}: {wall:.1f} s, {cpu:.1f} s of processor ({count})")
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one image
        sys.exit(__doc__)
    main(sys.argv[1])
