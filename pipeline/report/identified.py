"""What images really are, for people: a line each, what is not so, and where a fleet does not agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.report.columns import columns
from pipeline.report.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.compat.fleet import Fleet, Split
    from pipeline.model.identities import Contradiction, Identity

_COLUMNS = ("vLLM", "torch", "CUDA", "Python", "platform", "GPUs", "driver", "base", "seen in", "image")
_NAMES = {"torch": "torch", "cuda": "CUDA", "python": "Python", "vllm": "vLLM", "platform": "platform"}


def text_of(
    images: Sequence[Identity], fleet: Fleet | None = None, unread: Sequence[tuple[str, str]] = ()
) -> str:
    """The images as lines of text; ``fleet`` for several; ``unread`` are names, each with the reason."""
    parts = []
    if images:
        parts.append(list(columns([_COLUMNS, *map(_row, images)])))
    said = [line for image in images for line in _said(image, is_alone=len(images) == 1)]
    if said:
        parts.append(said)
    if unread:
        parts.append(["could not be read:", *(f"  {name}: {why}" for name, why in unread)])
    if fleet:
        parts.append(list(_fleet(fleet, len(images), len(unread))))
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _row(image: Identity) -> tuple[str, ...]:
    return (
        image.vllm or "-",
        image.torch or "-",
        image.cuda or image.other or ("none" if image.torch else "-"),
        image.python or "-",
        image.platform or "-",
        _archs(image),
        f"≥ {image.driver}" if image.driver else "-",
        image.base or "-",
        "labels alone" if image.seen_in == "labels" else image.seen_in,
        image.name,
    )


def _archs(image: Identity) -> str:
    """The compute capabilities that are reached: ``7.5 8.0 9.0``."""
    if image.architectures is None:
        return "not known" if image.cuda and image.torch else "-"
    return " ".join(f"{sm[3:-1]}.{sm[-1]}" for sm in image.architectures) or "none"


def _said(image: Identity, *, is_alone: bool) -> Iterator[str]:
    start = "" if is_alone else f"{image.name}: "
    for contradiction in image.contradictions:
        yield f"{start}not so: {_contradiction(contradiction, image)}"
    yield from (f"{start}{note}" for note in image.notes)
    if not image.has_stack and not image.python:
        yield f"{start}neither Python, PyTorch, vLLM nor CUDA is inside"
    elif not image.has_stack:
        yield f"{start}neither PyTorch, vLLM nor CUDA is inside"
    if image.seen_in == "labels":
        yield f"{start}nothing of this was looked for inside; without --labels the files are read"


def _contradiction(contradiction: Contradiction, image: Identity) -> str:
    claim, where = contradiction.claim, "the certificate" if image.seen_in == "certificate" else "inside"
    name = _NAMES[claim.axis]
    there = "there is none" if contradiction.seen == "none" else f"is {contradiction.seen}"
    if image.seen_in == "certificate":
        there = "has none" if contradiction.seen == "none" else f"has {contradiction.seen}"
    return f"{claim.where} says {name} {claim.value}, {where} {there}"


def _fleet(fleet: Fleet, count: int, unread: int) -> Iterator[str]:
    yield f"the fleet of {counted(count, 'image')}{f', without {unread} unread' if unread else ''}:"
    if fleet.driver:
        yield f"  every host needs driver {fleet.driver} or newer, for {', '.join(fleet.needed_by)}"
        yield f"  GPUs that all reach: {' '.join(fleet.architectures) or 'none, or not known'}"
    if not fleet.splits:
        yield "  one stack: no image is unlike the others"
    for split in fleet.splits:
        yield from _split(split)


def _split(split: Split) -> Iterator[str]:
    word = "broken" if split.breaks else "differs"
    yield f"  {word}: {split.axis} is {split.common} in {counted(split.count, 'image')}, but"
    yield from (f"    {odd.value}: {odd.name}" for odd in split.odd)
