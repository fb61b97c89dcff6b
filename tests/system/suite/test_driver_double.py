"""The driver's double, compiled and called: it answers as its text says, and fails in one line."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.suite import probes
from pipeline.suite.driver_double import CUDA, LIBRARIES, NVML, Answers, source

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("compiler")


def answer(text: str, path: str = os.environ["PATH"]) -> Any:
    """What the probe that compiles answers."""
    command = [sys.executable, "-c", probes.source("compiled"), text, *LIBRARIES]
    done = subprocess.run(command, env={"PATH": path}, capture_output=True, text=True, check=True)
    return probes.result(done.stdout)


def compiled(folder: Path, *symbols: str, **answers: Any) -> Path:
    """A folder with the double's libraries."""
    for name, body in answer(source(symbols, Answers(**answers)))["made"].items():
        (folder / name).write_bytes(base64.b64decode(body))
    return folder


def said(folder: Path, code: str) -> str:
    """What a Python prints that has both libraries open, as ``cuda`` and ``nvml``."""
    opened = f"from ctypes import *\ncuda, nvml = CDLL({CUDA!r}), CDLL({NVML!r})\n"
    command = [sys.executable, "-c", opened + code]
    env = {"LD_LIBRARY_PATH": str(folder)}
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


def test_both_libraries_answer(tmp_path: Path) -> None:
    folder = compiled(tmp_path, init=803, version=12040, devices=3, nvml=0, driver="550.54.14")
    code = """
version, count, text = c_int(), c_int(), create_string_buffer(80)
cuda.cuDriverGetVersion(byref(version)), nvml.nvmlDeviceGetCount_v2(byref(count))
nvml.nvmlSystemGetDriverVersion(text, 80)
print(cuda.cuInit(0), version.value, nvml.nvmlInit_v2(), count.value, text.value.decode())
"""
    assert said(folder, code) == "803 12040 0 3 550.54.14"


@pytest.mark.parametrize(("init", "refusal"), [(0, 100), (100, 100), (999, 999)])
def test_what_it_does_not_know_refuses_with_its_own_fault_or_for_want_of_a_device(
    tmp_path: Path, init: int, refusal: int
) -> None:
    folder = compiled(tmp_path, "cuMemCreate", "nvmlDeviceGetTemperature", init=init, nvml=9)
    assert said(folder, "print(cuda.cuMemCreate(), nvml.nvmlDeviceGetTemperature())") == f"{refusal} 9"


def test_it_hands_out_its_own_functions_by_name_and_no_others(tmp_path: Path) -> None:
    """As the CUDA runtime asks for them, with the version that it was built for."""
    folder = compiled(tmp_path, init=802)
    code = """
for name, version in ((b"cuInit", 2000), (b"cuGetProcAddress", 12000), (b"cuNone", 12000), (b"", 0)):
    function, found = c_void_p(), c_int(-1)
    code = cuda.cuGetProcAddress_v2(name, byref(function), version, c_ulonglong(0), byref(found))
    print(code, found.value, bool(function.value), end="; ")
function = c_void_p()
cuda.cuGetProcAddress(b"cuInit", byref(function), 11030, c_ulonglong(0))
print(CFUNCTYPE(c_int, c_uint)(function.value)(0))
"""
    assert said(folder, code) == "0 0 True; 0 0 True; 500 1 False; 500 1 False; 802"


def test_its_sonames_are_those_of_the_driver(tmp_path: Path) -> None:
    """So an extension that links libcuda.so.1 finds it loaded, whatever its file is called."""
    folder = compiled(tmp_path)
    (folder / NVML).rename(folder / "renamed.so")
    code = f"import ctypes; ctypes.CDLL({str(folder / 'renamed.so')!r}); ctypes.CDLL({NVML!r})"
    subprocess.run([sys.executable, "-c", code], env={}, check=True)


def test_without_a_compiler_there_is_one_reason() -> None:
    assert answer("int a;", path="/nowhere") == {"error": "there is no C compiler on PATH (cc, gcc, clang)"}


def test_a_compiler_that_fails_is_named_with_its_words() -> None:
    error = answer("int a")["error"]
    assert "cc fails: " in error
    assert "expected" in error


def test_a_compiler_that_cannot_be_run_is_no_crash(tmp_path: Path) -> None:
    (tmp_path / "cc").write_text("no program\n")
    (tmp_path / "cc").chmod(0o755)
    assert "Exec format error" in answer("int a;", path=str(tmp_path))["error"]
