"""Documents of other people's types that are signed beside an image, and what they are made of.

They say what an image is made of and how, what the gate decided of it, and which weaknesses it is said not to
have. No gate reads them: they approve nothing and refuse nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from pipeline.model.references import Digest
from pipeline.model.statements import Links

if TYPE_CHECKING:
    from pipeline.model.cells import Spec
    from pipeline.model.locks import Image, Lock, Pin
    from pipeline.model.references import ImageRef, Repository


class DocumentKind(StrEnum):
    """What a document is; the words are those that users type."""

    PROVENANCE = "provenance"
    CYCLONEDX = "cyclonedx"
    SPDX = "spdx"
    SUMMARY = "summary"
    VEX = "vex"

    @property
    def predicate(self) -> str:
        """The type of its predicate, as cosign and others ask for it."""
        return _PREDICATES[self]


_PREDICATES = {
    DocumentKind.PROVENANCE: "https://slsa.dev/provenance/v1",
    DocumentKind.CYCLONEDX: "https://cyclonedx.org/bom",
    DocumentKind.SPDX: "https://spdx.dev/Document",
    DocumentKind.SUMMARY: "https://slsa.dev/verification_summary/v1",
    DocumentKind.VEX: "https://openvex.dev/ns",
}

BILLS = (DocumentKind.CYCLONEDX, DocumentKind.SPDX)
"""The kinds of a bill of materials (SBOM)."""


@dataclass(frozen=True)
class Document:
    """A document about one image; ``text`` is its canonical JSON, ``created`` when it says it was made."""

    kind: DocumentKind
    digest: str
    created: str
    text: str


@dataclass(frozen=True)
class Documented:
    """A document whose signature held, who signed it, and the digest of the manifest that carries it.

    It names no statement and none names it: its type leaves no room for that, and nothing depends on it.
    """

    document: Document
    signer: str
    manifest: Digest
    links: Links = field(default=Links(), init=False)

    @property
    def day(self) -> str:
        """The day on which it was made, as its signer says: "2026-11-20"."""
        return self.document.created[:10]

    @property
    def subject(self) -> Digest:
        """The image that it is about."""
        return Digest(self.document.digest)

    @property
    def order(self) -> tuple[str, Digest]:
        """What orders documents of one kind; for two of one age what everybody agrees on."""
        return self.document.created, self.manifest


# -- a bill of materials ------------------------------------------------------------------------------


class PackageKind(StrEnum):
    """Who manages a package."""

    PYTHON = "python"
    DEBIAN = "debian"


@dataclass(frozen=True)
class Licence:
    """What a package says of its licence: an SPDX expression, or whatever else it calls it."""

    text: str
    is_expression: bool


@dataclass(frozen=True)
class Package:
    """A package of an image. ``found_in`` are the folders of a Python distribution's metadata.

    ``source`` and ``source_version`` are of the source that a Debian package was built from; ``wheel`` is the
    one that a Python distribution was installed from, where a lock tells.
    """

    kind: PackageKind
    name: str
    version: str
    licence: Licence | None = None
    found_in: tuple[str, ...] = ()
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    wheel: Pin | None = None


@dataclass(frozen=True)
class Bill:
    """What an image is made of: the one inventory that every bill of materials is written from.

    ``image`` is its reference or path, ``digest`` empty where it has none; ``system`` are the ID and the
    VERSION_ID of its os-release. ``unread`` says in a sentence each what is there and not in it.
    """

    image: str
    digest: str
    created: str
    packages: tuple[Package, ...]
    system: tuple[str, str] = ("", "")
    unread: tuple[str, ...] = ()


# -- provenance ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Revision:
    """A commit of git, and whether the files of the checkout are others than its."""

    commit: str
    is_dirty: bool


@dataclass(frozen=True)
class Built:
    """One build of an image, as who did it knows it.

    ``recipe`` is the digest of all that the recipe says for this cell, ``tool`` the wheel of what installs,
    ``source`` the revision of the matrix's checkout, if it is one. ``run`` is the run that built it,
    ``started`` and ``finished`` are RFC 3339.
    """

    spec: Spec
    lock: Lock
    image: Image
    base: ImageRef
    recipe: str
    tool: Pin
    repository: Repository
    run: str
    started: str
    finished: str
    source: Revision | None = None
