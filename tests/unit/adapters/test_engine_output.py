"""What a program wrote, in the frames in which an engine sends it."""

from __future__ import annotations

import struct

import pytest

from pipeline.adapters.engine.output import outputs_of


def frame(stream: int, text: bytes) -> bytes:
    return struct.pack(">BxxxL", stream, len(text)) + text


def test_the_two_streams_of_a_program_are_told_apart_and_put_together() -> None:
    body = frame(1, b"one ") + frame(2, b"oh") + frame(1, b"two") + frame(1, b"")
    assert outputs_of(body) == ("one two", "oh")


def test_a_program_that_wrote_nothing_has_written_nothing() -> None:
    assert outputs_of(b"") == ("", "")


@pytest.mark.parametrize("body", [b"\x01\x00\x00", frame(1, b"cut")[:-1]], ids=["header", "frame"])
def test_an_output_that_breaks_off_is_no_output(body: bytes) -> None:
    with pytest.raises(ValueError, match="ends amid"):
        outputs_of(body)
