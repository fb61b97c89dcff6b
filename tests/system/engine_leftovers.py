"""What tests leave in an engine that others use too: taken away again, and nothing of theirs."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def cleaned(host: str) -> Iterator[None]:
    """After the block the engine holds no image of this registry, and no build cache that came meanwhile.

    A build of somebody else's that ran at the same time loses cache, and no image.
    """
    before = build_cache()
    try:
        yield
    finally:
        _remove_images(host)
        _remove_build_cache(build_cache() - before)


def build_cache() -> frozenset[str]:
    """The ids of all records of the engine's build cache."""
    lines = _docker("buildx", "du").splitlines()
    ends = next((number for number, line in enumerate(lines) if not line.strip()), len(lines))
    return frozenset(line.split()[0].rstrip("*") for line in lines[1:ends] if line.strip())


def _remove_images(host: str) -> None:
    """By name: an id would take along the names that others gave to the same image."""
    listed = _docker("images", "--digests", "--format", "{{.Repository}} {{.Tag}} {{.Digest}}")
    for line in listed.splitlines():
        repository, tag, digest = line.split()
        if repository.startswith(f"{host}/"):
            name = f"{repository}@{digest}" if tag == "<none>" else f"{repository}:{tag}"
            subprocess.run(["docker", "image", "rm", "--force", name], capture_output=True, check=False)


def _remove_build_cache(records: frozenset[str]) -> None:
    """With those that share their bytes with an image that others have: the image keeps them."""
    if records:
        _docker("buildx", "prune", "--all", "--force", "--filter", f"id=^({'|'.join(sorted(records))})$")


def _docker(*words: str) -> str:
    return subprocess.run(["docker", *words], capture_output=True, text=True, check=True).stdout
