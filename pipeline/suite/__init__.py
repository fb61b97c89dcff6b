"""The checks that every image must pass, and the maker of the tiny model that they run on.

The checks are pytest's: ``python -m pytest FILE… --trial trial.json --results results.jsonl``, with the
files that the kind of cell has.
"""

from __future__ import annotations

import hashlib
from importlib.metadata import version
from pathlib import Path

_DEPENDENCIES = ("docker", "httpx", "openai", "packaging", "pydantic", "pytest")
_SOURCES = (
    "suite",
    "model",
    "formats",
    "adapters/__init__.py",
    "adapters/engine",
    "adapters/environ.py",
    "adapters/files.py",
)
"""The suite, and what it takes from the rest of the package."""


def files_of(vllm: str | None) -> tuple[Path, ...]:
    """The files with the checks of a cell with this vLLM, or with none, in the order in which they run."""
    names = ("check_environment.py", "check_server.py" if vllm else "check_pytorch.py")
    return tuple(Path(__file__).with_name(name) for name in names)


def digest() -> str:
    """``sha256:…`` over the suite's files, the sources it uses, and its dependencies' versions."""
    package = Path(__file__).parent.parent
    found = (path for name in _SOURCES for path in (package / name, *(package / name).rglob("*")))
    files = [path for path in found if path.is_file() and path.suffix != ".pyc"]
    listing = [f"{_sha256(path)}  {path.relative_to(package).as_posix()}" for path in files]
    listing += [f"{version(name)}  {name}" for name in _DEPENDENCIES]
    text = "\n".join(sorted(listing))
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
