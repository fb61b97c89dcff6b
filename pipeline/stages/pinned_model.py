"""The model that ``verify: model:`` names, pinned beside the locks: its files by hash, reviewed like code.

Whoever plans, gates or publishes reads the digest from there; only who makes a proof has the files, and
holds them against it. Without its comments the file is what ``sha256sum --check`` reads in the model's
folder, and the digest that records name is the SHA-256 of these lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.adapters import files
from pipeline.model import shown
from pipeline.model.errors import UsageError
from pipeline.suite.model import digest_of_hashes, listing_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

FILE = "model.sha256"
_MAX_BYTES = 1 << 20
_MAX_NAMED = 5
_NAME = re.compile(r"# model (?P<name>.+)")
_LINE = re.compile(r"(?P<hash>[0-9a-f]{64})  (?P<name>[^\\\x00-\x1f\x7f]+)")
AGAIN = "pin it where its files are, and commit the file: python -m pipeline lock"


@dataclass(frozen=True)
class PinnedModel:
    """The model of this name, and the SHA-256 of each of its files, in hex, by their paths in it."""

    name: str
    hashes: Mapping[str, str]

    @property
    def digest(self) -> str:
        """What a record names."""
        return digest_of_hashes(self.hashes)

    def differences(self, hashes: Mapping[str, str]) -> tuple[str, ...]:
        """How files with these hashes differ from those that are pinned, one sentence each."""
        gone = (f"{name} is not there" for name in self.hashes if name not in hashes)
        both = (name for name in self.hashes if name in hashes)
        changed = (f"{name} is another" for name in both if hashes[name] != self.hashes[name])
        more = (f"{name} is not pinned" for name in hashes if name not in self.hashes)
        return (*gone, *changed, *more)


def path_of(folder: Path) -> Path:
    """Where it is kept, in the folder of the locks."""
    return folder / FILE


def read(folder: Path) -> PinnedModel | None:
    """The pinned model; None where there is none. Raises UsageError where the file is not one of ours."""
    path = path_of(folder)
    try:
        lines = files.read(path, _MAX_BYTES, links=False).decode().splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else f"is no UTF-8 at byte {error.start}"
        raise UsageError(f"{path}: {what}", hint=AGAIN) from error
    named = [match["name"] for line in lines if (match := _NAME.fullmatch(line))]
    hashes: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        match = _LINE.fullmatch(line)
        if match and match["name"] not in hashes:
            hashes[match["name"]] = match["hash"]
        elif line and not line.startswith("#"):
            raise UsageError(f"{path}:{number}: {shown(line)!r} is no hash and file", hint=AGAIN)
    if len(named) != 1 or not hashes:
        raise UsageError(f"{path}: it names no model and its files", hint=AGAIN)
    return PinnedModel(named[0], hashes)


def write(pinned: PinnedModel, folder: Path) -> Path:
    """Write it; the same model is the same bytes on every machine.

    Raises UsageError where a file has a name that no line can hold, or a link lies in the place of the file.
    """
    for name in pinned.hashes:
        if not _LINE.fullmatch(f"{'0' * 64}  {name}"):
            raise UsageError(f"{pinned.name}: a file is called {shown(name)!r}", hint="give it a plain name")
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = path_of(files.folder(folder.parent, folder.name))
    files.write(path, _text_of(pinned).encode())
    return path


def _text_of(pinned: PinnedModel) -> str:
    head = (
        "# The model that images are proven with, by the hash of each file; sha256sum --check reads it.",
        "# Made by `python -m pipeline lock`; review it like code.",
        f"# model {pinned.name}",
    )
    return "\n".join(head) + f"\n\n{listing_of(pinned.hashes)}"


def refuse_other(pinned: PinnedModel, hashes: Mapping[str, str], path: Path) -> None:
    """Raise UsageError where files with these hashes are not those that are pinned in ``path``."""
    if found := pinned.differences(hashes):
        raise UsageError(
            f"{pinned.name}: its files here are not those of {path}: {_listed(found)}",
            hint="have the files that are pinned; or pin these, and review that: python -m pipeline lock",
        )


def _listed(found: Iterable[str]) -> str:
    every = [*found]
    more = f", and {len(every) - _MAX_NAMED} more" if len(every) > _MAX_NAMED else ""
    return f"{', '.join(every[:_MAX_NAMED])}{more}"
