"""The text of the driver's double: what it defines, what it answers, and what it does not let in."""

from __future__ import annotations

import re

import pytest

from pipeline.model.certificates import MAX_DRIVER_SYMBOLS
from pipeline.suite.driver_double import MAX_TEXT_BYTES, Answers, source


def defined(text: str) -> list[str]:
    """The functions that a text defines."""
    return re.findall(r"^[a-z].*?(\w+)\([^)]*\) \{", text, flags=re.MULTILINE)


def test_every_symbol_that_is_asked_is_defined_once() -> None:
    """Also those that the double answers itself."""
    asked = ["cuMemCreate", "cuInit", "nvmlDeviceGetUUID", "cuMemCreate"]
    functions = defined(source(asked, Answers()))
    assert len(functions) == len(set(functions))
    assert {*asked, "cuDriverGetVersion", "cuGetProcAddress_v2", "nvmlInit_v2"} <= set(functions)


def test_it_says_what_it_is_told_to() -> None:
    text = source((), Answers(init=803, version=12040, devices=2, nvml=9, driver="550.54.14"))
    assert "INIT = 803, VERSION = 12040, DEVICES = 2, NVML = 9" in text
    assert '"550.54.14"' in text


def test_the_order_of_the_symbols_changes_nothing() -> None:
    assert source(["cuB", "cuA"], Answers()) == source(["cuA", "cuB"], Answers())


@pytest.mark.parametrize("symbol", ["system", "cuInit(void) { }", "cudaMalloc", "cuA\nint b", "cu", ""])
def test_a_symbol_that_the_driver_cannot_have_is_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match="is no symbol of the driver's libraries"):
        source([symbol], Answers())


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="is no version of a driver"):
        source((), Answers(driver='1"; exit(0); "'))


def test_all_that_a_certificate_may_ask_fits_into_one_argument() -> None:
    asked = [f"cuFunctionWithAVeryLongName{number}" for number in range(MAX_DRIVER_SYMBOLS)]
    assert len(source(asked, Answers())) < MAX_TEXT_BYTES
