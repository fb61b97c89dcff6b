"""Real parts for the system tests: a registry of their own on a loopback port, and a key of their own."""

from __future__ import annotations

import http.client
import json
import secrets
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from pipeline.adapters import signing_keys
from pipeline.adapters.registry import OCI_MANIFEST, Manifest, Registry
from pipeline.compat.explain.question import cell_of
from pipeline.model import (
    Attestations,
    Basis,
    Cell,
    Certified,
    Decision,
    Digest,
    Image,
    Proof,
    Record,
    Repository,
)
from pipeline.stages import attest
from pipeline.stages.gate import decide, holds
from tests.builders import CPU_CELL, INPUTS, MODEL, certificate, now, policy, record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.formats import dsse

POLICY = policy("serve")

Answer = tuple[int, dict[str, str], bytes]


# -- a registry ---------------------------------------------------------------------------------------


@dataclass
class Server:
    """Distribution on a loopback port; ended and started again at will, on the same folder."""

    data: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self, *, read_only: bool = False) -> None:
        """Come up, and answer."""
        maintenance = {"maintenance": {"readonly": {"enabled": True}}} if read_only else {}
        storage = {"filesystem": {"rootdirectory": str(self.data)}, "delete": {"enabled": True}}
        config = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": storage | maintenance,
            "http": {"addr": self.host},
        }
        file = self.data / "config.json"
        file.write_text(json.dumps(config))
        words = subprocess.DEVNULL
        self.process = subprocess.Popen(["docker-registry", "serve", str(file)], stdout=words, stderr=words)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self.process.poll() is None, "the registry ended at once"
            assert time.monotonic() < deadline, "the registry did not come up"
            time.sleep(0.02)

    def stop(self) -> None:
        """End it, if it runs."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def registry_server(data: Path) -> Iterator[Server]:
    """A registry while the block lasts."""
    server = Server(data, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(data / "docker", ignore_errors=True)


@pytest.fixture
def unused_port() -> int:
    """A port of loopback that nothing listens on."""
    return free_port()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One registry for all tests that leave it running and writable."""
    with registry_server(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    """A registry that the test may end, or make read-only."""
    with registry_server(tmp_path) as running:
        yield running


# -- a registry that fails ----------------------------------------------------------------------------


@dataclass
class Proxy:
    """Stands before a registry and misbehaves as told.

    ``before`` may answer a request itself, or raise ConnectionError to hang up; ``after`` may change
    what the registry answered. Where ``whole_length``, an answer that was cut short still claims its length,
    and the connection ends there. ``seen`` lists method and path of every request, in order.
    """

    port: int
    before: Callable[[str, str], Answer | None] = lambda _method, _path: None
    after: Callable[[str, str, Answer], Answer] = lambda _method, _path, answer: answer
    whole_length: bool = False
    seen: list[tuple[str, str]] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def writes(self) -> list[tuple[str, str]]:
        """The requests that change something."""
        return [one for one in self.seen if one[0] not in ("GET", "HEAD")]


@contextmanager
def fault_proxy(upstream: str) -> Iterator[Proxy]:
    """A proxy while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # or each answer waits 40 ms for the other side's acknowledgement

        def handle_one_request(self) -> None:
            try:
                super().handle_one_request()
            except ConnectionError:
                self.close_connection = True

        def do_any(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.seen.append((self.command, self.path))
            answer = state.before(self.command, self.path) or self._forward(sent)
            status, headers, body = state.after(self.command, self.path, answer)
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                    self.send_header(name, value)
            claimed = headers.get("Content-Length", "0")
            length = claimed if self.command == "HEAD" or state.whole_length else str(len(body))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection |= int(length) > len(body) and self.command != "HEAD"

        def _forward(self, sent: bytes) -> Answer:
            connection = http.client.HTTPConnection(upstream, timeout=30)
            try:
                connection.request(self.command, self.path, sent, dict(self.headers))
                answer = connection.getresponse()
                return answer.status, dict(answer.getheaders()), answer.read()
            finally:
                connection.close()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    for method in ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.do_any)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state = Proxy(server.server_address[1])
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    """A proxy before the shared registry."""
    with fault_proxy(server.host) as running:
        yield running


# -- images and records -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gate:
    """The gate with the tests' policy; its clock stands where the newest record that it sees was made."""

    image: Image
    repository: Repository

    def decide(self, beside: Attestations) -> Decision:
        """The image, by what lies beside it."""
        return decide(
            self.image.cell,
            self.image,
            self.repository,
            beside,
            policy=POLICY,
            basis=Basis(MODEL),
            inputs=INPUTS,
            now=_moment(beside),
        )

    def holds(self, digest: Digest, beside: Attestations) -> Proof | None:
        """Any digest, as the cell that its newest record names."""
        name = next((proof.record.cell for proof in beside.proofs), "")
        cell = cell_of(name)
        if cell is None:
            return None
        return holds(cell, digest, self.repository, beside, policy=POLICY, now=_moment(beside))


def _moment(beside: Attestations) -> datetime:
    times = [datetime.fromisoformat(proof.record.finished) for proof in beside.proofs]
    return max(times, default=datetime.now(UTC))


@dataclass(frozen=True)
class Bench:
    """A staging and a destination repository, a key, and small images to prove and publish.

    ``home`` is the true destination, where ``destination`` is reached through a proxy.
    """

    staging: Registry
    destination: Registry
    key: dsse.PrivateKey
    home: Repository | None = None

    @property
    def evidence(self) -> attest.Evidence:
        """The records as we see them, who trust our own key."""
        return attest.Evidence(signing_keys.trusted([self.key.public_key()]))

    @property
    def signatures(self) -> attest.Signatures:
        """The plain signatures in the destination, made by our own key."""
        home = self.home or self.destination.repository
        return attest.Signatures(self.destination, home, self.evidence.trusted, self.key)

    def through(self, proxy: Proxy, *, patience: float = 1.5) -> Bench:
        """The same, with the destination behind a proxy. Records still name the true destination."""
        repository = Repository(proxy.host, self.destination.repository.path)
        return replace(
            self, destination=Registry(repository, patience=patience), home=self.destination.repository
        )

    def elsewhere(self) -> Bench:
        """The same in repositories that nobody else uses."""
        path = f"test/{secrets.token_hex(6)}"
        host = self.staging.repository.host
        return replace(
            self,
            staging=Registry(Repository(host, f"{path}-staging")),
            destination=Registry(Repository(host, path)),
        )

    def image(self, build_key: str = "1" * 64, cell: Cell = CPU_CELL) -> Image:
        """Push an image of two layers into staging."""
        layers = [self.staging.put_blob(secrets.token_bytes(8000)) for _ in range(2)]
        described = {"config": {"Labels": {"x": build_key}}, "rootfs": {"diff_ids": []}}
        config = self.staging.put_blob(json.dumps(described).encode())
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": {**config.plain, "mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [
                {**layer.plain, "mediaType": "application/vnd.oci.image.layer.v1.tar"} for layer in layers
            ],
        }
        digest = self.staging.put_manifest(Manifest(json.dumps(document).encode(), OCI_MANIFEST))
        return Image(cell, self.staging.repository.at(digest), build_key, f"sha256:{'4' * 64}")

    def record(self, image: Image, **changes: Any) -> Record:
        """What the suite saw of it: all well, now, unless told otherwise."""
        moment = now()
        good = {
            "repository": str(self.home or self.destination.repository),
            "started": moment,
            "finished": moment,
        }
        return record(image, **{**good, **changes})

    def prove(self, image: Image, **changes: Any) -> Proof:
        """Sign a record and attach it in staging, as verification does."""
        bundle = attest.sign(self.record(image, **changes), self.key)
        digest = attest.attach(self.staging, image.ref, bundle)
        found = attest.read(bundle, image.ref.digest, self.evidence.trusted, manifest=digest)
        assert isinstance(found, Proof), found
        return found

    def gate(self, image: Image) -> Gate:
        """The gate about this image, at the time of the newest record that it is shown."""
        return Gate(image, self.home or self.destination.repository)

    def certify(self, image: Image) -> Certified:
        """Sign a certificate without findings and attach it in staging, as a build does."""
        repository = str(self.home or self.destination.repository)
        bundle = attest.certificates.sign(certificate(image, repository=repository, created=now()), self.key)
        digest = attest.attach(self.staging, image.ref, bundle)
        found = attest.read(bundle, image.ref.digest, self.evidence.trusted, manifest=digest)
        assert isinstance(found, Certified), found
        return found

    def decision(self, image: Image, proof: Proof) -> Decision:
        """What the gate decides of an image with this proof and a certificate."""
        return Decision((), proof, self.certify(image))

    def proven(self, build_key: str = "1" * 64, **changes: Any) -> tuple[Image, Decision]:
        """An image that the gate allows."""
        image = self.image(build_key)
        return image, self.decision(image, self.prove(image, **changes))

    def digest_in_destination(self, tag: str) -> Digest | None:
        """What a tag names there."""
        return self.destination.digest_of(tag)


@pytest.fixture(scope="session")
def key() -> dsse.PrivateKey:
    """The tests' own signing key."""
    return generate_private_key(SECP256R1())


@pytest.fixture
def bench(server: Server, key: dsse.PrivateKey) -> Bench:
    """Repositories that no other test uses."""
    return bench_at(server, key)


@pytest.fixture
def own_bench(own_server: Server, key: dsse.PrivateKey) -> Bench:
    """Repositories of a registry that the test may end, or make read-only."""
    return bench_at(own_server, key)


def bench_at(server: Server, key: dsse.PrivateKey) -> Bench:
    """Repositories of a registry that no other test uses."""
    name = f"test/{secrets.token_hex(6)}"
    return Bench(
        Registry(Repository(server.host, f"{name}-staging")), Registry(Repository(server.host, name)), key
    )
