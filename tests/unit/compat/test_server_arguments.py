"""What every server of ours starts with, and how an argument is found among words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.compat.server_arguments import defaults, value_of
from tests.builders import CPU_CELL, CUDA_CELL, PYTORCH_CELL


def test_a_server_finishes_what_it_has_accepted_where_its_vllm_can() -> None:
    assert defaults(CPU_CELL, 0.9) == ("--shutdown-timeout", "20")
    assert defaults(replace(CPU_CELL, vllm="0.17.3"), 0.9) == ()
    assert defaults(PYTORCH_CELL, 0.9) == ()


def test_a_server_on_a_gpu_leaves_headroom() -> None:
    assert defaults(CUDA_CELL, 0.85)[-2:] == ("--gpu-memory-utilization", "0.85")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ((), None),
        (("--port", "1"), "1"),
        (("--port=1",), "1"),
        (("--port", "1", "--port=2"), "2"),
        (("--port",), None),
        (("--portal=1",), None),
    ],
)
def test_of_several_words_for_one_argument_the_last_counts(words: tuple[str, ...], value: str | None) -> None:
    assert value_of("--port", words) == value
