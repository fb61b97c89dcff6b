"""Trouble, as a user of ``python -m pipeline`` meets it: said clearly, and nothing is left behind.

The images are tiny: a program of a few instructions, which waits for ever or ends at once, stands in
for a shell, a Python and a server. So an image is built, or a container runs, for as long as a test
needs it to. Engine, BuildKit, registry, index and signals are real.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from pipeline import matrix
from pipeline.adapters import local_registry, wheel_cache
from pipeline.adapters.registry import OCI_MANIFEST, Manifest, Registry
from pipeline.model import ImageRef, Lock, Pin, Repository
from pipeline.model.errors import INTERRUPTED, MACHINE, REFUSED
from pipeline.runner import IMAGES
from pipeline.stages import build, fetch, lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.model import Spec
    from tests.system.conftest import Server

ROOT = Path(__file__).parents[2]
CELL = "vllm0.32.0-torch2.13.0-cpu-py3.11"
BODY = secrets.token_bytes(4000)
TORCH = Pin("torch", "2.13.0", hashlib.sha256(BODY).hexdigest(), "torch-2.13.0-py3-none-any.whl", len(BODY))
NO_INDEX = {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_HTTP_RETRIES": "0", "PIP_FIND_LINKS": ""}

MATRIX = """\
schema: 1
torch: ["2.13.0"]
cuda: [cpu]
python: ["3.11"]
vllm: ["0.32.0"]
base: {image: "%s"}
publish: {repository: "%s"}
exceptions:
  - {rule: contents, path: "*", reason: no Python package is in a tiny image, expires: "2099-12-31"}
"""


# -- tiny images --------------------------------------------------------------------------------------

WAITS = bytes.fromhex("b822000000 0f05 ebf7")  # again: pause(2); jump to again
ENDS = bytes.fromhex("bf03000000 b83c000000 0f05")  # exit(3)


def program(code: bytes) -> bytes:
    """An ELF executable of these instructions (x86-64), unlike any other one that was made so."""
    start, align = 0x400000, 0x1000
    body = code + secrets.token_bytes(16)
    size = 64 + 56 + len(body)
    head = struct.pack(
        "<16sHHIQQQIHHHHHH",
        *(b"\x7fELF\x02\x01\x01", 2, 62, 1, start + 64 + 56, 64, 0, 0, 64, 56, 1, 64, 0, 0),
    )
    return head + struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, align) + body


def push(
    repository: Repository, files: Mapping[str, bytes], labels: Mapping[str, str], tag: str | None = None
) -> ImageRef:
    """An image of these executables; its entrypoint is called ``/python3``."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, body in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(body), 0o755
            tar.addfile(entry, io.BytesIO(body))
    registry = Registry(repository)
    layer = registry.put_blob(packed.getvalue())
    config = registry.put_blob(
        json.dumps(
            {
                "architecture": "amd64",
                "os": "linux",
                "config": {"Entrypoint": ["/python3"], "Labels": dict(labels)},
                "rootfs": {"type": "layers", "diff_ids": [str(layer.digest)]},
            }
        ).encode()
    )
    kind = "application/vnd.oci.image"
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {**config.plain, "mediaType": f"{kind}.config.v1+json"},
        "layers": [{**layer.plain, "mediaType": f"{kind}.layer.v1.tar"}],
    }
    digest = registry.put_manifest(Manifest(json.dumps(document).encode(), OCI_MANIFEST), tag)
    return repository.at(digest)


# -- a user -------------------------------------------------------------------------------------------


@dataclass
class User:
    """Somebody with a checkout of one small cell, and a home and repositories of their own."""

    home: Path
    repository: Repository
    base: ImageRef
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def checkout(self) -> Path:
        return self.home / "checkout"

    @property
    def cache(self) -> Path:
        return self.home / "cache" / "tagproof" / "wheels"

    @property
    def spec(self) -> Spec:
        return matrix.load(self.checkout / "matrix.yaml", None).specs[0]

    @property
    def staging(self) -> Repository:
        return Repository(self.repository.host, f"{self.repository.path}-staging")

    def writes(self, text: str, pins: tuple[Pin, ...] = (TORCH,)) -> None:
        """matrix.yaml, and a lock of these pins that fits it."""
        self.checkout.mkdir(parents=True, exist_ok=True)
        (self.checkout / "matrix.yaml").write_text(text)
        lock.write(self.spec, Lock(self.spec.cell, pins), self.checkout / "locks")

    def has_built(self, code: bytes) -> ImageRef:
        """Have an image of this program where the pipeline finds what it has built."""
        written = lock.read(self.spec, self.checkout / "locks")
        assert written
        key = build.key(self.spec, written, self.base, None, IMAGES)
        labels = build.labels(self.spec, written, None)
        return push(self.staging, {"python3": program(code)}, labels, key)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "pipeline", *words]

    def types(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        """``python -m pipeline WORDS`` in the checkout."""
        return self.runs(self.command(*words), **more)

    def runs(self, command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, **more}
        return subprocess.run(
            command, cwd=self.checkout, env=environment, capture_output=True, text=True, check=False
        )

    def starts(self, command: list[str], **more: str) -> subprocess.Popen[str]:
        """The same, to be interrupted; it is the leader of a group, as a shell would make it."""
        process = subprocess.Popen(
            command,
            cwd=self.checkout,
            env={**self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        self.started.append(process)
        return process

    def leaves(self) -> None:
        """Take along what a failed test left: processes, containers, images."""
        for process in self.started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        for line in self.containers():
            subprocess.run(["docker", "rm", "--force", line.split()[0]], check=True, capture_output=True)
        listed = ["docker", "images", "--digests", "--format", "{{.Repository}}@{{.Digest}}"]
        images = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
        mine = [name for name in images if name.startswith(str(self.repository))]
        if mine:
            subprocess.run(["docker", "image", "rm", "--force", *mine], check=True, capture_output=True)

    def containers(self) -> list[str]:
        """The containers of this user's images, ended ones too."""
        listed = ["docker", "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Image}}"]
        lines = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.splitlines()
        return [line for line in lines if str(self.repository) in line]

    def processes(self) -> list[str]:
        """What runs in this user's environment: all that our commands started and did not end."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str(self.home).encode() in (folder / "environ").read_bytes():
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        return found

    def files(self) -> set[Path]:
        """Every file of the home, less reports, logs, keys, the test model and a registry's own."""
        beside = {".state", "models", "config", "data", "docker"}
        return {path for path in self.home.rglob("*") if path.is_file() and not beside & set(path.parts)}

    def tags(self) -> tuple[tuple[str, ...], ...]:
        """The tags of staging and destination."""
        return Registry(self.staging).tags(), Registry(self.repository).tags()

    def left_nothing(self) -> None:
        """No container, no process."""
        assert self.containers() == []
        assert self.processes() == []


@pytest.fixture
def user(server: Server, tmp_path: Path) -> Iterator[User]:
    """A user whose base image has a shell that never ends."""
    with a_user(server.host, tmp_path, WAITS) as user:
        yield user


@pytest.fixture
def user_of_broken_base(server: Server, tmp_path: Path) -> Iterator[User]:
    """A user whose base image has a shell that fails."""
    with a_user(server.host, tmp_path, ENDS) as user:
        yield user


@contextmanager
def a_user(host: str, home: Path, shell: bytes) -> Iterator[User]:
    repository = Repository(host, f"trouble/{secrets.token_hex(6)}")
    base = push(Repository(host, f"{repository.path}-base"), {"bin/sh": program(shell)}, {})
    folders = {f"XDG_{name}_HOME": str(home / name.lower()) for name in ("CONFIG", "DATA", "CACHE", "STATE")}
    ours = {name: value for name, value in os.environ.items() if name != "TAGPROOF_KEY"}
    user = User(home, repository, base, {**ours, **folders})
    user.writes(MATRIX % (base, repository))
    try:
        yield user
    finally:
        user.leaves()


@pytest.fixture(scope="module")
def links(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every wheel that a build of this cell takes."""
    folder = tmp_path_factory.mktemp("links")
    (folder / TORCH.filename).write_bytes(BODY)
    tool = uv_wheel()
    spec = matrix.load(ROOT / "matrix.yaml", None).specs[0]
    fetch.fetch(spec, [tool], folder / "cache", (), lambda _: _Quiet())
    wheel_cache.path_of(tool, folder / "cache").rename(folder / tool.filename)
    return folder


class _Quiet:
    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to end."""

    def advance(self, amount: int) -> None:
        """Say nothing."""


def uv_wheel() -> Pin:
    recipe = IMAGES / "tools.txt"
    pins = lock.read_pins(recipe, recipe.read_text().splitlines())
    return next(pin for pin in pins if "x86_64" in pin.filename)


# -- an index -----------------------------------------------------------------------------------------


@dataclass
class Index:
    """A package index on loopback. Each wheel is the body it is told, or never comes to its end."""

    bodies: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def environment(self) -> dict[str, str]:
        return {"UV_DEFAULT_INDEX": f"http://127.0.0.1:{self.port}/simple", "PIP_FIND_LINKS": ""}


@pytest.fixture
def index() -> Iterator[Index]:
    """An index that offers the wheels of the cell."""
    state, ended = Index(), threading.Event()
    pins = {pin.filename: pin for pin in (TORCH, uv_wheel())}

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            name = self.path.strip("/").rpartition("/")[2]
            state.asked.append(name)
            if name.endswith(".metadata"):
                pin = pins[name.removesuffix(".metadata")]
                text = f"Metadata-Version: 2.1\nName: {pin.name}\nVersion: {pin.version}\n"
                self._answer(text.encode(), "text/plain")
            elif name in state.bodies:
                self._answer(state.bodies[name], "application/octet-stream")
            elif name in pins:
                self._answer(b"PK", "application/octet-stream", length=pins[name].size)
                ended.wait()
            else:
                offers = [pin for pin in pins.values() if pin.name == name]
                links = (
                    f'<a href="/{p.filename}#sha256={p.sha256}" data-core-metadata="true">{p.filename}</a>'
                    for p in offers
                )
                self._answer(f"<html><body>{''.join(links)}</body></html>".encode(), "text/html")

        def _answer(self, body: bytes, kind: str, length: int | None = None) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listening.daemon_threads = True
    state.port = listening.server_port
    threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield state
    ended.set()
    listening.shutdown()
    listening.server_close()


# -- waiting ------------------------------------------------------------------------------------------


def until(seen: Callable[[], object], process: subprocess.Popen[str], seconds: float = 60) -> None:
    """Wait until something is so, while a command runs."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.05)


def interrupted(process: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str]:
    """Ctrl-C, as a terminal sends it: to the whole group. Exit code and narration."""
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=seconds)
    return process.returncode, said


def running(program_of: str) -> list[Path]:
    """The processes, in containers too, whose program ends in these 16 bytes, in hex."""
    found = []
    for exe in Path("/proc").glob("[0-9]*/exe"):
        with suppress(OSError):
            if exe.stat().st_size < 4096 and exe.read_bytes()[-16:].hex() == program_of:
                found.append(exe.parent)
    return found


def shell_of(user: User) -> str:
    """What ``running`` knows the shell of the base by."""
    registry = Registry(user.base.repository)
    manifest = registry.manifest(user.base.digest)
    assert manifest
    with tarfile.open(fileobj=io.BytesIO(registry.blob(manifest.layers[0].digest))) as tar:
        file = tar.extractfile("bin/sh")
        assert file
        return file.read()[-16:].hex()


# -- locks and wheels ---------------------------------------------------------------------------------


def test_a_version_that_does_not_exist_leaves_the_old_lock_as_it_was(user: User) -> None:
    """Exit 3, the version and a hint; no half-written file."""
    text = (MATRIX % (user.base, user.repository)).replace("0.32.0", "0.0.999").replace("cpu", "cu130")
    user.writes(text)
    before = {path: path.read_bytes() for path in user.checkout.rglob("*") if path.is_file()}
    done = user.types("lock")
    assert done.returncode == MACHINE, done.stderr
    assert "vllm==0.0.999" in done.stderr
    assert "hint:" in done.stderr
    assert {path: path.read_bytes() for path in user.checkout.rglob("*") if path.is_file()} == before


def test_an_index_that_cannot_be_reached_is_named_where_a_wheel_is_nowhere_else(user: User) -> None:
    """Exit 3, the wheel and where else it could come from."""
    done = user.types("build", **NO_INDEX)
    assert done.returncode == MACHINE
    assert TORCH.filename in done.stderr
    assert "hint: check the network, or name a folder that holds them with --find-links" in done.stderr
    user.left_nothing()


def test_an_index_that_cannot_be_reached_does_not_matter_where_a_folder_has_the_wheels(
    user_of_broken_base: User, links: Path
) -> None:
    """It comes to the build, which fails by its base: exit 3, its last lines, no image, nothing left."""
    user = user_of_broken_base
    before = user.tags()
    done = user.types("build", "--find-links", str(links), **NO_INDEX)
    assert done.returncode == MACHINE
    assert "environment.sh" in done.stderr
    assert f"python -m pipeline build {CELL}" in done.stderr
    assert wheel_cache.missing([TORCH, uv_wheel()], user.cache) == ()
    assert list(user.cache.glob("build-*")) == []
    assert user.tags() == before
    user.left_nothing()


def test_a_wheel_of_another_hash_is_refused_and_removed(user: User, index: Index) -> None:
    """The index lies: exit 3, both hashes, no file."""
    index.bodies[TORCH.filename] = BODY[:-1] + bytes([BODY[-1] ^ 1])
    done = user.types("build", **index.environment)
    assert done.returncode == MACHINE
    assert f"locked is sha256:{TORCH.sha256}" in done.stderr
    assert [path for path in user.files() if path.name == TORCH.filename] == []
    assert not (user.cache / TORCH.sha256 / "half").exists()


def test_a_wheel_that_was_changed_in_the_cache_is_never_used(user: User) -> None:
    """It has the right size and another content: removed, and looked for elsewhere."""
    file = wheel_cache.path_of(TORCH, user.cache)
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(len(BODY)))
    assert user.types("build", **NO_INDEX).returncode == MACHINE
    assert not file.exists()


# -- the machine --------------------------------------------------------------------------------------


def test_too_small_a_disk_is_said_before_anything_is_fetched(user: User) -> None:
    """A cache on 50 MB: exit 3 with both numbers."""
    large = Pin("torch", "2.13.0", TORCH.sha256, TORCH.filename, 200_000_000)
    user.writes(MATRIX % (user.base, user.repository), (large,))
    cache = user.home / "cache"
    cache.mkdir()
    mount = f'mount -t tmpfs -o size=50m tmpfs "{cache}" && exec "$@"'
    own = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else []), "sh", "-c", mount, "sh"]
    done = user.runs([*own, *user.command("build")], **NO_INDEX)
    assert done.returncode == MACHINE, done.stderr
    assert "52.4 MB are free for the wheels, the build needs 220 MB" in done.stderr
    assert "hint: `docker builder prune`" in done.stderr
    assert "no index offered" not in done.stderr


def test_an_engine_that_is_down_is_said_before_anything_is_done(user: User) -> None:
    """Exit 3 with a hint; not even a lock is made, and the tags are as they were."""
    shutil.rmtree(user.checkout / "locks")
    before = user.files(), user.tags()
    done = user.types("verify", DOCKER_HOST="unix:///nowhere/docker.sock", **NO_INDEX)
    assert done.returncode == MACHINE
    assert "could not reach the container engine" in done.stderr
    assert "DOCKER_HOST" in done.stderr
    assert (user.files(), user.tags()) == before


def test_an_engine_without_buildkit_is_said_before_anything_is_done(user: User) -> None:
    """The same, and which package is lacking."""
    shutil.rmtree(user.checkout / "locks")
    docker = user.home / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text("#!/bin/sh\necho \"docker: 'buildx' is not a docker command.\" >&2; exit 1\n")
    docker.chmod(0o755)
    before = user.files(), user.tags()
    done = user.types("verify", PATH=f"{docker.parent}:{os.environ['PATH']}", **NO_INDEX)
    assert done.returncode == MACHINE
    assert "'buildx' is not a docker command" in done.stderr
    assert "docker-buildx" in done.stderr
    assert (user.files(), user.tags()) == before


# -- the registry -------------------------------------------------------------------------------------


def test_a_port_taken_by_something_else_is_no_registry(user: User, index: Index) -> None:
    """Exit 3, what was asked and answered, and the option that names another."""
    done = user.types("publish", "--repository", f"127.0.0.1:{index.port}/team/vllm")
    assert done.returncode == MACHINE
    assert f"127.0.0.1:{index.port} is no registry" in done.stderr
    assert "--repository" in done.stderr


def test_no_registry_and_none_to_start_is_said_with_the_package(user: User, unused_port: int) -> None:
    """Exit 3; nothing listens there afterwards either."""
    there = f"127.0.0.1:{unused_port}/team/vllm"
    done = user.types("publish", "--repository", there, PATH=str(user.home))
    assert done.returncode == MACHINE
    assert f"no registry answers at 127.0.0.1:{unused_port}" in done.stderr
    assert "docker-registry" in done.stderr
    user.left_nothing()


def test_a_read_only_registry_is_said_before_anything_is_built(user: User, own_server: Server) -> None:
    """Exit 3, before a wheel is fetched."""
    own_server.stop()
    own_server.start(read_only=True)
    before = user.files()
    done = user.types("verify", "--repository", f"{own_server.host}/team/vllm", **NO_INDEX)
    assert done.returncode == MACHINE
    assert "takes no uploads" in done.stderr
    assert "--repository" in done.stderr
    assert user.files() == before


def test_uploads_that_broke_off_are_reported_where_a_build_fails(
    tmp_path: Path, links: Path, unused_port: int
) -> None:
    """How many, how large, where, and that nobody has to do anything about them."""
    data = tmp_path / "data" / "tagproof" / "registry" / str(unused_port)
    host = f"127.0.0.1:{unused_port}"
    assert local_registry.ensure(Repository(host, "any"), data, data / "registry.log")
    try:
        with a_user(host, tmp_path, ENDS) as user:
            uploads = f"http://{host}/v2/{user.staging.path}/blobs/uploads/"
            begun = httpx.post(uploads, trust_env=False)
            httpx.patch(begun.headers["Location"], content=bytes(1_500_000), trust_env=False)
            done = user.types("build", "--find-links", str(links), **NO_INDEX)
            assert done.returncode == MACHINE
            assert f"unfinished uploads to {user.staging}: 1, with 1.50 MB; no tag names them" in done.stderr
    finally:
        assert local_registry.stop(data)


def test_an_image_for_another_repository_is_not_said_to_be_another_build(user: User) -> None:
    """It is held against what staging has: where that is nothing, the gate says so, and how to say where."""
    image, elsewhere = user.has_built(WAITS), f"{user.repository}/elsewhere"
    done = user.types("gate", str(image), "--repository", elsewhere)
    assert done.returncode == REFUSED
    assert f"is in {elsewhere}-staging to hold it against" in done.stderr
    assert "--repository" in done.stderr


# -- the server ---------------------------------------------------------------------------------------


def test_a_server_that_exits_at_once_is_refused_and_gets_no_tag(user: User) -> None:
    """Exit 1 with its exit code; the gate refuses; no container is left."""
    user.has_built(ENDS)
    done = user.types("verify")
    assert done.returncode == REFUSED, done.stderr
    assert "exited with code 3" in done.stderr
    assert f"python -m pipeline verify {CELL}" in done.stderr
    assert user.types("publish").returncode == REFUSED
    assert Registry(user.repository).tags() == ()
    user.left_nothing()


# -- Ctrl-C -------------------------------------------------------------------------------------------


def test_ctrl_c_while_wheels_are_fetched(user: User, index: Index) -> None:
    """A silent server delays nothing; what is there of the wheel is not under its name."""
    process = user.starts(user.command("build"), **index.environment)
    until(lambda: {TORCH.filename, uv_wheel().filename} <= set(index.asked), process)
    code, said = interrupted(process, 10)
    assert (code, "interrupted" in said) == (INTERRUPTED, True), said
    assert [path for path in user.files() if path.suffix == ".whl"] == []
    user.left_nothing()


def test_ctrl_c_while_the_base_is_made(
    user: User, links: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing is left of the system that was being unpacked: no file, no mount, no process."""
    refresh = time.strftime("%Y-%m-%d")
    base = f'base: {{suite: bookworm, refresh: "{refresh}"}}'
    user.writes((MATRIX % (user.base, user.repository)).replace(f'base: {{image: "{user.base}"}}', base))
    scratch = tmp_path_factory.mktemp("scratch")
    for folder in (scratch, *scratch.parents[:2]):
        folder.chmod(0o755)  # apt fetches as a user of its own
    process = user.starts(user.command("build", "--find-links", str(links)), TMPDIR=str(scratch))
    until(lambda: list(scratch.glob("mmdebstrap.*/var/lib/dpkg/info/*")), process)
    code, said = interrupted(process)
    assert (code, "interrupted" in said) == (INTERRUPTED, True), said
    assert list(scratch.iterdir()) == []
    assert str(scratch) not in Path("/proc/mounts").read_text()
    assert user.tags() == ((), ())
    user.left_nothing()


@pytest.mark.parametrize("to", ["group", "process"])
def test_ctrl_c_while_an_image_is_built(user: User, links: Path, to: str) -> None:
    """The build step in the engine ends too, whether all of us hear the signal or we alone."""
    before, shell = user.tags(), shell_of(user)
    process = user.starts(user.command("build", "--find-links", str(links)))
    until(lambda: running(shell), process)
    if to == "group":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED, said
    assert list(user.cache.glob("build-*")) == []
    assert user.tags() == before
    user.left_nothing()
    deadline = time.monotonic() + 15
    while running(shell):
        assert time.monotonic() < deadline, "the build step still runs in the engine"
        time.sleep(0.1)


def test_ctrl_c_while_a_server_runs_and_once_more_while_it_is_ended(user: User) -> None:
    """The containers are gone; an impatient second Ctrl-C changes nothing."""
    user.has_built(WAITS)
    process = user.starts(user.command("verify"))
    until(user.containers, process)
    before = user.tags()
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.3)
    code, said = interrupted(process)
    assert (code, "interrupted" in said) == (INTERRUPTED, True), said
    assert user.tags() == before
    user.left_nothing()


def test_ctrl_c_under_nox(user: User) -> None:
    """It waits until all that was started is gone."""
    user.has_built(WAITS)
    for name in ("noxfile.py", "pyproject.toml"):
        shutil.copy(ROOT / name, user.checkout)
    have_installed(user.checkout)
    process = user.starts([sys.executable, "-m", "nox", "-s", "verify"])
    until(user.containers, process)
    code, said = interrupted(process)
    assert code == INTERRUPTED, said
    assert "interrupted: what was started is ended" in said, said
    user.left_nothing()


def have_installed(checkout: Path) -> None:
    """Have the environment that nox would make: here it is ours."""
    environment = checkout / ".nox" / f"py{sys.version_info.major}.{sys.version_info.minor}"
    python = environment / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    asked = hashlib.sha256((checkout / "pyproject.toml").read_bytes() + bytes(checkout)).hexdigest()
    (environment / "project.installed").write_text(asked)
