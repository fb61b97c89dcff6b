"""The JSON form of our values."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import Any

from pydantic import BaseModel

from pipeline.model.cells import Cell
from pipeline.model.references import Digest, ImageRef, Repository, TagRef


def to_json(value: Any) -> Any:
    """One of our values as JSON: what ``--json`` prints."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", by_alias=True)
    if isinstance(value, Digest | Repository | ImageRef | TagRef):
        return str(value)
    if isinstance(value, Cell):
        return {"id": value.id, **asdict(value)}
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "__dataclass_fields__"):
        return {name: to_json(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, frozenset):
        return sorted(to_json(item) for item in value)
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): to_json(item) for key, item in value.items()}
    return value
