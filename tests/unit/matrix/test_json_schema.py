"""The schema for editors: that of the types, explained, and no more lenient than it can be."""

from __future__ import annotations

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from pipeline.matrix import json_schema
from tests.unit.matrix.samples import ROOT
from tests.unit.matrix.test_refusals import BAD

SEEN_BY_NO_SCHEMA = {
    "impossible day",
    "version that is not made yet",
    "duplicate key",
    "duplicate key in a section",
    "anchor and alias",
    "byte order mark",
    "too many cells",
    "include repeats a cell",
    "include repeats itself",
    "version listed twice",
    "alias that matches none",
    "alias that matches two",
    "alias that is a cell",
    "glob that matches none",
    "glob with too many braces",
    "exclude that matches none",
    "exclude that leaves none",
    "missing axis",
    "Python that the base lacks",
    "Python that trixie lacks",
    "base image beside suite",
    "signer that is absent",
    "staging elsewhere",
    "staging that is public",
    "package pinned twice",
    "package that is an axis",
    "package that is an axis, and no build of it",
    "build of vLLM for cells of another release",
    "build of vLLM for a CPU",
    "auto that finds nothing",
    "impossible cell, by one axis",
    "impossible cell, by several",
    "axes of which nothing is possible",
    "glob that matches only impossible cells",
    "glob that matches only excluded cells",
    "alias of an impossible cell",
    "architecture listed twice",
    "architecture listed twice in a list",
    "GPUs for no cell",
    "architectures without a CUDA cell",
    "memory of no GPU",
    "tag with an unknown word",
    "tag with a word like no other",
    "tag of two cells",
    "tag that is an alias",
    "tag that is a cell's own",
    "tag that is a build's own",
    "tag that is too long",
    "tag listed twice",
    "budget for no cell",
    "too many values",
}
"""Bad matrices whose shape is right: only their meaning, or how YAML is used, is wrong."""


SCHEMA = json.loads((ROOT / "matrix.schema.json").read_text("utf-8"))


def test_the_schema_is_that_of_the_types() -> None:
    """Write it anew with ``python -m pipeline.matrix.json_schema > matrix.schema.json``."""
    assert (ROOT / "matrix.schema.json").read_text("utf-8") == json_schema.text()


def test_the_schema_is_one_and_knows_the_shipped_matrix() -> None:
    """The matrix names it in its first line, so that editors find it."""
    Draft202012Validator.check_schema(SCHEMA)
    text = (ROOT / "matrix.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=matrix.schema.json\n")
    assert list(Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(text))) == []


def test_every_key_is_explained_to_editors() -> None:
    """A key without a description helps nobody."""
    sections = [SCHEMA, *SCHEMA["$defs"].values()]
    silent = [
        key
        for section in sections
        for key, what in section["properties"].items()
        if not what.get("description")
    ]
    assert silent == []


@pytest.mark.parametrize("case", BAD)
def test_the_schema_refuses_what_it_can_see(case: str) -> None:
    """All but what only a reader of the whole file knows, and what is no YAML at all."""
    try:
        value = yaml.load(BAD[case][0], yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError):
        return
    assert Draft202012Validator(SCHEMA).is_valid(value) == (case in SEEN_BY_NO_SCHEMA)
