"""What refers to a manifest: the attestations of an image, among others.

A registry either keeps referrers itself, or they are listed under a fallback tag that all writers share.
A shared list is only for others to read: a writer that puts an older list a little later takes entries out
of it. So each referrer also gets a tag of its own, which no one else writes, and the list is made of those.
"""

from __future__ import annotations

import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.adapters.registry.transport import PARALLEL
from pipeline.formats.oci import (
    EMPTY,
    INDEXES,
    OCI_INDEX,
    OCI_MANIFEST,
    ContentError,
    Descriptor,
    Manifest,
    entries_of,
    not_understood,
)
from pipeline.model import Digest, canonical
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.adapters.places import Readable
    from pipeline.adapters.registry.contents import Contents
    from pipeline.model import Repository

_EMPTY_INDEX = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}

MAX_REFERRERS = 1000
"""Of one image."""

MAX_ROUNDS = 50
"""How often a list that others overwrite is written again."""

ABSENT_SECONDS = 0.1
"""Of pause before a list that was not there is looked for once more."""

MAX_REPAIRED_REFERRERS = 100_000
"""Referrers that a repair reads, where there are more than ``MAX_REFERRERS``."""


@dataclass(frozen=True)
class SharedList:
    """The manifest under a tag that many writers add entries to: ``entries`` of its list ``member``.

    ``obstacle`` says what the tag names instead, where that is no such list; ``exists`` whether
    anything does.
    """

    tag: str
    member: str
    document: Mapping[str, Any]
    media_type: str
    obstacle: str = ""
    exists: bool = True

    @property
    def entries(self) -> list[Any]:
        """The entries as they stand there; none where there is no list."""
        return entries_of(self.document, self.member)

    @property
    def digests(self) -> set[str]:
        """The digests that the entries name."""
        return {str(entry.get("digest")) for entry in self.entries if isinstance(entry, dict)}


@dataclass(frozen=True)
class Referrers:
    """What refers to a manifest, each once.

    ``unlisted`` are those among them that only their own tags show; ``broken`` says of each other tag of that
    form what is wrong with it.
    """

    descriptors: tuple[Descriptor, ...]
    unlisted: tuple[Manifest, ...]
    broken: tuple[str, ...]
    fallback: SharedList


def attach(
    registry: Contents,
    subject: Descriptor,
    artifact_type: str,
    body: bytes,
    annotations: Mapping[str, str],
) -> Digest:
    """Store ``body`` as a referrer of its subject; returns the digest of its manifest.

    The subject itself need not be there yet.
    """
    empty, blob = registry.put_blob(b"{}"), registry.put_blob(body)
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": {**empty.plain, "mediaType": EMPTY},
        "layers": [{**blob.plain, "mediaType": artifact_type}],
        "subject": subject.plain,
        "annotations": dict(annotations),
    }
    return put(registry, Manifest(canonical(document), OCI_MANIFEST))


def put(registry: Contents, manifest: Manifest) -> Digest:
    """Store a manifest that has a subject, so that it is found from there. Its blobs are here already.

    Where the registry does not keep referrers itself, the manifest gets a tag of its own, and the fallback
    tag lists it for others.
    """
    subject = manifest.subject
    if subject is None:
        raise not_understood(manifest)
    if "OCI-Subject" not in registry.store(manifest).headers:
        registry.store(manifest, own_tag(subject, manifest.digest))
        complete_fallback(registry, subject, str(manifest.document.get("artifactType", "")))
    return manifest.digest


def referrers_of(
    registry: Contents, subject: Digest, artifact_type: str, *, max_count: int = MAX_REFERRERS
) -> Referrers:
    """What refers to this digest: by the referrers API, by the fallback tag, and by tags of its own.

    Raises RegistryError where there are more than ``max_count``: their order is chosen by those who may write
    there, so a part of them would say what such a writer likes.
    """
    descriptors: dict[Digest, Descriptor] = {}
    pages = registry.pages(f"/referrers/{subject}?artifactType={artifact_type.replace('+', '%2B')}")
    fallback = read_list(registry, fallback_tag(subject), "manifests", _EMPTY_INDEX)
    for page in (*pages, fallback.document):
        for value in entries_of(page, "manifests"):
            with suppress(AttributeError, KeyError, TypeError, ValueError):
                descriptor = Descriptor.read(value)
                if descriptor.artifact_type in ("", artifact_type):
                    descriptors.setdefault(descriptor.digest, descriptor)
    listed = {digest.hex[:OWN_TAG_DIGITS] for digest in descriptors}
    own = [
        tag
        for tag in registry.tags(own_tags(subject))
        if is_own_tag(tag, subject) and tag.rpartition(".")[2] not in listed
    ]
    refuse_more(registry.repository, subject, len(descriptors) + len(own), max_count)
    unlisted, broken = _shown_by(registry, subject, own, artifact_type)
    tagged = tuple(manifest.descriptor for manifest in unlisted)
    return Referrers((*descriptors.values(), *tagged), unlisted, broken, fallback)


def complete_fallback(registry: Contents, subject: Digest, artifact_type: str) -> None:
    """Have the fallback tag list every referrer that its own tag shows, while others write there too.

    Raises ContentError where the fallback tag names something else: it is not ours to overwrite.
    """

    def look() -> tuple[SharedList, list[dict[str, Any]]]:
        referrers = referrers_of(registry, subject, artifact_type)
        return referrers.fallback, [_entry(manifest) for manifest in referrers.unlisted]

    complete_list(registry, subject, look)


def complete_list(
    registry: Contents, subject: Digest, look: Callable[[], tuple[SharedList, list[dict[str, Any]]]]
) -> None:
    """Add to a shared list what it lacks, until a look after our last write shows that it lacks nothing.

    So the writer whose write lands last always sees what it overwrote. ``look`` reads the list, and the
    entries that it lacks. Raises ContentError where its tag names no such list, RegistryError where
    others go on overwriting us.
    """
    for turn in range(MAX_ROUNDS):
        current, lacking = look()
        if current.obstacle:
            raise obstructed(registry, subject, current)
        if not lacking:
            return
        if not turn and not current.exists:
            time.sleep(ABSENT_SECONDS)  # a list that is there and was not seen would lose what others entered
            continue
        entries = [*_alive(registry, current), *lacking]
        body = canonical({**current.document, current.member: entries})
        registry.put_manifest(Manifest(body, current.media_type), current.tag)
        time.sleep(random.uniform(0.01, 0.1))  # noqa: S311 - jitter is no secret
    raise RegistryError(
        f"{registry.repository}:{current.tag}: others go on overwriting this list",
        hint="wait until they have ended, then run the same command again",
    )


def _alive(registry: Contents, current: SharedList) -> list[Any]:
    """The entries whose manifest or blob is there: a registry takes no list that names what it lacks."""
    is_there = registry.has_manifest if current.member == "manifests" else registry.has_blob

    def look(entry: Any) -> bool:
        with suppress(AttributeError, KeyError, TypeError, ValueError):
            return is_there(Descriptor.read(entry).digest)
        return True  # it cannot be told what it is: it is not ours to leave out

    with ThreadPoolExecutor(PARALLEL) as pool:
        alive = list(pool.map(look, current.entries))
    return [entry for entry, is_alive in zip(current.entries, alive, strict=True) if is_alive]


def read_list(registry: Contents | Readable, tag: str, member: str, empty: Mapping[str, Any]) -> SharedList:
    """The list under a tag that all writers share; ``empty`` where nothing is there."""
    media_type = str(empty["mediaType"])
    try:
        manifest = registry.manifest(tag)
        if manifest is None:
            return SharedList(tag, member, empty, media_type, exists=False)
        document = manifest.document
        canonical(document)
    except ContentError as error:
        return SharedList(tag, member, empty, media_type, error.what)
    except ValueError:
        return SharedList(tag, member, empty, media_type, "a manifest with text that is no Unicode")
    is_list = isinstance(document.get(member), list)
    if not is_list or (manifest.media_type in INDEXES) is not (media_type in INDEXES):
        return SharedList(tag, member, empty, media_type, f"{manifest.digest}, a {manifest.media_type}")
    return SharedList(tag, member, document, manifest.media_type)


def obstructed(registry: Contents | Readable, subject: Digest, shared: SharedList) -> ContentError:
    """The error for a tag that should name a list, and names something else."""
    return ContentError(
        f"{registry.repository}:{shared.tag} should list what was signed of {subject}, and holds"
        f" something else: {shared.obstacle}",
        hint=f"python -m pipeline repair {registry.repository}@{subject}",
    )


OWN_TAG_DIGITS = 32
"""Hex digits of a referrer in its own tag: a tag has at most 128 characters, and two digests do not fit."""


def fallback_tag(subject: Digest) -> str:
    """The tag under which referrers are listed where the registry does not keep them itself."""
    return f"sha256-{subject.hex}"


def own_tags(subject: Digest) -> str:
    """How the tags of a digest's referrers begin."""
    return f"{fallback_tag(subject)}."


def own_tag(subject: Digest, referrer: Digest) -> str:
    """The tag of one referrer alone."""
    return f"{own_tags(subject)}{referrer.hex[:OWN_TAG_DIGITS]}"


def is_own_tag(tag: str, subject: Digest) -> bool:
    """Whether a tag has the form of one of this digest's referrers."""
    return re.fullmatch(re.escape(own_tags(subject)) + f"[0-9a-f]{{{OWN_TAG_DIGITS}}}", tag) is not None


def _entry(manifest: Manifest) -> dict[str, Any]:
    """How the fallback list names a referrer."""
    document = manifest.document
    entry = {**manifest.descriptor.plain, "artifactType": document.get("artifactType", "")}
    if document.get("annotations"):
        entry["annotations"] = document["annotations"]
    return entry


def _shown_by(
    registry: Contents, subject: Digest, tags: list[str], artifact_type: str
) -> tuple[tuple[Manifest, ...], tuple[str, ...]]:
    """The referrers of this type behind tags of their own, and what is wrong with the other tags."""

    def look(tag: str) -> Manifest | str | None:
        name = f"{registry.repository}:{tag}"
        try:
            manifest = registry.manifest(tag)
            if manifest is None:
                return None
            if own_tag(subject, manifest.digest) != tag:
                return f"{name} names another manifest, {manifest.digest}"
            kind = manifest.document.get("artifactType")
        except ContentError as error:
            return f"{name} cannot be read: {error.what}"
        return manifest if kind == artifact_type else None

    with ThreadPoolExecutor(PARALLEL) as pool:
        shown = list(pool.map(look, tags))
    manifests = tuple(manifest for manifest in shown if isinstance(manifest, Manifest))
    return manifests, tuple(fault for fault in shown if isinstance(fault, str))


def refuse_more(repository: Repository, subject: Digest, count: int, max_count: int) -> None:
    """Raise RegistryError where more refers to a manifest than is read."""
    if count > max_count:
        raise RegistryError(
            f"{repository}: {count} things refer to {subject}; more than {max_count} are not read",
            hint=f"python -m pipeline repair {repository}@{subject} removes what nobody trusts",
        )
