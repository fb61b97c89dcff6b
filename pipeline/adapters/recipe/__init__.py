"""The files that images are built from."""

from __future__ import annotations

from pathlib import Path

IMAGES = next(
    folder for folder in (above / "images" for above in Path(__file__).parents[2:4]) if folder.is_dir()
)
"""The recipe: beside the package in a checkout, inside it where it was installed from a wheel."""
