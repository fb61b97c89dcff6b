"""The private key, and every other secret of whoever calls us, as the programs see it that we start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.adapters.environ import LEASES
from pipeline.formats import dsse
from pipeline.model.errors import REFUSED, USAGE

if TYPE_CHECKING:
    from pathlib import Path

KEY = generate_private_key(SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
SECRETS = {
    "TAGPROOF_KEY": PEM,
    "GITHUB_TOKEN": "ghs_precious",
    "AWS_SECRET_ACCESS_KEY": "aws_precious",
    "HF_TOKEN": "hf_precious",
    "NVIDIA_API_KEY": "nvapi-precious",
    "DB_PASSWORD": "db_precious",
    "https_proxy": "http://user:proxy_precious@127.0.0.1:9",
}
MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: [none]
base: {suite: bookworm, refresh: "2026-11-20"}
publish: {repository: "127.0.0.1:%d/secrets/test"}
verify: {healthy_seconds: 20}
"""
SPY = """\
import json, os, pathlib

def of(pid):
    place = pathlib.Path("/proc") / str(pid)
    parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
    try:
        around = (place / "environ").read_bytes().decode("latin-1")
    except OSError:
        around = ""
    return parent, around + (place / "cmdline").read_bytes().decode("latin-1")

def text_of(fd):
    path = pathlib.Path("/proc/self/fd") / fd
    return path.read_bytes()[:100000].decode("latin-1") if path.is_file() else ""

ancestors, pid = [], os.getppid()
while pid > 1:
    pid, seen = of(pid)
    ancestors.append(seen)
files = [text_of(fd) for fd in os.listdir("/proc/self/fd")]
seen = {"own": dict(os.environ), "ancestors": ancestors, "files": files}
with open(%r, "a") as told:
    told.write(json.dumps(seen) + chr(10))
"""


@pytest.fixture
def checkout(tmp_path: Path, unused_port: int) -> Path:
    """A checkout of one cell, with nothing locked."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "matrix.yaml").write_text(MATRIX % unused_port)
    (tmp_path / "tmp").mkdir()
    return folder


def typed(checkout: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """``python -m pipeline WORDS`` in the checkout, by a user with a home of his own."""
    home = checkout.parent
    own = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")}
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH", "")]))
    around = {"PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(home / "tmp"), "PYTHONPATH": path}
    around |= {
        name: os.environ[name] for name in LEASES if name in os.environ
    }  # or it waits for others' proofs
    command = [sys.executable, "-m", "pipeline", *words]
    return subprocess.run(
        command, cwd=checkout, env={**around, **own, **more}, capture_output=True, text=True, check=False
    )


def spy(folder: Path) -> tuple[Path, Path]:
    """An environment whose Python writes down what it sees as it starts, and the file for that."""
    told, place = folder / "told.jsonl", folder / "spy"
    venv.create(place)
    (packages,) = place.glob("lib/python*/site-packages")
    (packages / "spy.py").write_text(SPY % str(told))
    (packages / "spy.pth").write_text("import spy\n")
    info = packages / "torch-2.13.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0+cpu\n")
    return place / "bin" / "python", told


def test_an_environment_under_test_finds_no_secret_of_ours(checkout: Path) -> None:
    """Neither in its variables, nor in those of the processes above it, nor in an open file."""
    python, told = spy(checkout.parent)
    done = typed(checkout, "verify", "--python", str(python), **SECRETS)
    assert done.returncode == REFUSED, done.stderr
    seen = [json.loads(line) for line in told.read_text().splitlines()]
    assert len(seen) > 2  # the probe of packages, and what the suite asked
    for text in (*map(json.dumps, seen), done.stdout, done.stderr):
        assert "PRIVATE KEY" not in text
        assert PEM.splitlines()[1] not in text
    for one in seen:
        assert_no_secret(one["own"])


def assert_no_secret(around: dict[str, Any]) -> None:
    """No value that is told to nobody is in these variables."""
    assert [name for name, value in around.items() if "precious" in value or value == PEM] == []


def test_the_suites_process_has_no_secret_for_an_environment_to_read(checkout: Path) -> None:
    """It runs as the same user: whatever the suite was started with can be read from below."""
    python, told = spy(checkout.parent)
    typed(checkout, "verify", "--python", str(python), **SECRETS)
    suites = [
        ancestor
        for line in told.read_text().splitlines()
        for ancestor in json.loads(line)["ancestors"]
        if "--results" in ancestor
    ]
    assert suites
    assert [text for text in suites if "precious" in text] == []


def test_the_key_is_in_no_file_and_signs_all_the_same(checkout: Path) -> None:
    """The record of the environment carries a signature by the key that was given."""
    python, _ = spy(checkout.parent)
    typed(checkout, "verify", "--python", str(python), **SECRETS)
    files = [path for path in checkout.parent.rglob("*") if path.is_file()]
    assert [path for path in files if b"PRIVATE KEY" in path.read_bytes()] == []
    (record,) = (checkout / ".state" / "bare-metal").iterdir()
    assert dsse.fingerprint(KEY.public_key()) in record.read_text()


def test_a_name_of_a_version_leads_to_no_other_folder(checkout: Path) -> None:
    """An environment names its versions; they become a part of the names of files."""
    python, _ = spy(checkout.parent)
    (info,) = (checkout.parent / "spy").glob("lib/python*/site-packages/torch-2.13.0.dist-info")
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0/../../../../outside\n"
    )
    done = typed(checkout, "verify", "--python", str(python))
    assert done.returncode == USAGE, done.stderr
    assert list(checkout.parent.rglob("*outside*")) == []
