"""The registry of this machine: whoever writes starts the one that is named, whoever reads starts none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pipeline.adapters import local_registry, signing_keys
from pipeline.adapters.registry import Registry
from pipeline.formats import dsse
from pipeline.model import Repository
from pipeline.model.errors import GOOD, MACHINE, REFUSED, USAGE, RegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Proxy

pytestmark = pytest.mark.needs("registry")

ROOT = Path(__file__).resolve().parents[3]
CELL = "torch2.13.0-cpu-py3.11"
DIGEST = f"sha256:{'0' * 64}"
KEY = generate_private_key(SECP256R1())
PEM = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@dataclass
class User:
    """Somebody with a fresh clone, a home of his own, and a port on which no registry ever was."""

    home: Path
    port: int

    @property
    def repository(self) -> Repository:
        return Repository(f"127.0.0.1:{self.port}", "local/test")

    @property
    def registries(self) -> Path:
        return self.home / "data" / "tagproof" / "registry"

    @property
    def data(self) -> Path:
        return self.registries / str(self.port)

    @property
    def checkout(self) -> Path:
        return self.home / "checkout"

    def types(self, *words: str, port: int | None = None, **more: str) -> subprocess.CompletedProcess[str]:
        """``python -m pipeline WORDS`` in the checkout."""
        own = {f"XDG_{name}_HOME": str(self.home / name.lower()) for name in ("CONFIG", "DATA", "CACHE")}
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        around = {**kept, **own, "HOME": str(self.home), "DOCKER_HOST": "unix:///nowhere", **more}
        command = [sys.executable, "-m", "pipeline", *words]
        if "--repository" not in words:
            command += ["--repository", f"127.0.0.1:{port or self.port}/local/test"]
        return subprocess.run(
            command, cwd=self.checkout, env=around, capture_output=True, text=True, check=False, timeout=120
        )

    def starts_a_registry(self) -> None:
        assert local_registry.ensure(self.repository, self.data, self.data / "registry.log")

    def has_signers(self, *files: str) -> None:
        """The matrix names whose records count."""
        with (self.checkout / "matrix.yaml").open("a") as matrix:
            matrix.write(f"verify: {{signers: {json.dumps(files)}}}\n")

    def nothing_was_started(self) -> bool:
        return not self.registries.exists()


@pytest.fixture
def user(tmp_path: Path, unused_port: int) -> Iterator[User]:
    """A user; what he started is ended afterwards."""
    user = User(tmp_path, unused_port)
    user.checkout.mkdir()
    for name in ("matrix.yaml", "locks"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, user.checkout / name)
    yield user
    for data in user.registries.glob("*"):
        local_registry.stop(data)


READS = {
    "plan": ["plan", CELL],
    "report": ["report", CELL],
    "gate": ["gate", "HOST/local/test@" + DIGEST],
    "explain": ["explain", "HOST/local/test@" + DIGEST],
    "certify": ["certify", "HOST/local/test@" + DIGEST],
}


def reading(user: User, command: str) -> list[str]:
    return [word.replace("HOST", user.repository.host) for word in READS[command]]


def test_a_plan_of_a_fresh_clone_knows_that_nothing_is_built_and_starts_nothing(user: User) -> None:
    """At once, without the patience that a registry is given, and without the program."""
    started = time.monotonic()
    done = user.types("plan", "--json", PATH="/nowhere")
    assert done.returncode == GOOD, done.stderr
    assert time.monotonic() - started < 8
    states = {row["cell"]["id"]: row["state"] for row in json.loads(done.stdout)["cells"]}
    assert states[CELL] == "unbuilt"
    assert user.nothing_was_started()
    assert not (user.home / "config").exists()


@pytest.mark.parametrize("command", READS)
def test_whoever_reads_starts_no_registry_and_makes_no_key(user: User, command: str) -> None:
    user.types(*reading(user, command))
    assert user.nothing_was_started()
    assert not (user.home / "config").exists()


@pytest.mark.parametrize("command", ["plan", "report", "gate"])
def test_where_a_registry_is_down_reading_says_what_starts_it(user: User, command: str) -> None:
    """What it holds is unknown, not absent."""
    user.starts_a_registry()
    Registry(user.repository).put_blob(b"kept")
    assert local_registry.stop(user.data)
    done = user.types(*reading(user, command))
    assert done.returncode == MACHINE, done.stdout
    assert f"the registry at {user.repository.host} is down" in done.stderr
    assert "publish` starts it" in done.stderr
    assert not local_registry.stop(user.data), "it was started"


def test_a_registry_that_was_never_written_to_holds_nothing(user: User) -> None:
    """Its folder alone does not make it one that is down."""
    user.starts_a_registry()
    assert local_registry.stop(user.data)
    assert user.types("plan", CELL).returncode == GOOD


@pytest.mark.parametrize("command", ["plan", "publish", "verify", "build"])
def test_a_command_touches_no_registry_but_the_one_that_it_names(
    user: User, command: str, tmp_path: Path
) -> None:
    """The one in service on another port stays, with what it holds."""
    assert tmp_path
    user.starts_a_registry()
    blob = Registry(user.repository).put_blob(b"kept")
    pid = local_registry._running(user.data)
    other = free_port()
    user.types(command, CELL, port=other, UV_DEFAULT_INDEX="http://127.0.0.1:9/simple")
    assert local_registry._running(user.data) == pid
    assert Registry(user.repository).has_blob(blob.digest)
    assert (user.registries / str(other)).exists() is (command != "plan")


def free_port() -> int:
    from tests.system.conftest import free_port  # noqa: PLC0415 - the fixture of this name is a value

    return free_port()


def test_publish_starts_the_registry_and_does_not_pretend(user: User) -> None:
    """There is nothing in it, and so nothing to publish."""
    done = user.types("publish", CELL)
    assert done.returncode == REFUSED, done.stderr
    assert "unbuilt" in done.stdout
    assert local_registry._running(user.data)
    assert Registry(user.repository).tags() == ()


def test_the_registry_that_outlives_us_knows_no_secret(user: User) -> None:
    """Whoever can look at it later finds neither the key nor a token."""
    secrets = {"TAGPROOF_KEY": PEM, "GITHUB_TOKEN": "precious", "REGISTRY_LOG_LEVEL": "debug"}
    user.types("publish", CELL, port=user.port, **secrets)
    around = Path(f"/proc/{local_registry._running(user.data)}/environ").read_bytes()
    assert [word for word in (b"PRIVATE KEY", b"precious", b"REGISTRY_") if word in around] == []


def test_each_address_has_a_folder_of_its_own() -> None:
    """Two registries on one folder would not see each other's blobs."""
    hosts = ("127.0.0.1:5000", "localhost:5000", "[::1]:5000", "127.0.0.1:5001", "localhost")
    homes = [local_registry.home(Repository(host, "x"), Path("/r")) for host in hosts]
    assert [str(home) for home in homes] == ["/r/5000", "/r/5000", "/r/5000-ipv6", "/r/5001", "/r/80"]


def test_a_registry_that_does_not_listen_where_it_should_is_left_to_its_owner(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is named, and never ended to make room for another."""
    monkeypatch.setattr(local_registry, "START_SECONDS", 0.3)
    user.starts_a_registry()
    pid = local_registry._running(user.data)
    other = Repository(f"127.0.0.1:{free_port()}", "x")
    with pytest.raises(RegistryError, match=rf"process {pid}\) does not listen"):
        local_registry.ensure(other, user.data, user.data / "registry.log")
    assert local_registry._running(user.data) == pid


@pytest.mark.parametrize("port", ["0", "70000", "00005000", "9" * 5000, "²"])
def test_what_is_no_port_starts_no_registry(user: User, port: str) -> None:
    with pytest.raises(RegistryError, match="names no port"):
        local_registry.ensure(Repository(f"127.0.0.1:{port}", "x"), user.data, user.data / "registry.log")
    done = user.types("publish", "--repository", f"127.0.0.1:{port}/x")
    assert done.returncode == USAGE, done.stderr
    assert "Traceback" not in done.stderr
    assert user.nothing_was_started()


def test_what_listens_and_is_no_registry_is_not_read_as_an_empty_one(user: User, proxy: Proxy) -> None:
    """A web server answers 404 to everything: that says nothing of our images."""
    proxy.before = lambda _method, _path: (404, {}, b"")
    done = user.types("plan", CELL, port=int(proxy.host.rpartition(":")[2]))
    assert done.returncode == MACHINE
    assert "is no registry" in done.stderr


# -- keys, before any work ---------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["build", "verify", "publish"])
@pytest.mark.parametrize("text", ["", " \n\n", "no key", PEM[:80]])
def test_a_key_that_is_given_and_of_no_use_stops_everything(user: User, command: str, text: str) -> None:
    """A missing secret must not lead to a throw-away key that is trusted in the same job."""
    done = user.types(command, TAGPROOF_KEY=text)
    assert done.returncode == USAGE, done.stdout
    assert "TAGPROOF_KEY" in done.stderr
    assert "hint:" in done.stderr
    assert not (user.home / "config").exists()
    assert user.nothing_was_started()


@pytest.mark.parametrize("command", ["build", "verify"])
def test_a_key_that_counts_for_nothing_stops_the_work_before_it_begins(user: User, command: str) -> None:
    """Both are named: the key that would sign, and those that count."""
    other = generate_private_key(SECP256R1()).public_key()
    (user.checkout / "other.pub").write_bytes(signing_keys.public_pem(other))
    user.has_signers("other.pub")
    done = user.types(command, CELL, TAGPROOF_KEY=PEM)
    assert done.returncode == MACHINE, done.stdout
    assert dsse.fingerprint(KEY.public_key()) in done.stderr
    assert dsse.fingerprint(other) in done.stderr
    assert "the container engine" not in done.stderr  # which is down: it was not asked yet


@pytest.mark.parametrize("command", ["build", "verify"])
def test_no_key_is_made_where_only_those_of_others_count(user: User, command: str) -> None:
    (user.checkout / "other.pub").write_bytes(signing_keys.public_pem(KEY.public_key()))
    user.has_signers("other.pub")
    done = user.types(command, CELL)
    assert done.returncode == MACHINE, done.stdout
    assert "this machine has no key" in done.stderr
    assert not (user.home / "config").exists()


@pytest.mark.parametrize("command", ["build", "verify"])
@pytest.mark.parametrize("kind", ["absent", "folder", "pipe", "garbage"])
def test_a_signers_file_that_is_broken_stops_the_work_before_it_begins(
    user: User, command: str, kind: str
) -> None:
    file = user.checkout / "other.pub"
    if kind == "folder":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "garbage":
        file.write_bytes(b"-----BEGIN PUBLIC KEY-----\n\xff\n-----END PUBLIC KEY-----\n")
    user.has_signers("other.pub")
    done = user.types(command, CELL, TAGPROOF_KEY=PEM)
    assert done.returncode in {USAGE, MACHINE}, done.stdout
    assert "other.pub" in done.stderr
    assert "the container engine" not in done.stderr  # which is down: it was not asked yet
