"""Values from a file or a registry are validated as they are read: they may come from anyone."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Frozen(BaseModel):
    """A value from a file or a registry: unknown keys and wrong types are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


Sha = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
MAX_TEXT_LENGTH = 4096
BoundedText = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]
