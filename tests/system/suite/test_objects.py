"""The probe of all extensions: what takes its symbols from PyTorch loads, what nobody has does not."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from typing import TYPE_CHECKING

import pytest

from pipeline.suite import probes

if TYPE_CHECKING:
    from pathlib import Path

LOADS = """
import ctypes, pathlib
ctypes.CDLL(str(pathlib.Path(__file__).parent / "lib" / "libtorch_cpu.so"))
"""
EXTENSION = "int %s(void); void *PyInit_bridge(void) { return %s() ? (void *)%s : 0; }"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder of packages with a torch whose library has one symbol."""
    packages = tmp_path / "site-packages"
    (packages / "torch" / "lib").mkdir(parents=True)
    (packages / "torch" / "__init__.py").write_text(LOADS)
    compile_to(packages / "torch" / "lib" / "libtorch_cpu.so", "int torch_has_it(void) { return 0; }")
    return packages


@pytest.mark.needs("compiler")
@pytest.mark.parametrize(
    ("symbol", "error"), [("torch_has_it", ""), ("torch_had_it", "undefined symbol: torch_had_it")]
)
def test_an_extension_may_take_from_the_process_what_pytorch_has_and_nothing_else(
    symbol: str, error: str, site: Path
) -> None:
    """It names no library, as cuda.core's bridge to PyTorch's tensors does not."""
    extension = site / f"bridge{sysconfig.get_config_var('EXT_SUFFIX')}"
    compile_to(extension, EXTENSION % (symbol, symbol, symbol))
    done = subprocess.run(
        [sys.executable, "-c", probes.source("objects"), "torch"],
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=True,
    )
    found = probes.result(done.stdout)
    assert error in found["failed"].get(str(extension), "")
    assert (str(extension) in found["failed"]) == bool(error)


def compile_to(file: Path, text: str) -> None:
    """A shared object of this C."""
    subprocess.run(["gcc", "-shared", "-fPIC", "-xc", "-", "-o", file], input=text, text=True, check=True)
