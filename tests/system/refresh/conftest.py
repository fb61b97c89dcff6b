"""An index with one honest release of everything, and a user who refreshes from it."""

from __future__ import annotations

import threading
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.web import retries
from pipeline.adapters.web.retries import RetryPolicy
from tests.system.refresh.shelf import (
    CPU,
    CRT,
    EXTENSION,
    HEADER,
    NVCC,
    SDIST,
    TORCH,
    VLLM,
    Handler,
    Refresh,
    Shelf,
    a_library,
    sdist,
    torch,
    vllm,
    wheel,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try again at once."""
    monkeypatch.setattr(retries, "DOWNLOADS", RetryPolicy(seconds=60, attempts=4, first_pause=0))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """An index with one honest release of everything, which is the user's own index while the test lasts."""
    found = Shelf(files={TORCH: torch(), VLLM: vllm(), SDIST: sdist()})
    found.files[CPU] = wheel(CPU, {EXTENSION: a_library()}, "torch==2.13.0+cpu")
    found.files[NVCC] = wheel(NVCC, {"nvidia/cuda_nvcc/include/crt/host_config.h": HEADER})
    found.files[CRT] = wheel(CRT, {"nvidia/cu13/include/crt/host_config.h": HEADER})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"shelf": found}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    found.url = f"http://127.0.0.1:{server.server_port}/simple"
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", found.url)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield found
    server.shutdown()
    server.server_close()


@pytest.fixture
def refresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refresh:
    """Runs the command."""
    return Refresh(tmp_path, capsys)
