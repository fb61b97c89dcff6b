"""A warm start is one that loads what was compiled, and not one that only writes the same files again."""

from __future__ import annotations

import pytest

from pipeline.suite.checks.check_hardened import expect_loaded
from pipeline.suite.expect import Mismatch

# What vLLM 0.32.0 wrote on a CPU at each start after the first one.
NOT_LOADED = """
(Worker pid=569) WARNING 11-27 14:10:11 [decorators.py:333] [backbone] Compiling model again due to a load \
failure from /home/app/.cache/vllm/model, reason: 'function' object has no attribute 'finalize_loading'
(Worker pid=569) INFO 11-27 14:10:17 [decorators.py:743] [backbone] saved AOT compiled function
"""


def test_a_server_that_compiles_again_what_it_has_saved_is_found() -> None:
    with pytest.raises(Mismatch, match="Compiling model again due to a load failure"):
        expect_loaded(NOT_LOADED)


def test_a_server_that_loads_what_was_saved_is_not() -> None:
    expect_loaded(NOT_LOADED.replace("Compiling model again", "Loading"))
