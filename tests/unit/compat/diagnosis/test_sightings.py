"""A log of any size and content costs little: no line, however made, makes the search slow or large."""

from __future__ import annotations

import io
import time
import tracemalloc
from typing import BinaryIO, cast

import pytest

from pipeline.compat import diagnosis
from pipeline.compat.diagnosis.needles import Needles
from pipeline.compat.diagnosis.sightings import BLOCK_BYTES, MAX_HITS

CAUSE = b"RuntimeError: CUDA error: no kernel image is available for execution on the device\n"
HEALTHY = b'(APIServer pid=1) INFO:     10.0.0.9:40000 - "POST /v1/chat/completions HTTP/1.1" 200 OK\n'
MEGABYTE = 1 << 20


def ids(log: bytes) -> list[str]:
    return [found.id for found in diagnosis.read(io.BytesIO(log)).diagnoses]


@pytest.mark.parametrize("offset", [*range(-90, 10, 7), -4096, -4100, -8192, 4096])
def test_a_cause_is_found_wherever_the_blocks_end(offset: int) -> None:
    """With its line's number."""
    before = HEALTHY * ((BLOCK_BYTES + offset) // len(HEALTHY))
    padding = b"." * (BLOCK_BYTES + offset - len(before) - 1) + b"\n"
    log = before + padding + CAUSE + HEALTHY * 40_000
    reading = diagnosis.read(io.BytesIO(log))
    assert [(found.id, found.line) for found in reading.diagnoses] == [
        ("no-kernel-image", before.count(b"\n") + padding.count(b"\n") + 1)
    ]
    assert reading.lines == log.count(b"\n")


def test_a_cause_is_found_in_the_middle_of_one_line_of_fifty_megabytes() -> None:
    log = b"x" * (25 * MEGABYTE) + b" " + CAUSE.strip() + b" " + b"y" * (25 * MEGABYTE)
    assert ids(log) == ["no-kernel-image"]


def test_a_cause_after_a_flood_of_other_errors_is_found() -> None:
    """Each word is looked at so often and no more, and that hides no other."""
    flood = b"".join(b"ERROR %d: request failed with an exception, killed\n" % n for n in range(4 * MAX_HITS))
    assert ids(flood + CAUSE) == ["no-kernel-image"]


def test_a_crash_loop_is_one_cause_at_its_first_line() -> None:
    reading = diagnosis.read(io.BytesIO((HEALTHY + CAUSE) * 20_000))
    assert [(found.id, found.line) for found in reading.diagnoses] == [("no-kernel-image", 2)]


HOSTILE = {
    "nothing but the start of a phrase": b"Xid (" * 2_000_000,
    "gaps that never end": b"ptxas Value 'sm_ CUDA out of memory. Tried to allocate " * 200_000,
    "quotation marks": b"'" * (10 * MEGABYTE),
    "json without an end": b'{"log":"' + b'\\"' * (5 * MEGABYTE),
    "nested json": b'{"log":' * 1_500_000,
    "colours": b"\x1b[" * (5 * MEGABYTE),
    "digits": b"2026-01-01T00:00:00." + b"1" * (10 * MEGABYTE),
    "open brackets": b"[pod/" * 2_000_000,
    "lines that differ": b"".join(
        b"ERROR %d CUDA error: cannot open %d\n" % (n, n * 7) for n in range(250_000)
    ),
    "zeros": b"\0" * (10 * MEGABYTE),
    "line breaks": b"\n" * (10 * MEGABYTE),
}


@pytest.mark.parametrize("log", HOSTILE.values(), ids=HOSTILE)
def test_no_log_is_slow(log: bytes) -> None:
    """Ten megabytes within the share that they have of 5 s for 100 MB, ten times over for a busy machine."""
    started = time.process_time()
    diagnosis.read(io.BytesIO(log))
    assert time.process_time() - started < 5


def test_a_hundred_megabytes_take_less_than_five_seconds_and_little_memory() -> None:
    """Of the processor's time. The stream makes its bytes as they are read."""
    started = time.process_time()
    reading = diagnosis.read(cast("BinaryIO", Repeated(HEALTHY, 100 * MEGABYTE, CAUSE)))
    assert time.process_time() - started < 5
    assert [found.id for found in reading.diagnoses] == ["no-kernel-image"]
    tracemalloc.start()
    diagnosis.read(cast("BinaryIO", Repeated(HEALTHY, 20 * MEGABYTE, CAUSE)))
    assert tracemalloc.get_traced_memory()[1] < 64 * MEGABYTE
    tracemalloc.stop()


class Repeated:
    """A log of this line again and again, with another at its end."""

    def __init__(self, line: bytes, size: int, end: bytes) -> None:
        self._block, self._left, self._end = line * (MEGABYTE // len(line)), size, end

    def read(self, size: int = -1) -> bytes:
        assert size == BLOCK_BYTES
        if self._left > 0:
            self._left -= len(self._block)
            return self._block
        end, self._end = self._end, b""
        return end


def test_needles_are_found_where_python_finds_them() -> None:
    words = [b"cannot open", b"open", b"cuda error", b"error: no", b"libcuda.so.1"]
    text = b"xx cuda error: no way, cannot open libcuda.so.1 open"
    expected = sorted((at, word) for word in words for at in range(len(text)) if text.startswith(word, at))
    assert sorted(Needles(words).find(text, 0, len(text))) == expected
    needles = Needles(words)
    needles.drop(b"open")
    assert (30, b"open") not in set(needles.find(text, 0, len(text)))
    assert [word for _, word in needles.find(text, 5, 24)] == [b"error: no", b"cannot open"]


def test_a_word_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="too short"):
        Needles([b"xid"])
