"""What an image says of itself, and a stranger wrote: its manifest, by platform, and its configuration."""

from __future__ import annotations

import platform as machine
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.adapters.image_files.layered import Blob, Layered
from pipeline.adapters.image_files.nodes import Config, Layer
from pipeline.adapters.registry import INDEXES, MANIFESTS, ContentError, Descriptor, Manifest
from pipeline.model import Digest
from pipeline.model.errors import ImageError
from pipeline.model.platforms import platform_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LAYERS = 256
"""The most layers of one image. Docker makes 127."""

DEPTH = 2
"""An index may list indexes, as archives do that list images by name; deeper none goes."""

_ATTESTATION = "unknown/unknown"
"""The platform of what BuildKit lists beside images that is none."""

_NOT_OURS = "name an image that an engine can run, or ask who made this one"


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Run(_Lenient):
    """How an image is run, in the words of its configuration."""

    env: tuple[str, ...] | None = Field(None, alias="Env")
    entrypoint: tuple[str, ...] | None = Field(None, alias="Entrypoint")
    command: tuple[str, ...] | None = Field(None, alias="Cmd")
    user: str | None = Field(None, alias="User")
    labels: dict[str, str] | None = Field(None, alias="Labels")


class _Step(_Lenient):
    created_by: str | None = None
    empty_layer: bool | None = None


class _RootFs(_Lenient):
    diff_ids: tuple[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")], ...]


class ImageConfig(_Lenient):
    """An image's configuration blob (OCI image specification, config.md)."""

    os: str = ""
    architecture: str = ""
    variant: str | None = None
    config: _Run | None = None
    history: tuple[_Step, ...] | None = None
    rootfs: _RootFs

    @classmethod
    def read(cls, body: bytes, name: str) -> ImageConfig:
        """From its bytes. Raises ImageError; ``name`` is the image's, for the message."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ImageError(
                f"{name}: its configuration is not one of an image: {where or 'all of it'}: {first['msg']}",
                hint=_NOT_OURS,
            ) from error

    @property
    def digests(self) -> tuple[Digest, ...]:
        """Those of the layers when unpacked, the lowest first."""
        return tuple(Digest(one) for one in self.rootfs.diff_ids)

    @property
    def plain(self) -> Config:
        """What rules ask of it."""
        run = self.config or _Run.model_validate({})
        return Config(
            env=tuple((name, value) for name, _, value in (one.partition("=") for one in run.env or ())),
            entrypoint=run.entrypoint or (),
            command=run.command or (),
            user=run.user or "",
            labels=tuple(sorted((run.labels or {}).items())),
            history=tuple(step.created_by or "" for step in self.history or ()),
            platform="/".join(filter(None, (self.os, self.architecture, self.variant))),
        )

    def layers(self, blobs: Sequence[Blob]) -> tuple[Layer, ...]:
        """The layers, each with the step of the history that made it, where the two fit together."""
        steps = [step.created_by or "" for step in self.history or () if not step.empty_layer]
        known = steps if len(steps) == len(blobs) else [""] * len(blobs)
        return tuple(Layer(str(blob.digest), blob.size, by) for blob, by in zip(blobs, known, strict=True))


def image(
    found: Manifest, fetch: Callable[[Descriptor], Manifest], platform: str | None, name: str
) -> Manifest:
    """The manifest of one image: this one, or of an index the one for ``platform`` (``linux/arm64``).

    Without one it is Linux on a processor like this machine's. ``fetch`` gives a descriptor's manifest.
    Raises ImageError where there is none, or not just one.
    """
    wanted = platform or platform_of(machine.machine())
    try:
        for _ in range(DEPTH):
            if found.media_type in INDEXES:
                found = fetch(_chosen(found.document, wanted, name))
        layers = len(found.layers)
    except ContentError as error:
        raise ImageError(f"{name}: {error.what}", hint=error.hint) from error
    if layers > LAYERS:
        raise ImageError(f"{name} has {layers} layers, more than {LAYERS}", hint=_NOT_OURS)
    return found


def layered(
    name: str,
    digest: str,
    config: bytes,
    blobs: Sequence[Blob],
    *,
    platform: str | None,
    close: Callable[[], None] = lambda: None,
) -> Layered:
    """The files of an image, from its configuration's bytes and its layers, the lowest first.

    Raises ImageError where the configuration is none, or is not for this platform.
    """
    read = ImageConfig.read(config, name)
    said = read.plain
    if platform and not f"{said.platform}/".startswith(f"{platform}/"):
        raise ImageError(
            f"{name} is for {said.platform or 'no platform that it names'}, not for {platform}",
            hint="name an image, or an index with one, for this platform",
        )
    return Layered(name, digest, said, tuple(zip(read.layers(blobs), blobs, strict=True)), close)


def _chosen(index: dict[str, Any], wanted: str, name: str) -> Descriptor:
    try:
        listed = [(Descriptor.read(one), _platform(one)) for one in index.get("manifests") or ()]
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ImageError(f"{name}: its index is damaged: {error!r}", hint=_NOT_OURS) from error
    fitting = {
        one.digest: one for one, said in listed if one.media_type in MANIFESTS and said in (wanted, "")
    }
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    if fitting:
        raise ImageError(
            f"{name} holds {len(fitting)} images for {wanted}",
            hint="save one image alone, or name it by digest",
        )
    there = ", ".join(sorted({said for _, said in listed if said} - {_ATTESTATION}))
    raise ImageError(
        f"{name} has no image for {wanted}, but for: {there or 'nothing'}",
        hint="name one of these with --platform",
    )


def _platform(entry: dict[str, Any]) -> str:
    """``linux/arm64``; empty where nothing is said, as in a layout of one image."""
    said = entry.get("platform") or {}
    return "/".join(str(said[part]) for part in ("os", "architecture") if said.get(part))
