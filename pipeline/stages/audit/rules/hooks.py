"""Hooks: what runs whenever Python starts is known."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.model import ImageFinding, Severity, shown
from pipeline.stages.audit.start_files import is_known, is_start_file, is_systems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(
    ImageFinding,
    rule="hooks",
    why="every Python of the image runs it, before and whatever it imports: a stolen release of a package "
    "needs no more than that",
    hint="read it; if it is to run, make an exception with the reason, else leave it out by `trim:`, or its "
    "package by `omit:`",
)


def at_start(image: ImageModel) -> Iterator[ImageFinding]:
    """Each line of code in a ``.pth`` file, and each ``sitecustomize``, is one that its package is known for.

    Without a lock nobody has said what is to be installed: there it is a warning.
    """
    severity = Severity.WARNING if image.expected.pins is None else Severity.ERROR
    for path in sorted(filter(is_start_file, image.inventory.nodes)):
        real = image.links.file(path)
        owners = {package.name for package in image.owners.claimants(real or path)}
        if real is None or (is_systems(path) and not owners):
            continue  # a link to nothing; or the distribution's own
        file = image.inventory.start_files.get(real)
        whose = f" of {', '.join(sorted(owners))}" if owners else " of no package"
        if file is None:
            yield _finding(
                severity=severity,
                path=path,
                text=f"Python starts with this file{whose}, which cannot be read here: it is compiled, too "
                "large, or a link to somewhere else",
            )
        elif file.code and not is_known(path, file.form, owners):
            yield _finding(
                severity=severity,
                path=path,
                text=f"Python starts with this file{whose}, which runs code: {shown(file.code, 100)}",
            )
