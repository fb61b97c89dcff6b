"""What was read inside one wheel, and how that and the page's own words become a row of the facts."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from email.parser import BytesHeaderParser
from typing import TYPE_CHECKING, Any, Self

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from pipeline.compat.rows import Artefact
from pipeline.formats.elf import version_needs
from pipeline.model import shown
from pipeline.model.errors import FactsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pipeline.adapters.package_index import RemoteWheel
    from pipeline.formats.elf.version_needs import Needs
    from pipeline.stages.refresh.releases import Offer

_DECIDING = re.compile(
    r"torch|torchvision|torchaudio|torchcodec|triton|pytorch-triton|transformers|xformers|numpy"
    r"|(flashinfer|nvidia|cuda|vllm)-.+"
)
"""Packages whose version decides whether a stack fits together: the pins that a row keeps."""

_SMALL = 256 * 1024
"""A shared object that takes up no more bytes than this in a wheel is read as a whole."""

_HEAD = 3_000_000
"""Bytes of a larger one, unpacked, that are looked at for its version needs."""

_LARGE = 32 * 1024 * 1024
"""Where its head does not tell, it is read as a whole unless it is larger than this: it may be damaged."""

METADATA = "METADATA"


@dataclass(frozen=True)
class Reading:
    """The facts of an artefact that stand in its row and not on the index's page; see Artefact."""

    size: int
    cuda: str | None = None
    archs: tuple[str, ...] | None = None
    pythons_built: tuple[str, ...] | None = None
    glibc_seen: str | None = None
    needs: tuple[str, ...] | None = None
    pins: tuple[str, ...] = ()
    max_gcc: int | None = None
    damaged: str | None = None
    read_from: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, row: Artefact) -> Self:
        """What was read when this row was made."""
        return cls(**{field.name: getattr(row, field.name) for field in fields(cls)})

    def plain(self) -> dict[str, Any]:
        """Its JSON values."""
        return asdict(self)

    def row(self, offer: Offer, pythons: tuple[str, ...], released: str | None) -> Artefact:
        """The row of the facts that this reading and the page make up together."""
        return Artefact(
            package=offer.project,
            version=str(offer.version),
            machine=offer.machine,
            file=offer.file.name,
            sha256=offer.file.sha256,
            released=released,
            yanked=offer.yanked,
            pythons=pythons,
            glibc=offer.glibc,
            **{field.name: getattr(self, field.name) for field in fields(self)},
        )


def pins(wheel: RemoteWheel, offer: Offer) -> tuple[str, ...]:
    """The deciding requirements of a wheel. Raises FactsError where it is not the package of its name."""
    member = dist_info(wheel, METADATA)
    metadata = BytesHeaderParser().parsebytes(wheel.read(member))
    name, version = str(metadata.get("Name", "")), str(metadata.get("Version", "0"))
    if canonicalize_name(name) != offer.project or Version(version).public != str(offer.version):
        raise FactsError(
            f"{wheel.file.shown}: its METADATA says that it is {shown(name)} {shown(version)}",
            hint="the index serves another file than it lists: ask whoever runs it",
        )
    requirements = [Requirement(str(text)) for text in metadata.get_all("Requires-Dist", ())]
    return tuple(
        str(requirement)
        for requirement in requirements
        if _DECIDING.fullmatch(canonicalize_name(requirement.name))
        and "extra" not in str(requirement.marker or "")
    )


def dist_info(wheel: RemoteWheel, name: str) -> str:
    """The member of this name in the wheel's dist-info folder."""
    ending = f".dist-info/{name}"
    members = (member for member in wheel.members if member.endswith(ending) and member.count("/") == 1)
    return next(members, ending)


def inside(wheel: RemoteWheel, members: Iterable[str]) -> dict[str, Needs]:
    """What these shared objects need, by member; those that were read in part are marked as heads.

    Raises FactsError where a member is no shared object, DamagedError where it cannot be unpacked.
    """
    needs_by_member = {}
    for member in members:
        size = wheel.members[member]
        try:
            if size > _SMALL and (needs := version_needs.of_head(wheel.head(member), _HEAD)):
                needs_by_member[f"{member} (its head)"] = needs
            elif size <= _LARGE:
                needs_by_member[member] = version_needs.of_whole(wheel.read(member))
        except ValueError as error:
            raise FactsError(f"{wheel.file.name}: {member}: {error}", hint="the wheel is damaged") from error
    return needs_by_member


def glibc(needs_by_member: Mapping[str, Needs]) -> tuple[str | None, str | None]:
    """The newest version of glibc's symbols among these, such as ``2.17``, and the member that needs it."""
    versions = [
        (Version(version.removeprefix("GLIBC_")), member)
        for member, needs in needs_by_member.items()
        for version in needs.versions
        if re.fullmatch(r"GLIBC_[0-9.]+", version)
    ]
    newest, member = max(versions, key=lambda pair: pair[0], default=(None, None))
    return (str(newest), f"{member}; a lower bound") if newest else (None, None)


def libraries(wheel: RemoteWheel, needs_by_member: Mapping[str, Needs]) -> tuple[str, ...] | None:
    """The libraries among these needs that the wheel does not bring; None where no member told its needs."""
    if not needs_by_member:
        return None
    own = {member.rpartition("/")[2] for member in wheel.members}
    return tuple(sorted({name for needs in needs_by_member.values() for name in needs.libraries} - own))


def capabilities(text: str) -> tuple[str, ...]:
    """``7.5 8.0 9.0a 12.0+PTX``, as build scripts say it, as ``sm_75``, …, ``sm_120``, ``compute_120``."""
    archs: list[str] = []
    for word in re.split(r"[\s;,]+", text.strip()):
        number, _, ptx = word.partition("+")
        code = number.replace(".", "")
        archs += [f"sm_{code}", *([f"compute_{code}"] if ptx else ())]
    return tuple(archs)


def sources(**members: str | Sequence[str] | None) -> tuple[tuple[str, str], ...]:
    """Facts with where they were read, in the order given; one that was not found has none."""
    places = {
        fact: where if isinstance(where, str) else ", ".join(where)
        for fact, where in members.items()
        if where
    }
    return tuple(places.items())
