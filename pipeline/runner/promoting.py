"""Published images in another place too: exported into a folder, imported into another registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.adapters.layout import Layout, LayoutWriter
from pipeline.adapters.registry import Registry
from pipeline.model import ImageRef, Promotion, is_build_key
from pipeline.model.errors import UsageError
from pipeline.stages import promote, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pipeline.adapters.places import Readable
    from pipeline.model import Digest, Repository, TagRef
    from pipeline.runner.deploying import Judge


def export(
    asked: Sequence[ImageRef | TagRef], folder: Path, judge: Judge, on_step: Callable[[str], None]
) -> tuple[Promotion, ...]:
    """Have images of one repository in a layout, each with its evidence and every tag that names it.

    Those that the policy does not accept are left out, each with the reasons. Raises UsageError for a
    reference that names nothing and for a folder that holds something else, RegistryError where the registry
    does not answer, DiskError where there is no room.
    """
    registry = Registry(_only_repository(asked))
    wanted = _wanted(registry, asked)
    with LayoutWriter.opened(folder, registry.repository) as layout:
        way = promote.Way(registry, layout, judge, on_step)
        return tuple(_exported(way, digest, tags) for digest, tags in wanted.items())


def import_layout(
    layout: Layout, repository: Repository, judge: Judge, on_step: Callable[[str], None]
) -> tuple[Promotion, ...]:
    """Have every image of a layout in a registry, with its evidence and its tags. Raises RegistryError."""
    return _imported(layout, layout.images(), repository, judge, on_step)


def import_images(
    asked: Sequence[ImageRef | TagRef], repository: Repository, judge: Judge, on_step: Callable[[str], None]
) -> tuple[Promotion, ...]:
    """The same of images of another registry, or of another repository. Raises as ``export`` does."""
    source = Registry(_only_repository(asked))
    return _imported(source, _wanted(source, asked), repository, judge, on_step)


def _exported(way: promote.Way[LayoutWriter], digest: Digest, tags: Sequence[str]) -> Promotion:
    if against := promote.store(way, digest):
        return Promotion(way.there(digest), reasons=against)
    return promote.label(way, digest, tags)


def _imported(
    source: Readable,
    images: Mapping[Digest, Sequence[str]],
    repository: Repository,
    judge: Judge,
    on_step: Callable[[str], None],
) -> tuple[Promotion, ...]:
    """All evidence and images first, then all tags: a tag may leave an image by what was signed of that."""
    way = promote.Way(source, Registry(repository), judge, on_step)
    against = {digest: promote.store(way, digest) for digest in images}
    return tuple(
        Promotion(way.there(digest), reasons=against[digest])
        if against[digest]
        else promote.tag(way, digest, tags)
        for digest, tags in images.items()
    )


def _only_repository(asked: Sequence[ImageRef | TagRef]) -> Repository:
    """The one repository of these references. Raises UsageError where there are several."""
    first, *others = dict.fromkeys(one.repository for one in asked)
    if others:
        what = f"these are of two repositories: {first} and {others[0]}"
        raise UsageError(what, hint="do it for each of them alone; a folder holds images of one")
    return first


def _wanted(registry: Registry, asked: Sequence[ImageRef | TagRef]) -> dict[Digest, tuple[str, ...]]:
    """The digests that are meant, and every tag that names each."""
    named = {tag: digest for tag, digest in publish.tagged(registry).items() if not is_build_key(tag)}
    wanted: dict[Digest, tuple[str, ...]] = {}
    for one in asked:
        text = str(one.digest) if isinstance(one, ImageRef) else one.tag
        digest = registry.digest_of(text)
        if digest is None:
            raise UsageError(f"{one} is not in the registry", hint="name an image, or a tag, that is there")
        wanted[digest] = tuple(sorted(tag for tag, found in named.items() if found == digest))
    return wanted
