"""The history of a tag as lines, and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.model import to_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Declared, History


def lines(history: History) -> Iterator[str]:
    """One line for each move of the tag, the oldest first, then what it names now."""
    for declared in history.moves:
        said = declared.transition
        move = said.tags[history.tag.tag]
        way = f"{move.before or 'nothing'} -> {move.after or 'nothing'}"
        yield f"{said.at}  {said.life:10}  {way}  by {said.actor} ({declared.signer[:12]}): {said.reason}"
    if not history.moves:
        yield "no move of it was signed"
    yield f"now: {history.now or 'nothing'}"


def as_json(history: History) -> dict[str, Any]:
    """The same for programs."""
    return {
        "tag": str(history.tag),
        "now": str(history.now) if history.now else None,
        "told": history.is_told,
        "moves": [_move(declared, history.tag.tag) for declared in history.moves],
    }


def _move(declared: Declared, tag: str) -> dict[str, Any]:
    said = declared.transition
    return {
        "at": said.at,
        "life": said.life.value,
        **to_json(said.tags[tag]),
        "digest": said.digest,
        "cell": said.cell,
        "actor": said.actor,
        "key": declared.signer,
        "reason": said.reason,
        "manifest": str(declared.manifest),
    }
