"""The registry: the one room that speaks the OCI distribution protocol.

A :class:`Registry` is one repository of one registry. Every body that comes back is hashed and
compared with the digest that was asked for; a registry that answers something else, or nothing,
is a :class:`RegistryError`. Plain HTTP is spoken on loopback only.
"""

from __future__ import annotations

import atexit
import json
import random
import re
import time
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx

from pipeline.errors import RegistryError
from pipeline.nouns import PROJECT, Digest, ImageRef, Repository, canonical

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

T = TypeVar("T")

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY = "application/vnd.oci.empty.v1+json"
INDEXES = (OCI_INDEX, DOCKER_INDEX)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST, *INDEXES)

SMALL = 4 << 20
"""The most bytes that a manifest or a small blob may have: what registries accept for a manifest."""

PIECE = 1 << 20
"""Bytes of a blob in memory at a time while it is copied."""

MANY = 1000
"""The most referrers of one image, and tags of one page, that are read."""

PARALLEL = 8
PATIENCE = 60.0
PATIENCE_LOOPBACK = 10.0
"""Seconds that a registry may be busy or away before we give up; on loopback it is there or it is not."""

ELSEWHERE = "start the registry, or name another with --repository"
READ_ONLY = (
    "the registry is read-only or forbids this; allow writing there, or name another with --repository"
)
LOG_IN = "log in with `docker login {host}`, or name another registry with --repository"
NO_ROOM = "free some room on the registry's disk, then run the same command again"


class ContentError(RegistryError):
    """What the registry holds is not what it should be; whoever may write there may have put it there."""


@dataclass(frozen=True)
class Descriptor:
    """What a manifest says of a blob or of another manifest. ``size`` is in bytes."""

    media_type: str
    digest: Digest
    size: int
    artifact_type: str = ""
    annotations: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, value: Any) -> Self:
        """From a manifest's JSON. Raises KeyError, TypeError or ValueError where it is no descriptor."""
        size = value["size"]
        if type(size) is not int or size < 0:
            raise ValueError(f"{size!r} is no size")
        notes = value.get("annotations") or {}
        return cls(
            str(value["mediaType"]),
            Digest(value["digest"]),
            size,
            str(value.get("artifactType") or ""),
            tuple(sorted((str(name), str(text)) for name, text in notes.items())),
        )

    @property
    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        value: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": str(self.digest),
            "size": self.size,
        }
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        return value


@dataclass(frozen=True)
class Manifest:
    """The bytes of a manifest as the registry holds them, and their digest."""

    body: bytes
    media_type: str

    @cached_property
    def digest(self) -> Digest:
        """The identity of these bytes."""
        return Digest.of(self.body)

    @cached_property
    def document(self) -> dict[str, Any]:
        """The JSON object. Raises RegistryError where there is none, or where it calls itself otherwise."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict) or value.get("mediaType", self.media_type) != self.media_type:
            raise _not_understood(self)
        return value

    @property
    def descriptor(self) -> Descriptor:
        """How another manifest names this one."""
        return Descriptor(self.media_type, self.digest, len(self.body))

    @property
    def config(self) -> Descriptor:
        """The blob that holds an image's configuration. Raises RegistryError for an index."""
        return self._descriptors([self._image.get("config")])[0]

    @property
    def layers(self) -> tuple[Descriptor, ...]:
        """The layers of an image, lowest first. Raises RegistryError for an index."""
        return self._descriptors(self._image.get("layers"))

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Every blob that an image needs, each once. Raises RegistryError for an index."""
        return tuple({blob.digest: blob for blob in (self.config, *self.layers)}.values())

    @property
    def subject(self) -> Digest | None:
        """The digest of the manifest that this one is about."""
        value = self.document.get("subject")
        return self._descriptors([value])[0].digest if value else None

    @property
    def _image(self) -> dict[str, Any]:
        if self.media_type in INDEXES:
            raise ContentError(
                f"{self.digest} is an index of several images ({self.media_type}), not one image",
                hint="name one platform's manifest by digest; an index changes with every build",
            )
        return self.document

    def _descriptors(self, values: Any) -> tuple[Descriptor, ...]:
        try:
            return tuple(Descriptor.read(value) for value in values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise _not_understood(self) from error


@dataclass(frozen=True)
class Config:
    """What an image's configuration says that we ask for; ``document`` is all of it."""

    labels: Mapping[str, str]
    created: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """What came back for one request."""

    method: str
    url: httpx.URL
    status: int
    headers: httpx.Headers
    body: bytes

    @property
    def code(self) -> str:
        """The registry's own word for what is wrong, such as ``MANIFEST_UNKNOWN``, or nothing."""
        return self._error("code")

    @property
    def complaint(self) -> str:
        """Status, and the registry's words for it where it gave any."""
        said = ", ".join(filter(None, (self.code, self._error("message"))))
        return (
            f"{self.method} {self.url.host}:{self.url.port or 443}{self.url.path} answered {self.status}"
            + (f" ({said})" if said else "")
        )

    @property
    def is_full(self) -> bool:
        """Whether the registry's disk is full."""
        return self.status == httpx.codes.INSUFFICIENT_STORAGE or b"no space left" in self.body

    def _error(self, name: str) -> str:
        with suppress(ValueError, KeyError, IndexError, TypeError, RecursionError):
            return str(json.loads(self.body)["errors"][0][name])[:200]
        return ""


class _BusyError(Exception):
    """The registry may answer better in ``after`` seconds; ``tries`` bounds how often we ask."""

    def __init__(
        self, what: str, *, hint: str = ELSEWHERE, after: float | None = None, tries: int = 1000
    ) -> None:
        super().__init__(what)
        self.what, self.hint, self.after, self.tries = what, hint, after, tries


@dataclass
class _Host:
    """The connections to one registry, and the authorizations that it gave us, by scope."""

    client: httpx.Client
    granted: dict[str, str] = field(default_factory=dict)


@cache
def _host(_name: str, *, loopback: bool) -> _Host:
    # A proxy of the environment must never stand between us and a registry on this machine, and a
    # plain connection needs no certificates, which take longer to load than all else takes here.
    client = httpx.Client(
        verify=not loopback,
        trust_env=not loopback,
        follow_redirects=True,
        timeout=httpx.Timeout(60, connect=10, read=300),
        limits=httpx.Limits(max_connections=2 * PARALLEL, keepalive_expiry=10),
        headers={"User-Agent": PROJECT, "Accept-Encoding": "identity"},
    )
    atexit.register(client.close)
    return _Host(client)


class Registry:
    """One repository of one registry. Cheap to make: connections are shared by all of the same host.

    ``patience`` is the number of seconds for which one request is repeated while the registry is
    away or busy. Every method raises RegistryError where we could not find out or could not write.
    """

    def __init__(self, repository: Repository, *, patience: float | None = None) -> None:
        self.repository = repository
        self.patience = patience or (PATIENCE_LOOPBACK if repository.is_loopback else PATIENCE)
        self._connections = _host(repository.host, loopback=repository.is_loopback)
        scheme = "http" if repository.is_loopback else "https"
        self._root = f"{scheme}://{repository.host}/v2/{repository.path}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close: the connections belong to the host, and end with the process."""

    def __repr__(self) -> str:
        return f"Registry({self.repository})"

    # -- reading ----------------------------------------------------------------------------------

    def digest_of(self, tag: str) -> Digest | None:
        """The digest that the registry says this tag (or this digest's text) names; None without one."""
        answer = self._ask("HEAD", f"/manifests/{tag}", ok=(200, 404), headers=_accept(MANIFESTS))
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        said = answer.headers.get("Docker-Content-Digest")
        if said:
            return _digest(said, answer)
        manifest = self.manifest(tag)
        return manifest.digest if manifest else None

    def manifest(self, reference: Digest | str) -> Manifest | None:
        """The manifest under a digest or a tag, its bytes hashed and compared; None where there is none."""
        answer = self._ask("GET", f"/manifests/{reference}", ok=(200, 404), headers=_accept(MANIFESTS))
        if answer.status == httpx.codes.NOT_FOUND:
            return None
        manifest = Manifest(answer.body, answer.headers.get("Content-Type", "").partition(";")[0].strip())
        said = answer.headers.get("Docker-Content-Digest", str(manifest.digest))
        wanted = reference if isinstance(reference, Digest) else _digest(said, answer)
        _compare(wanted, manifest.digest, answer)
        if manifest.media_type not in MANIFESTS:
            raise _not_understood(manifest)
        return manifest

    def config(self, ref: ImageRef) -> Config:
        """The configuration of an image. Raises RegistryError also where the image is not there."""
        manifest = self.manifest(ref.digest)
        if manifest is None:
            raise RegistryError(f"{ref} is not in the registry", hint="build it again, then verify it")
        try:
            document = json.loads(self.blob(manifest.config.digest))
            labels = (document.get("config") or {}).get("Labels") or {}
            return Config(dict(labels), str(document.get("created") or ""), document)
        except (AttributeError, ValueError, TypeError, RecursionError) as error:
            raise _not_understood(manifest) from error

    def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; None where it is not there."""
        answer = self._ask("HEAD", f"/blobs/{digest}", ok=(200, 404))
        return int(answer.headers.get("Content-Length", -1)) if answer.status == httpx.codes.OK else None

    def has_blob(self, digest: Digest) -> bool:
        """Whether the blob is there."""
        return self.blob_size(digest) is not None

    def blob(self, digest: Digest) -> bytes:
        """A small blob, hashed and compared. Raises RegistryError also where it is absent or large."""
        answer = self._ask("GET", f"/blobs/{digest}", ok=(200, 404))
        if answer.status == httpx.codes.NOT_FOUND:
            raise ContentError(f"{self.repository} lacks the blob {digest}", hint="push the image again")
        _compare(digest, Digest.of(answer.body), answer)
        return answer.body

    def stream(self, blob: Descriptor) -> Iterator[bytes]:
        """The bytes of a blob of any size, in pieces; where the connection breaks, from there on once more.

        Nobody hashes them here: compare when all have come. Raises RegistryError.
        """
        at, turn, deadline = 0, 0, time.monotonic() + self.patience
        while True:
            try:
                with self._open(blob.digest, start=at) as pieces:
                    for piece in pieces:
                        at, turn, deadline = at + len(piece), 0, time.monotonic() + self.patience
                        yield piece
            except _BusyError as busy:
                turn += 1
                time.sleep(self._pause(busy, turn, deadline))
            else:
                return

    def tags(self) -> tuple[str, ...]:
        """Every tag of the repository, sorted; none where the repository does not exist."""
        names: set[str] = set()
        for page in self._pages(f"/tags/list?n={MANY}"):
            names.update(str(name) for name in _entries(page, "tags"))
        return tuple(sorted(names))

    def referrers(self, digest: Digest, artifact_type: str) -> tuple[Descriptor, ...]:
        """What was attached to this digest, from the referrers API and from the fallback tag, each once."""
        found: dict[Digest, Descriptor] = {}
        pages = list(self._pages(f"/referrers/{digest}?artifactType={artifact_type.replace('+', '%2B')}"))
        fallback = self.manifest(_fallback(digest))
        for page in (*pages, fallback.document if fallback else {}):
            for value in _entries(page, "manifests"):
                with suppress(AttributeError, KeyError, TypeError, ValueError):
                    descriptor = Descriptor.read(value)
                    if descriptor.artifact_type in ("", artifact_type):
                        found.setdefault(descriptor.digest, descriptor)
        return tuple(found.values())[-MANY:]

    def intact(self, ref: ImageRef) -> bool:
        """Whether the manifest, and every blob that it names in the size that it names, are there."""
        manifest = self.manifest(ref.digest)
        return manifest is not None and not self.missing(manifest)

    def missing(self, manifest: Manifest) -> tuple[Descriptor, ...]:
        """The blobs of a manifest that are absent here, or of another size; asked for in parallel."""
        blobs = manifest.blobs
        with ThreadPoolExecutor(PARALLEL) as pool:
            sizes = list(pool.map(self.blob_size, [blob.digest for blob in blobs]))
        return tuple(blob for blob, size in zip(blobs, sizes, strict=True) if size not in (blob.size, -1))

    # -- writing ----------------------------------------------------------------------------------

    def put_blob(self, body: bytes) -> Descriptor:
        """Store a small blob, unless it is there already; the descriptor has no media type yet."""
        digest = Digest.of(body)

        def upload() -> None:
            if not self.has_blob(digest):
                self._upload(digest, len(body), body)

        self._patiently(upload)
        return Descriptor("application/octet-stream", digest, len(body))

    def mount(self, digest: Digest, source: Repository) -> bool:
        """Take over a blob of another repository of the same registry; False where the registry would not.

        Only a 201 means that the blob is here. A 202 opened an upload instead, which is cancelled.
        """
        if source.host != self.repository.host:
            return False
        answer = self._ask(
            "POST", f"/blobs/uploads/?mount={digest}&from={source.path}", ok=(201, 202), source=source
        )
        if answer.status == httpx.codes.CREATED:
            return True
        self._cancel(self._location(answer))
        return False

    def copy_blob(self, blob: Descriptor, source: Registry) -> None:
        """Stream a blob from another repository or registry, a piece at a time."""

        def copy() -> None:
            if not self.has_blob(blob.digest):
                with source._open(blob.digest) as pieces:
                    self._upload(blob.digest, blob.size, pieces)

        self._patiently(copy)

    def take_blob(self, blob: Descriptor, source: Registry) -> None:
        """Have a blob here that another repository has: already there, else mounted, else copied."""
        if not self.has_blob(blob.digest) and not self.mount(blob.digest, source.repository):
            self.copy_blob(blob, source)

    def take_blobs(self, blobs: Iterable[Descriptor], source: Registry) -> None:
        """Have all these blobs here, in parallel."""
        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(lambda blob: self.take_blob(blob, source), blobs))

    def put_manifest(self, manifest: Manifest, tag: str | None = None) -> Digest:
        """Store a manifest under its digest, or under a tag, which then names it."""
        self._put_manifest(manifest, tag)
        return manifest.digest

    def delete_manifest(self, digest: Digest) -> bool:
        """Remove a manifest, and so every tag that names it; False where it cannot be."""
        return self._ask("DELETE", f"/manifests/{digest}", ok=(202, 404, 405)).status == httpx.codes.ACCEPTED

    def attach(
        self, subject: Descriptor, artifact_type: str, body: bytes, annotations: Mapping[str, str]
    ) -> Digest:
        """Store ``body`` beside its subject, as a referrer; the digest is that of its manifest.

        The subject itself need not be there yet.
        """
        empty, blob = self.put_blob(b"{}"), self.put_blob(body)
        document = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": {**empty.plain, "mediaType": EMPTY},
            "layers": [{**blob.plain, "mediaType": artifact_type}],
            "subject": subject.plain,
            "annotations": dict(annotations),
        }
        return self.put_referrer(Manifest(canonical(document), OCI_MANIFEST))

    def put_referrer(self, manifest: Manifest) -> Digest:
        """Store a manifest that has a subject, so that it is found from there. Its blobs are here already.

        Where the registry does not keep referrers itself, the fallback tag lists them.
        """
        subject = manifest.subject
        if subject is None:
            raise _not_understood(manifest)
        answer = self._put_manifest(manifest, None)
        if "OCI-Subject" not in answer.headers:
            document = manifest.document
            entry = {**manifest.descriptor.plain, "artifactType": document.get("artifactType", "")}
            if document.get("annotations"):
                entry["annotations"] = document["annotations"]
            empty = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}
            self.enlist(_fallback(subject), "manifests", entry, empty)
        return manifest.digest

    def enlist(self, tag: str, member: str, entry: Mapping[str, Any], empty: Mapping[str, Any]) -> None:
        """Add an entry to the list ``member`` of the manifest under a tag, whoever else does so as well.

        A registry cannot compare and swap, so the last writer wins. We write, wait longer than a
        writer takes, and read again, until two readings in a row still have our entry.
        """
        deadline = time.monotonic() + self.patience
        seen, wrote = 0, False
        while time.monotonic() < deadline:
            began = time.monotonic()
            current = self.manifest(tag)
            document = current.document if current else empty
            entries = _entries(document, member)
            if any(isinstance(one, dict) and one.get("digest") == entry["digest"] for one in entries):
                seen += 1
                if seen > wrote:
                    return
            else:
                seen, wrote = 0, True
                media_type = current.media_type if current else str(empty["mediaType"])
                body = canonical({**document, member: [*entries, dict(entry)]})
                self.put_manifest(Manifest(body, media_type), tag)
            took = time.monotonic() - began
            time.sleep(max(0.05, 4 * took) * random.uniform(0.5, 1.5))  # noqa: S311 - jitter is no secret
        raise RegistryError(
            f"{self.repository}:{tag}: our entry {entry['digest']} did not stay in the list for"
            f" {self.patience:.0f} s",
            hint="others write there at the same time; run the same command again",
        )

    # -- one request ------------------------------------------------------------------------------

    def _ask(
        self,
        method: str,
        path: str,
        *,
        ok: tuple[int, ...],
        headers: Mapping[str, str] | None = None,
        source: Repository | None = None,
    ) -> Answer:
        """One answer with one of the expected statuses, after as much patience as it takes."""

        def once() -> Answer:
            return self._once(method, f"{self._root}{path}", ok, headers=headers, source=source)

        return self._patiently(once)

    def _patiently(self, operation: Callable[[], T]) -> T:
        """Repeat an operation while the registry is busy or away, for at most our patience."""
        deadline = time.monotonic() + self.patience
        for turn in count(1):
            try:
                return operation()
            except _BusyError as busy:
                time.sleep(self._pause(busy, turn, deadline))
        raise AssertionError("count() ended")

    @staticmethod
    def _pause(busy: _BusyError, turn: int, deadline: float) -> float:
        """Seconds to wait before the next turn. Raises RegistryError where there is none."""
        growing = min(8.0, 0.1 * 2 ** min(turn, 10)) * random.uniform(0.5, 1)  # noqa: S311 - jitter
        pause: float = growing if busy.after is None else busy.after + growing / 10
        if turn >= busy.tries or time.monotonic() + pause > deadline:
            raise RegistryError(busy.what, hint=busy.hint) from busy
        return pause

    def _once(
        self,
        method: str,
        url: str | httpx.URL,
        ok: tuple[int, ...],
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        source: Repository | None = None,
    ) -> Answer:
        """One answer, with at most one renewal of our authorization."""
        scope = f"{self.repository.path} {source.path if source else ''}"
        answer = self._send(method, url, {**self._authorization(url, scope), **(headers or {})}, content)
        if answer.status == httpx.codes.UNAUTHORIZED:
            self._connections.granted[scope] = self._authorize(answer, source)
            if content is not None and not isinstance(content, bytes):
                raise _BusyError(answer.complaint, hint=LOG_IN.format(host=self.repository.host), tries=2)
            answer = self._send(method, url, {**self._authorization(url, scope), **(headers or {})}, content)
        if answer.status in ok:
            return answer
        raise self._trouble(answer)

    def _send(
        self,
        method: str,
        url: str | httpx.URL,
        headers: Mapping[str, str],
        content: bytes | Iterator[bytes] | None,
    ) -> Answer:
        try:
            with self._connections.client.stream(method, url, headers=headers, content=content) as response:
                body = bytearray()
                for piece in response.iter_bytes():
                    body += piece
                    if len(body) > SMALL:
                        raise ContentError(
                            f"{method} {response.url.host}{response.url.path}: more than {SMALL} bytes",
                            hint="this is no manifest or record; name another repository with --repository",
                        )
                return Answer(method, response.url, response.status_code, response.headers, bytes(body))
        except httpx.TransportError as error:
            raise self._unreachable(error) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise RegistryError(f"{self.repository.host}: {error}", hint=ELSEWHERE) from error

    def _unreachable(self, error: httpx.TransportError) -> Exception:
        what = f"{self.repository.host} does not answer: {error or type(error).__name__}"
        if "CERTIFICATE_VERIFY_FAILED" in what:
            return RegistryError(what, hint="name your certificate authority's file in SSL_CERT_FILE")
        return _BusyError(what)

    def _trouble(self, answer: Answer) -> Exception:
        """What an unexpected status means."""
        status, what = answer.status, answer.complaint
        if answer.is_full:
            return RegistryError(f"{what}: its disk is full", hint=NO_ROOM)
        if status == httpx.codes.TOO_MANY_REQUESTS or status >= httpx.codes.INTERNAL_SERVER_ERROR:
            return _BusyError(what, after=_seconds(answer.headers.get("Retry-After")))
        if status in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
            return RegistryError(what, hint=LOG_IN.format(host=self.repository.host))
        if status == httpx.codes.METHOD_NOT_ALLOWED:
            return RegistryError(what, hint=READ_ONLY)
        return RegistryError(what, hint=ELSEWHERE)

    def _pages(self, path: str) -> Iterator[dict[str, Any]]:
        """The JSON of each page of a list; nothing where the registry knows no such list."""
        url: httpx.URL | None = httpx.URL(f"{self._root}{path}")
        for _ in range(MANY):
            if url is None:
                return
            at = url
            answer = self._patiently(
                lambda at=at: self._once("GET", at, (200, 400, 404, 405, 501))  # type: ignore[misc]
            )
            if answer.status != httpx.codes.OK:
                return
            try:
                page = json.loads(answer.body)
            except (ValueError, RecursionError):
                page = None
            if not isinstance(page, dict):
                raise RegistryError(f"{answer.complaint} with no JSON object", hint=ELSEWHERE)
            yield page
            following = re.search(r'<([^>]+)>\s*;\s*rel="?next"?', answer.headers.get("Link", ""))
            url = answer.url.join(following[1]) if following else None

    # -- uploads ----------------------------------------------------------------------------------

    def _upload(self, digest: Digest, size: int, content: bytes | Iterator[bytes]) -> None:
        """One whole blob in one PUT; an upload that fails is cancelled, so that it leaves nothing."""
        at = self._location(self._once("POST", f"{self._root}/blobs/uploads/", (202,)))
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        try:
            answer = self._once(
                "PUT",
                at.copy_merge_params({"digest": str(digest)}),
                (201, 400, 404, 416),
                headers=headers,
                content=content,
            )
        except BaseException:
            self._cancel(at)
            raise
        if answer.status != httpx.codes.CREATED:
            # Two uploads of one small blob at once, or a registry that was restarted, answer this
            # way though nothing is wrong with the bytes.
            self._cancel(at)
            raise _BusyError(answer.complaint, tries=4)

    def _location(self, answer: Answer) -> httpx.URL:
        try:
            return answer.url.join(answer.headers["Location"])
        except (KeyError, httpx.InvalidURL) as error:
            raise RegistryError(f"{answer.complaint} but not where to upload to", hint=ELSEWHERE) from error

    def _cancel(self, upload: httpx.URL) -> None:
        with suppress(RegistryError, _BusyError):
            self._once("DELETE", upload, (202, 204, 404))

    @contextmanager
    def _open(self, digest: Digest, *, start: int = 0) -> Iterator[Iterator[bytes]]:
        """A large blob from this byte on, in pieces, while the block lasts; nobody hashes it here."""
        url = f"{self._root}/blobs/{digest}"
        self._once("HEAD", url, (200,))  # renews our authorization where that is needed
        headers = self._authorization(url, f"{self.repository.path} ")
        expected = httpx.codes.OK
        if start:
            headers["Range"] = f"bytes={start}-"
            expected = httpx.codes.PARTIAL_CONTENT
        try:
            with self._connections.client.stream("GET", url, headers=headers) as response:
                if response.status_code != expected:
                    raise self._trouble(
                        Answer("GET", response.url, response.status_code, response.headers, b"")
                    )
                yield response.iter_raw(PIECE)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _put_manifest(self, manifest: Manifest, tag: str | None) -> Answer:
        path = f"/manifests/{tag or manifest.digest}"
        headers = {"Content-Type": manifest.media_type}

        def put() -> Answer:
            answer = self._once(
                "PUT", f"{self._root}{path}", (201, 400, 404), headers=headers, content=manifest.body
            )
            if answer.status != httpx.codes.CREATED:
                raise self._doubtful(answer, manifest)
            return answer

        answer = self._patiently(put)
        said = answer.headers.get("Docker-Content-Digest", str(manifest.digest))
        _compare(manifest.digest, _digest(said, answer), answer)
        return answer

    def _doubtful(self, answer: Answer, manifest: Manifest) -> Exception:
        """A registry under load denies blobs that it has: look for them before it is believed."""
        absent = () if manifest.media_type in INDEXES else self.missing(manifest)
        if absent:
            names = ", ".join(str(blob.digest) for blob in absent)
            return RegistryError(f"{answer.complaint}; absent: {names}", hint="push the image again")
        return _BusyError(answer.complaint, tries=4)

    # -- who we are -------------------------------------------------------------------------------

    def _authorization(self, url: str | httpx.URL, scope: str) -> dict[str, str]:
        """Our authorization, for this registry's own host alone: an upload may lead elsewhere."""
        granted = self._connections.granted.get(scope)
        ours = httpx.URL(url).netloc == httpx.URL(self._root).netloc
        return {"Authorization": granted} if granted and ours else {}

    def _authorize(self, answer: Answer, source: Repository | None) -> str:
        """What to say in Authorization, by what the registry asks for and what Docker's own login knows."""
        challenge = answer.headers.get("WWW-Authenticate", "")
        kind, _, rest = challenge.partition(" ")
        name, secret, identity = self._credentials()
        basic = {"Authorization": f"Basic {b64encode(f'{name}:{secret}'.encode()).decode()}"} if name else {}
        if kind.lower() == "basic" and basic:
            return basic["Authorization"]
        if kind.lower() != "bearer":
            raise RegistryError(answer.complaint, hint=LOG_IN.format(host=self.repository.host))
        asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
        realm = httpx.URL(asked.get("realm", ""))
        if realm.scheme != "https" and not self.repository.is_loopback:
            raise RegistryError(
                f"{self.repository.host} sends our login to {realm}, which is not https",
                hint="name another registry with --repository",
            )
        scopes = [asked.get("scope", f"repository:{self.repository.path}:pull")]
        if source:
            scopes.append(f"repository:{source.path}:pull")
        return f"Bearer {self._token(realm, asked.get('service', ''), scopes, basic, identity)}"

    def _token(
        self, realm: httpx.URL, service: str, scopes: list[str], basic: Mapping[str, str], identity: str
    ) -> str:
        """A token of the registry's own token service, which may be another host."""
        if identity:
            form = {
                "grant_type": "refresh_token",
                "service": service,
                "client_id": PROJECT,
                "scope": " ".join(scopes),
                "refresh_token": identity,
            }
            body = str(httpx.QueryParams(form)).encode()
            answer = self._send("POST", realm, {"Content-Type": "application/x-www-form-urlencoded"}, body)
        else:
            for scope in scopes:
                realm = realm.copy_add_param("scope", scope)
            answer = self._send("GET", realm.copy_set_param("service", service), basic, None)
        try:
            if answer.status != httpx.codes.OK:
                raise self._trouble(answer)
            said = json.loads(answer.body)
            return str(said.get("token") or said["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise RegistryError(f"{answer.complaint} without a token", hint=ELSEWHERE) from error

    def _credentials(self) -> tuple[str, str, str]:
        """User, password and identity token that `docker login` stored for this host, or nothing."""
        import docker.auth  # noqa: PLC0415 - a seventh of a second that only a private registry costs
        import docker.errors  # noqa: PLC0415

        try:
            known = docker.auth.load_config().resolve_authconfig(self.repository.host) or {}
        except docker.errors.DockerException as error:
            raise RegistryError(
                f"{self.repository.host}: Docker's credential helper failed: {error}",
                hint=LOG_IN.format(host=self.repository.host),
            ) from error
        lower = {str(name).lower(): str(value or "") for name, value in known.items()}
        return lower.get("username", ""), lower.get("password", ""), lower.get("identitytoken", "")


def _accept(media_types: Iterable[str]) -> dict[str, str]:
    return {"Accept": ", ".join(media_types)}


def _fallback(digest: Digest) -> str:
    """The tag under which referrers are listed where the registry does not keep them itself."""
    return f"sha256-{digest.hex}"


def _entries(document: Mapping[str, Any], member: str) -> list[Any]:
    """A list in a document of a stranger; empty where there is none."""
    value = document.get(member)
    return list(value) if isinstance(value, list) else []


def _seconds(header: str | None) -> float | None:
    """What Retry-After says, where it says seconds."""
    return float(header) if header and header.strip().isdigit() else None


def _digest(text: str, answer: Answer) -> Digest:
    try:
        return Digest(text)
    except ValueError as error:
        raise RegistryError(f"{answer.complaint} with the digest {text[:80]!r}", hint=ELSEWHERE) from error


def _compare(wanted: Digest, seen: Digest, answer: Answer) -> None:
    if wanted != seen:
        raise ContentError(
            f"{answer.complaint} with other bytes: expected {wanted}, got {seen}",
            hint="the registry or something before it changed them; do not use it until that is explained",
        )


def _not_understood(manifest: Manifest) -> ContentError:
    return ContentError(
        f"{manifest.digest} ({manifest.media_type or 'no media type'}) is no manifest that we understand",
        hint="push it again, or name another repository with --repository",
    )
