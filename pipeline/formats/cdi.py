"""Specifications of CDI devices: what an engine gives to a container that asks for a GPU by its name.

https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

SUFFIXES = frozenset({".json", ".yaml"})
"""Of the files in a folder of specifications that an engine reads."""


@dataclass(frozen=True)
class Specification:
    """One file: the kind of its devices (``nvidia.com/gpu``), and their names (``0``, ``all``).

    ``paths`` are the files of the host that a container gets with them: devices, libraries, hooks.
    """

    kind: str
    devices: tuple[str, ...]
    paths: tuple[str, ...]


def read(text: str) -> Specification:
    """A specification, in YAML or JSON. Raises ValueError with what is wrong for anything else."""
    try:
        file = _File.model_validate(yaml.safe_load(text))
    except ValidationError as error:
        raise ValueError(_first(error)) from error
    except (yaml.YAMLError, RecursionError, ValueError, OverflowError) as error:
        raise ValueError(f"it is neither YAML nor JSON: {_reason(error)}") from error
    edits = (file.edits, *(device.edits for device in file.devices))
    paths = dict.fromkeys(path for edit in edits if edit for path in edit.paths)
    return Specification(file.kind, tuple(device.name for device in file.devices), tuple(paths))


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Node(_Part):
    path: str
    on_host: str | None = Field(None, alias="hostPath")


class _Mount(_Part):
    on_host: str = Field(alias="hostPath")


class _Hook(_Part):
    path: str


class _Edits(_Part):
    nodes: list[_Node] | None = Field(None, alias="deviceNodes")
    mounts: list[_Mount] | None = None
    hooks: list[_Hook] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the host that it names."""
        return (
            *(node.on_host or node.path for node in self.nodes or ()),
            *(mount.on_host for mount in self.mounts or ()),
            *(hook.path for hook in self.hooks or ()),
        )


class _Device(_Part):
    name: Annotated[str, Field(min_length=1)]
    edits: _Edits = Field(alias="containerEdits")


class _File(_Part):
    version: str = Field(alias="cdiVersion")
    kind: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    devices: Annotated[list[_Device], Field(min_length=1)]
    edits: _Edits | None = Field(None, alias="containerEdits")


def _first(error: ValidationError) -> str:
    """Where the first problem is, and what it is: ``devices.0.name: Input should be a valid string``."""
    problem = error.errors(include_url=False)[0]
    place = ".".join(map(str, problem["loc"]))
    return f"{place}: {problem['msg']}" if place else f"{problem['msg']}"


def _reason(error: Any) -> str:
    """The line and the reason of an error of YAML."""
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: {error.problem}" if mark else type(error).__name__
