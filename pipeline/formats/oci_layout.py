"""What an OCI image layout lists: the manifests in a folder, and the tags by which some are found.

Source: the OCI image specification, image-layout.md. Anybody may have written one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

from pipeline.formats.oci import OCI_INDEX, Descriptor, entries_of, object_in
from pipeline.model import PROJECT, canonical

if TYPE_CHECKING:
    from pipeline.model import Digest

MARK, INDEX, BLOBS = "oci-layout", "index.json", "blobs/sha256"
"""The file by which a folder is a layout, the one that lists what is in it, and the folder of all else."""

VERSION = "1.0.0"

REF_NAME = "org.opencontainers.image.ref.name"
"""The annotation that holds the tag of an entry."""

REPOSITORY = f"{PROJECT}.repository"
"""The annotation of the index that says which repository all of it was taken from."""


@dataclass(frozen=True)
class LayoutIndex:
    """The entries of a layout, one for each tag and one for each manifest without any.

    ``repository`` is where they were taken from, as the layout says; empty where it does not.
    """

    entries: tuple[Descriptor, ...] = ()
    repository: str = ""

    @classmethod
    def read(cls, body: bytes) -> Self:
        """From the bytes of index.json. Raises ValueError where they list nothing that could be read."""
        document = object_in(body)
        if document is None or not isinstance(document.get("manifests"), list):
            raise ValueError("it lists no manifests")
        notes = document.get("annotations")
        name = notes.get(REPOSITORY, "") if isinstance(notes, dict) else ""
        try:
            entries = tuple(Descriptor.read(entry) for entry in entries_of(document, "manifests"))
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError("one of its entries is no descriptor") from error
        return cls(entries, str(name))

    @property
    def body(self) -> bytes:
        """The bytes of index.json."""
        return canonical(
            {
                "schemaVersion": 2,
                "mediaType": OCI_INDEX,
                "manifests": [entry.plain for entry in self.entries],
                "annotations": {REPOSITORY: self.repository},
            }
        )

    @cached_property
    def tags(self) -> dict[str, Descriptor]:
        """What each tag names; of two entries with one tag the first, as skopeo has it."""
        named: dict[str, Descriptor] = {}
        for entry in self.entries:
            if tag := tag_of(entry):
                named.setdefault(tag, entry)
        return named

    def entered(self, manifest: Descriptor, tag: str = "") -> Self:
        """The same with a manifest, under a tag that then names nothing else; what it named stays listed."""
        notes = ((REF_NAME, tag),) if tag else ()
        left = [replace(entry, annotations=()) if tag_of(entry) == tag else entry for entry in self.entries]
        listed = dict.fromkeys((*left, replace(manifest, annotations=notes)))
        tagged = {entry.digest for entry in listed if tag_of(entry)}
        entries = (entry for entry in listed if tag_of(entry) or entry.digest not in tagged)
        return replace(self, entries=tuple(sorted(entries, key=_order)))


def _order(entry: Descriptor) -> tuple[bool, str, Digest]:
    """Tags first, by name: so the same content has the same bytes."""
    return not tag_of(entry), tag_of(entry), entry.digest


def tag_of(entry: Descriptor) -> str:
    """The tag of an entry; nothing where it has none."""
    return dict(entry.annotations).get(REF_NAME, "")
