"""Healthy environments, as people install them, are not refused, and every warning is explained.

Each is unpacked from wheels onto the libraries of a slim image: ``nox -s healthy`` (400 MB from an index).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from uv import find_uv_bin

from pipeline import matrix
from pipeline.adapters import paths, wheel_cache
from pipeline.stages import fetch, lock

pytestmark = pytest.mark.needs("index")

PROJECT = Path(__file__).parents[2]
MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
SITE = f"usr/local/lib/python{MINOR}/site-packages"
LIBRARIES = "/usr/lib/x86_64-linux-gnu"
SLIM = (
    *("ld-linux-x86-64.so.2", "libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1"),
    *("libutil.so.1", "libresolv.so.2", "libgcc_s.so.1", "libstdc++.so.6", "libz.so.1", "libcrypt.so.1"),
    *("libbz2.so.1.0", "liblzma.so.5", "libffi.so.8", "libssl.so.3", "libcrypto.so.3", "libexpat.so.1"),
    *("libtinfo.so.6", "libuuid.so.1", "libgomp.so.1"),
)
"""What a slim image of Debian has, and no more: nothing for windows, databases or terminals."""


class Silent:
    """A progress bar that nobody watches."""

    def advance(self, amount: int) -> None:
        """Say nothing."""


ROOTS: dict[str, tuple[str, ...]] = {
    "numbers": ("numpy", "scipy", "pandas", "pyarrow"),
    "pictures": ("opencv-python-headless", "pillow", "numpy"),
    "transformers": ("transformers", "tokenizers", "safetensors", "sentencepiece"),
    "onnxruntime": ("onnxruntime",),
    "jax": ("jax[cpu]",),
    "pytorch": ("transformers", "numpy"),
}
WITH_PYTORCH = frozenset({"pytorch"})
"""The roots that have the PyTorch of this cell too, without CUDA."""

CELL = "torch2.13.0-cpu-py3.11"
EXPLAINED: dict[str, tuple[str, ...]] = {
    "pytorch": (
        "no compiler for C++ is on PATH",
        "Python.h of Python",
    ),
}
"""Words of the warnings that a healthy root may have: ``torch.compile`` needs a compiler and headers, which a
slim image has not."""


def of_python(root: Path) -> None:
    """Copy the Python that runs and its modules into a slim image, as ``COPY --from=python`` does."""
    home = Path(sys.base_prefix)
    (root / "usr/local/bin").mkdir(parents=True)
    (root / f"usr/local/lib/python{MINOR}").mkdir(parents=True)
    shutil.copy(Path(sys.executable).resolve(), root / f"usr/local/bin/python{MINOR}")
    (root / "usr/local/bin/python").symlink_to(f"python{MINOR}")
    modules = f"lib/python{MINOR}/lib-dynload"
    shutil.copytree(home / modules, root / "usr/local" / modules)
    for library in home.glob("lib/libpython*.so*"):
        shutil.copy(library, root / "usr/local/lib", follow_symlinks=False)


def of_slim_image(root: Path) -> None:
    """The libraries of a slim image, from this machine."""
    (root / f".{LIBRARIES}").mkdir(parents=True)
    for name in SLIM:
        if (library := Path(LIBRARIES) / name).exists():
            shutil.copy(library, root / f".{LIBRARIES}" / name)
    (root / "lib").symlink_to("usr/lib")
    (root / "etc").mkdir()
    (root / "etc/debian_version").write_text("12.12\n")
    (root / "etc/ld.so.conf").write_text("/usr/local/lib\n")


def certified(root: Path) -> dict[str, list[str]]:
    """What the command says of a root: texts of its findings by severity."""
    command = [sys.executable, "-m", "pipeline", "certify", "--root", str(root), "--json"]
    run = subprocess.run(command, check=False, capture_output=True, text=True)
    assert run.returncode in {0, 1}, run.stderr
    texts: dict[str, list[str]] = {"error": [], "warning": [], "note": []}
    for finding in json.loads(run.stdout)["findings"]:
        texts[finding["severity"]].append(f"{finding['rule']}: {finding['what']} ({finding['path']})")
    return texts


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("slim")
    of_slim_image(root)
    of_python(root)
    return root


def test_a_python_that_was_copied_into_a_slim_image_is_no_error(slim: Path) -> None:
    """Modules for windows, databases and terminals lack their libraries, and nothing imports them."""
    told = certified(slim)
    assert told["error"] == []
    assert all("lib-dynload" in text for text in told["warning"]), told["warning"]


@pytest.mark.parametrize("name", ROOTS)
def test_a_healthy_environment_has_no_error_and_no_warning_without_an_explanation(
    name: str, slim: Path, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    shutil.copytree(slim, root, symlinks=True)
    ours = certified(slim)
    wanted = (*ROOTS[name], *(_pytorch() if name in WITH_PYTORCH else ()))
    target = ["--target", str(root / SITE), "--python-version", MINOR]
    subprocess.run([find_uv_bin(), "pip", "install", "--quiet", *target, *wanted], check=True)
    told = certified(root)
    assert told["error"] == []
    known = EXPLAINED.get(name, ())
    new = [text for text in told["warning"] if text not in ours["warning"]]
    assert [text for text in new if not any(words in text for words in known)] == []


def _pytorch() -> list[str]:
    """The wheels of the cell with PyTorch alone, from the cache or where its lock's hashes are found."""
    (spec,) = matrix.select(matrix.load(PROJECT / "matrix.yaml"), [CELL])
    locked = lock.read(spec, PROJECT / "locks")
    assert locked
    cache = paths.wheels()
    fetch.fetch(spec, locked.pins, cache, lock.folders_of(()), lambda _: nullcontext(Silent()))
    return [str(wheel_cache.path_of(pin, cache)) for pin in locked.pins]
