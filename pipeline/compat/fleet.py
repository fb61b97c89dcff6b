"""Where the one stack of a fleet is broken: which images are not like the others, and in what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compat.drivers import numbers
from pipeline.formats.gpu_arch import in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.model.identities import Identity

CPU = "none"
"""The CUDA of a build without any."""


@dataclass(frozen=True)
class Odd:
    """An image that is not like most: its name, and what it has."""

    name: str
    value: str


@dataclass(frozen=True)
class Split:
    """An axis on which a fleet does not agree.

    ``common`` is what most images have, ``count`` how many those are; ``odd`` are the others. ``breaks``:
    images that differ in it cannot stand in for each other on one kind of host.
    """

    axis: str
    common: str
    count: int
    odd: tuple[Odd, ...]
    breaks: bool


@dataclass(frozen=True)
class Fleet:
    """What a fleet asks of its hosts, and where its images differ.

    ``driver`` is the oldest driver that runs all of them, empty where none needs one, and ``needed_by`` the
    images that ask for it. ``architectures`` are reached by every image whose code for GPUs is known.
    """

    driver: str
    needed_by: tuple[str, ...]
    architectures: tuple[str, ...]
    splits: tuple[Split, ...]

    @property
    def is_broken(self) -> bool:
        """Whether one host cannot be right for all of them."""
        return any(split.breaks for split in self.splits)


def fleet_of(images: Sequence[Identity]) -> Fleet:
    """The images of a fleet, compared; those without anything of the stack are of no account."""
    stacks = [image for image in images if image.has_stack]
    gpu = [image for image in stacks if image.cuda]
    driver = max((image.driver for image in gpu if image.driver), key=numbers, default="")
    reached = _reached_by_all(gpu)
    axes = (
        _split("CUDA", stacks, _cuda, breaks=True),
        _split("torch", [image for image in gpu if image.torch], lambda image: _public(image.torch)),
        _split("driver", [image for image in gpu if image.driver], lambda image: image.driver),
        _lacking(gpu),
    )
    return Fleet(
        driver=driver,
        needed_by=tuple(image.name for image in gpu if driver and image.driver == driver),
        architectures=reached,
        splits=tuple(filter(None, axes)),
    )


def _split(
    axis: str, images: Sequence[Identity], value_of: Callable[[Identity], str], *, breaks: bool = False
) -> Split | None:
    """Where they differ, if they do; of two values that are as frequent the newer is the common one."""
    values = [value_of(image) for image in images]
    if len(set(values)) < 2:  # noqa: PLR2004 - one value is agreement
        return None
    common = max(set(values), key=lambda value: (values.count(value), numbers(value), value))
    odd = tuple(Odd(image.name, value_of(image)) for image in images if value_of(image) != common)
    return Split(axis, common, values.count(common), odd, breaks)


def _lacking(images: Sequence[Identity]) -> Split | None:
    """The images without code for an architecture that most of the others reach."""
    known = [image for image in images if image.architectures is not None]
    everywhere = {sm for image in known for sm in image.architectures or ()}
    usual = {
        sm for sm in everywhere if 2 * sum(sm in (image.architectures or ()) for image in known) > len(known)
    }
    lacks = {image.name: usual - set(image.architectures or ()) for image in known}
    odd = tuple(
        Odd(name, f"lacks {' '.join(in_order(tuple(missing)))}") for name, missing in lacks.items() if missing
    )
    if not odd:
        return None
    return Split("architectures", " ".join(in_order(tuple(usual))), len(known) - len(odd), odd, breaks=True)


def _reached_by_all(images: Sequence[Identity]) -> tuple[str, ...]:
    known = [set(image.architectures) for image in images if image.architectures is not None]
    return in_order(tuple(set.intersection(*known))) if known else ()


def _cuda(image: Identity) -> str:
    """The major, by which the driver and all libraries of CUDA go."""
    return image.cuda.partition(".")[0] or image.other or CPU


def _public(version: str) -> str:
    return version.partition("+")[0]
