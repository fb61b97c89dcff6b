"""Shared files: two packages that claim one file with different contents, or one name of a module."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipeline.compat.pairs import TWINS
from pipeline.model import ImageFinding, Severity
from pipeline.stages.audit.owners import cuda_of
from pipeline.stages.audit.python import site_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipeline.stages.audit.image_model import ImageModel
    from pipeline.stages.audit.inventory import Distribution
    from pipeline.stages.audit.owners import Contest

_finding = partial(ImageFinding, rule="contents")


def contested(image: ImageModel) -> Iterator[ImageFinding]:
    """Of packages that claim the same files, one has all of them: the one that fits the image."""
    for contest in image.owners.contests:
        winner = contest.winner
        if winner is None:
            yield _mixture(contest, image)
            continue
        best = fittest(contest.packages, winner, image)
        yield _lies_below(contest, winner, best, image) if best != winner else _won(contest, winner)


def fittest(packages: Iterable[Distribution], winner: Distribution | None, image: ImageModel) -> Distribution:
    """Of packages that claim the same files, the one for the image's CUDA, then the one that others ask for.

    Where nothing tells them apart it is the winner, whose files lie there.
    """
    major = image.cuda.partition(".")[0]

    def fitness(package: Distribution) -> tuple[int, bool, bool]:
        named = cuda_of(package.name)
        of_cuda = 1 if not named or not major else 2 if named == major else 0
        return of_cuda, package.name in image.askers, package == winner

    return max(packages, key=fitness)


def _mixture(contest: Contest, image: ImageModel) -> ImageFinding:
    counts = ", ".join(f"{contest.count(package)} of {package.name}" for package in contest.packages)
    best = fittest(contest.packages, None, image)
    return _finding(
        severity=Severity.ERROR,
        path=min(contest.holders),
        text=f"{_claimed(contest)}: a mixture, {counts}",
        why="parts of different builds call each other: an import fails, or a call does",
        hint=f"{how_to_reinstall(contest.packages, best, image)}{_to_keep(contest)}",
    )


def _lies_below(
    contest: Contest, winner: Distribution, best: Distribution, image: ImageModel
) -> ImageFinding:
    asker = next(iter(image.askers.get(best.name, ())), None)
    reason = (
        f"{best.name} is the one for CUDA {cuda_of(best.name)}, which the image is for"
        if cuda_of(best.name)
        else f"{asker} asks for {best.name}, nothing for {winner.name}"
        if asker
        else f"{winner.name} is for CUDA {cuda_of(winner.name)}, the image is not"
    )
    return _finding(
        severity=Severity.WARNING,
        path=min(contest.holders),
        text=f"{_claimed(contest)}: all are those of {winner}",
        why=f"{reason}; its files were overwritten",
        hint=f"{how_to_reinstall(contest.packages, best, image)}{_to_keep(contest)}",
    )


def _won(contest: Contest, winner: Distribution) -> ImageFinding:
    others = " or ".join(package.name for package in contest.packages if package != winner)
    return _finding(
        severity=Severity.NOTE,
        path=min(contest.holders),
        text=f"{_claimed(contest)}: all are those of {winner}",
        why="the one that was installed last has them all, so they fit each other; the order of installation "
        "decides that, and an installer that unpacks in parallel may mix them",
        hint=f"leave {others} out of the next build; uninstalling it here removes {winner.name}'s files too",
    )


def _claimed(contest: Contest) -> str:
    packages = " and ".join(map(str, contest.packages))
    count = len(contest.holders)
    what = f"{count} files are" if count > 1 else f"{min(contest.holders).rpartition('/')[2]} is"
    return f"{what} claimed by {packages} with different contents"


def how_to_reinstall(packages: Iterable[Distribution], best: Distribution, image: ImageModel) -> str:
    """How to have one package's files: what nothing asks for goes first, and takes those along."""
    gone = [package.name for package in packages if package != best and package.name not in image.askers]
    first = f"uninstall {' and '.join(gone)}, then " if gone else ""
    return f"{first}install {best.name}=={best.version} again, last and alone (--no-deps --force-reinstall)"


def _to_keep(contest: Contest) -> str:
    """What is known of packages that are each other's twins, or of a release without the fault."""
    names = {package.name for package in contest.packages}
    keep = _twin_to_keep(names) or next(
        (text for start, text in _FIXED.items() if all(name.startswith(start) for name in names)), ""
    )
    return f"; {keep}" if keep else ""


def _twin_to_keep(names: set[str]) -> str:
    """Which of packages that write the same files is wanted; empty where no table says so."""
    keep = next((row.keep for row in TWINS if len(names & set(row.projects)) > 1), "")
    return f"the one to keep is {keep}" if keep else ""


_FIXED = {
    "nvidia-cutlass-dsl-libs-": "since nvidia-cutlass-dsl 4.6.0 its parts share no file "
    "(https://github.com/NVIDIA/cutlass/issues/3259)",
}
"""Families of packages that shared files once, by the start of their names, and how that ended."""


def hidden(image: ImageModel) -> Iterator[ImageFinding]:
    """No package's module is hidden by the folder of another one, which Python imports first."""
    for path in image.inventory.claims:
        folder, slash, name = path.rpartition("/")
        site, _, package = folder.rpartition("/")
        module = f"{folder}.py"
        if name != "__init__.py" or not slash or site_of(f"{site}/") != site:
            continue
        ours, theirs = image.owners.claimants(path), image.owners.claimants(module)
        if ours and theirs and not {one.name for one in ours} & {one.name for one in theirs}:
            yield _finding(
                severity=Severity.WARNING,
                path=module,
                text=f"{package}.py of {theirs[0]} is hidden by the folder {package} of {ours[0]}",
                why=f"import {package} takes the folder, also where {theirs[0].name} is meant",
                hint=_twin_to_keep({ours[0].name, theirs[0].name})
                or f"uninstall {ours[0].name} or {theirs[0].name}, whichever is not meant",
            )
