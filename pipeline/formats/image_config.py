"""An image's configuration (OCI image specification, config.md), as anybody may have written it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.model import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class ImageConfig:
    """What an image says of how it is run. What it leaves out is empty; a folder's is empty altogether."""

    env: tuple[tuple[str, str], ...] = ()
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    history: tuple[str, ...] = ()
    """The instruction of each step that made the image; empty for a step without one."""
    platform: str = ""
    """Such as ``linux/arm64/v8``."""
    diff_ids: tuple[str, ...] = ()
    """The digests of its layers as unpacked, the lowest first: the same wherever it is packed or stored."""


class _Lenient(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class RunConfig(_Lenient):
    """The object ``config`` of a configuration, and of what the engine answers to ``docker inspect``."""

    env: tuple[str, ...] | None = Field(None, alias="Env")
    entrypoint: tuple[str, ...] | None = Field(None, alias="Entrypoint")
    command: tuple[str, ...] | None = Field(None, alias="Cmd")
    user: str | None = Field(None, alias="User")
    labels: dict[str, str] | None = Field(None, alias="Labels")

    def image_config(
        self, *, history: tuple[str, ...] = (), platform: str = "", diff_ids: tuple[str, ...] = ()
    ) -> ImageConfig:
        """The same as a value, with what stands elsewhere in a configuration."""
        return ImageConfig(
            env=tuple((name, value) for name, _, value in (line.partition("=") for line in self.env or ())),
            entrypoint=self.entrypoint or (),
            command=self.command or (),
            user=self.user or "",
            labels=dict(sorted((self.labels or {}).items())),
            history=history,
            platform=platform,
            diff_ids=diff_ids,
        )


class Step(_Lenient):
    """One step of the history. A step that only changes the configuration makes no layer."""

    created_by: str | None = None
    empty_layer: bool | None = None


class _RootFs(_Lenient):
    diff_ids: tuple[Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")], ...]


class ConfigFile(_Lenient):
    """The blob that a manifest names as its ``config``."""

    os: str = ""
    architecture: str = ""
    variant: str | None = None
    config: RunConfig | None = None
    history: tuple[Step, ...] | None = None
    rootfs: _RootFs

    @classmethod
    def read(cls, body: bytes) -> ConfigFile:
        """From the blob's bytes. Raises ValueError, which names the first member that is wrong, and why."""
        try:
            return cls.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            member = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"{member or 'all of it'}: {first['msg']}") from error

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the layers as unpacked, the lowest first."""
        return tuple(Digest(diff_id) for diff_id in self.rootfs.diff_ids)

    @property
    def image_config(self) -> ImageConfig:
        """What it says of how the image is run."""
        return (self.config or RunConfig.model_validate({})).image_config(
            history=tuple(step.created_by or "" for step in self.history or ()),
            platform="/".join(filter(None, (self.os, self.architecture, self.variant))),
            diff_ids=self.rootfs.diff_ids,
        )

    @property
    def layer_steps(self) -> tuple[str, ...]:
        """The instructions of the steps that made a layer, the lowest layer's first."""
        return tuple(step.created_by or "" for step in self.history or () if not step.empty_layer)
