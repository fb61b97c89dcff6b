"""The model that a trial runs on: a folder, or an id whose files are in the local hub cache."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.model import shown
from pipeline.model.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Model:
    """``root`` holds all of its files, links included; ``folder`` is the model's own, in or at ``root``."""

    root: Path
    folder: Path

    def seen_from(self, root: str) -> str:
        """The path of the model where its root is mounted at ``root``."""
        inside = self.folder.relative_to(self.root).as_posix()
        return root if inside == "." else f"{root}/{inside}"


def digest_of(folder: Path) -> str:
    """``sha256:…`` over the names and bytes of every file below ``folder``, links followed."""
    return digest_of_hashes(hashes_of(folder))


def hashes_of(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file below ``folder``, in hex, by its path from there; links are followed."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _hash(path) for path in files}


def digest_of_hashes(hashes: Mapping[str, str]) -> str:
    """The digest of a folder, from the names and the hashes of its files."""
    return f"sha256:{hashlib.sha256(listing_of(hashes).encode()).hexdigest()}"


def listing_of(hashes: Mapping[str, str]) -> str:
    """A line for each file, as ``sha256sum`` writes it and ``sha256sum --check`` reads it."""
    return "".join(f"{hashes[name]}  {name}\n" for name in sorted(hashes))


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def locate(name: str) -> Model:
    """The model of this name: an absolute folder, or ``organisation/name[@revision]`` in the hub cache.

    Where we were called decides nothing, and nothing is downloaded. Raises UsageError if it is not there.
    """
    with suppress(
        OSError, RuntimeError, ValueError
    ):  # for names that are not valid paths, and files that are not text
        if model := _in_folder(name) or _downloaded(name):
            return model
    raise UsageError(
        f"'{shown(name)}' is neither a folder with a config.json and weights nor a model in {_cache()}",
        hint=f"download it first (`hf download {shown(name.partition('@')[0])}`), or name its folder",
    )


def _in_folder(name: str) -> Model | None:
    folder = Path(name).expanduser()
    is_meant = folder.is_absolute() and _is_model(folder)
    return Model(folder.resolve(), folder.resolve()) if is_meant else None


def _downloaded(name: str) -> Model | None:
    repository, _, revision = name.partition("@")
    root = _cache() / f"models--{repository.replace('/', '--')}"
    named = root / "refs" / (revision or "main")
    snapshot = root / "snapshots" / (named.read_text().strip() if named.is_file() else revision or "none")
    return Model(root.resolve(), snapshot.absolute()) if _is_model(snapshot) else None


_WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth", "*.gguf")


def _is_model(folder: Path) -> bool:
    """Whether a folder holds a model: other programs keep a config.json too, with logins next to it."""
    has_weights = any(next(folder.glob(pattern), None) for pattern in _WEIGHTS)
    return (folder / "config.json").is_file() and has_weights


def _cache() -> Path:
    """The folder of downloaded models, as Hugging Face's own tools choose it."""
    home = os.environ.get("HF_HOME") or f"{os.environ.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or f"{home}/hub").expanduser().resolve()
