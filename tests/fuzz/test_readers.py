"""Whatever comes from outside, there is a value or an error of ours; and no reader is left out of that."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from pipeline.model.errors import TagproofError
from tests.fuzz import hostile
from tests.fuzz.parsing import parsing, watched
from tests.fuzz.readers import EXCUSED, READERS

if TYPE_CHECKING:
    from tests.fuzz.reader import Reader

EXAMPLES = max(1, settings().max_examples // 3)
"""Of each reader: there are many of them, and each example of some is a whole image or request."""

ROOT = Path(__file__).parents[2]
every_reader = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)


def feed(reader: Reader, data: bytes, place: Path) -> None:
    """Fails where anything is raised that is no error of ours, nor one that the reader documents."""
    with suppress(TagproofError, *reader.refuses):
        reader.feed(data, place)


@every_reader
def test_a_sample_is_read(reader: Reader, tmp_path: Path) -> None:
    """So that what is made of samples comes as far into the reader as it can."""
    for sample in reader.samples:
        reader.feed(sample, tmp_path)


@every_reader
def test_what_attackers_send_first_is_a_value_or_an_error_of_ours(reader: Reader, tmp_path: Path) -> None:
    for data in hostile.WHOLE:
        feed(reader, data, tmp_path)


@every_reader
def test_whatever_comes_is_a_value_or_an_error_of_ours(reader: Reader, tmp_path: Path) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=timedelta(seconds=5),
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(hostile.of((*reader.samples, *reader.odd)))
    def search(data: bytes) -> None:
        feed(reader, data, tmp_path)

    search()


def test_every_function_that_parses_is_reached_by_a_reader_or_excused(tmp_path: Path) -> None:
    """In a process where none of them has run before: what is remembered is not read again."""
    program = f"from tests.fuzz.test_readers import reached; print(*reached({str(tmp_path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    )
    assert parsing() - set(done.stdout.split()) - EXCUSED.keys() == set()


def reached(folder: str) -> set[str]:
    """The functions of the pipeline that some sample brings to run."""
    with watched() as ran:
        for number, reader in enumerate(READERS):
            place = Path(folder, str(number))
            place.mkdir()
            for data in (*reader.samples, *reader.odd):
                feed(reader, data, place)
    return ran


def test_no_excuse_has_outlived_its_function() -> None:
    assert EXCUSED.keys() - parsing() == set()
