"""What a command works with: the matrix, and the runner of its cells on this machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline import matrix
from pipeline.adapters import files
from pipeline.cli.options import Options
from pipeline.report.progress import ProgressReporter
from pipeline.runner.running import Runner
from pipeline.runner.services import Services, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Matrix, Spec


@contextmanager
def opened(options: Options, *, signs: bool = False, reports: bool = False) -> Iterator[Runner]:
    """The runner for these options; nothing that it started outlives it.

    What would stop the command at its end stops it here: a given key that cannot sign, for one that
    ``signs`` or counts by signatures; a report that has no place, for one that ``reports``.
    """
    loaded = matrix.load(options.matrix, options.repository)
    if reports:
        report_folder(options)
    with ProgressReporter() as progress:
        runner = Runner(Services(_settings(options, loaded)), progress)
        if signs:
            runner.services.refuse_unusable_key()
        try:
            yield runner
        finally:
            runner.end()


def services(options: Options) -> Services | None:
    """What there is to work with, where there is a matrix."""
    if not options.matrix.is_file():
        return None
    return Services(_settings(options, matrix.load(options.matrix, options.repository)))


def selected(runner: Runner, options: Options) -> tuple[Spec, ...]:
    """The cells that the command is about."""
    return matrix.select(runner.services.matrix, options.select)


def report_folder(options: Options) -> Path:
    """Where the report is written. Raises UsageError where a link in the checkout leads elsewhere."""
    return files.folder(options.matrix.parent.resolve(), ".state", "report")


def _settings(options: Options, loaded: Matrix) -> Settings:
    return Settings(
        matrix=loaded,
        find_links=tuple(options.find_links),
        key_pem=options.key_pem,
        fresh=options.fresh,
        given=tuple(_given(options)),
    )


def _given(options: Options) -> Iterator[str]:
    """The words that name another matrix or repository: whoever repeats a command needs them too."""
    if options.matrix != Options.matrix:
        yield from ("--matrix", str(options.matrix))
    if options.repository:
        yield from ("--repository", options.repository)
