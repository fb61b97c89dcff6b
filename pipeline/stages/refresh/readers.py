"""Reading what is not known yet: several releases at once, each kept as soon as it is read."""

from __future__ import annotations

import queue
from contextlib import closing
from itertools import groupby
from threading import Event, Thread
from typing import TYPE_CHECKING

from pipeline.model import shown
from pipeline.model.errors import DamagedError, FactsError
from pipeline.stages.refresh import compiler_wheel, sdist, torch_wheel, vllm_wheel
from pipeline.stages.refresh.reading import METADATA, Reading, pins, sources

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from pipeline.adapters.package_index import Index
    from pipeline.stages.refresh.journal import Journal
    from pipeline.stages.refresh.releases import Offer

    Release = tuple[Offer, ...]
    Progress = Callable[[str], None]

_SDIST_PIECE = 256 * 1024
"""Bytes of a source archive that are fetched at a time: it is read from its start until all is found."""

_AT_ONCE = 6
_ENOUGH = 3
"""Releases that cannot be read before the others are not tried any more."""


def read(index: Index, unread: Sequence[Offer], journal: Journal, progress: Progress) -> dict[str, Reading]:
    """What these artefacts say, by hash.

    Raises FactsError where some cannot be read; the others are in the journal.
    """
    found = {offer.file.sha256: kept for offer in unread if (kept := journal.get(offer.file.sha256))}
    if found:
        progress(f"{len(found)} artefacts were read by an earlier run")

    def keep(release: Release) -> None:
        for offer, reading in read_release(index, release):
            journal.put(offer.file.sha256, reading)
            found[offer.file.sha256] = reading

    left = [offer for offer in unread if offer.file.sha256 not in found]
    releases = [tuple(group) for _, group in groupby(left, key=lambda offer: offer.key[:2])]
    failures: list[FactsError] = []
    with closing(_at_once(keep, releases)) as done:
        for number, (release, failure) in enumerate(done, 1):
            failures += [failure] if failure else []
            word = "cannot be read" if failure else "read"
            progress(f"{release[0].project} {release[0].version}: {word} ({number} of {len(releases)})")
            if len(failures) >= _ENOUGH:
                break
    if failures:
        texts = dict.fromkeys(failure.what for failure in failures)
        raise FactsError("\n".join(texts), hint=f"{failures[0].hint}. What was read is kept for the next run")
    return found


def read_release(index: Index, release: Sequence[Offer]) -> Iterator[tuple[Offer, Reading]]:
    """What the wheels of one release say, its source archive read once for all of them. Raises FactsError."""
    first, file = release[0], release[0].file
    try:
        build = None
        if first.project == "vllm" and first.sdist:
            file = first.sdist
            with closing(sdist.members(index.pieces(file, _SDIST_PIECE))) as members:
                build = sdist.read(members)
        for offer in release:
            file = offer.file
            yield offer, _read_wheel(index, offer, build)
    except (MemoryError, RecursionError, SyntaxError, ValueError) as error:
        raise FactsError(
            f"{file.shown} holds what it should not: {shown(error) or type(error).__name__}",
            hint="look at the file; if its layout is unsupported, please report it",
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
        metadata_source = sources(pins=METADATA, damaged="the whole file, whose hash is the listed one")
        return Reading(size=wheel.size, pins=pins(wheel, offer), damaged=damage, read_from=metadata_source)


def _at_once(
    task: Callable[[Release], None], releases: Sequence[Release]
) -> Generator[tuple[Release, FactsError | None], None, None]:
    """Do the task for several releases at once; yields each when it is done, with what kept it from that.

    The threads die with the program, so an interruption need not wait for a server that is silent.
    """
    todo: queue.SimpleQueue[Release] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Release, Exception | None]] = queue.SimpleQueue()
    closed = Event()

    def work() -> None:
        while not closed.is_set() and not todo.empty():
            try:
                release = todo.get_nowait()
            except queue.Empty:  # another thread was faster
                return
            try:
                task(release)
            except Exception as error:  # noqa: BLE001 - the main thread raises it
                done.put((release, error))
            else:
                done.put((release, None))

    for release in releases:
        todo.put(release)
    for _ in range(min(_AT_ONCE, len(releases))):
        Thread(target=work, daemon=True).start()
    try:
        for _ in releases:
            release, failure = done.get()
            if failure is not None and not isinstance(failure, FactsError):
                raise failure
            yield release, failure
    finally:
        closed.set()
