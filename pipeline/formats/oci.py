"""What a registry holds: manifests, and the descriptors in them.

Anybody may have written them, so reading one raises :class:`ContentError` where it is not what it should be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from pipeline.model import Digest, shown
from pipeline.model.errors import RegistryError

if TYPE_CHECKING:
    from collections.abc import Mapping

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
EMPTY = "application/vnd.oci.empty.v1+json"
INDEXES = (OCI_INDEX, DOCKER_INDEX)
MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST, *INDEXES)

MAX_DOCUMENT_BYTES = 4 << 20
"""Of a manifest, and of a blob that is read whole: what registries accept for a manifest."""


class ContentError(RegistryError):
    """What the registry holds is not what it should be; anyone with access may have put it there."""


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
            raise ValueError(f"{shown(size)} is no size")
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
        value = object_in(self.body)
        if value is None or value.get("mediaType", self.media_type) != self.media_type:
            raise not_understood(self)
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
                f"{self.digest} is an index of several images ({shown(self.media_type)}), not one image",
                hint="name one platform's manifest by digest; an index changes with every build",
            )
        return self.document

    def _descriptors(self, values: Any) -> tuple[Descriptor, ...]:
        try:
            return tuple(Descriptor.read(value) for value in values)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise not_understood(self) from error


def object_in(body: bytes) -> dict[str, Any] | None:
    """The JSON object that these bytes are; None where they are none, or hold text that is no Unicode."""
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def not_understood(manifest: Manifest) -> ContentError:
    """The error for a manifest that is none."""
    return ContentError(
        f"{manifest.digest} ({shown(manifest.media_type) or 'no media type'})"
        " is no manifest that we understand",
        hint="push it again, or name another repository with --repository",
    )


def entries_of(document: Mapping[str, Any], member: str) -> list[Any]:
    """A list in an untrusted document; empty where there is none."""
    value = document.get(member)
    return list(value) if isinstance(value, list) else []
