"""The JSON Schema of matrix.yaml, generated from its types: editors use it to complete and check the file.

    python -m pipeline.matrix.json_schema > matrix.schema.json

It covers shapes only: what a value means is checked by ``load``.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema

from pipeline.matrix.schema import File

if TYPE_CHECKING:
    from pydantic_core import core_schema


def text() -> str:
    """The text of the schema file."""
    made = File.model_json_schema(schema_generator=_AsWritten)
    return json.dumps({"$schema": _AsWritten.schema_dialect, **made, "title": "matrix.yaml"}, indent=2) + "\n"


class _AsWritten(GenerateJsonSchema):
    """The schema of the file as written: no value is null, so optional keys are not nullable either."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        made = super().default_schema(schema)
        return {key: value for key, value in made.items() if key != "default" or value is not None}

    def dict_schema(self, schema: core_schema.DictSchema) -> dict[str, Any]:
        made = super().dict_schema(schema)
        return {**made, "additionalProperties": False} if "patternProperties" in made else made

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Never: a title would only repeat the key."""
        del schema
        return False


if __name__ == "__main__":
    sys.stdout.write(text())
