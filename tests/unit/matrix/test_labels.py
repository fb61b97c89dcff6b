"""Which labels a matrix may give its images, which they have without it, and which they must not have."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.unit.matrix.test_variables import SCHEMA, SECRETS, load, refusal

if TYPE_CHECKING:
    from pathlib import Path

TAKEN = [
    "tagproof.torch",
    "tagproof.anything",
    "org.opencontainers.image.title",
    "org.opencontainers.image.version",
    "org.opencontainers.image.base.digest",
]
OF_A_COMMIT = ["org.opencontainers.image.revision", "org.opencontainers.image.created"]
NONE = ["Team", "a b", "-a", "a.", "", "a" * 101]
HEALTHY = [
    "org.opencontainers.image.source",
    "org.opencontainers.image.licenses",
    "org.opencontainers.image.base.name",
    "tagproofs.team",
    "com.example/team",
    "team",
]
WHY = {
    **dict.fromkeys(TAKEN, "is a label that every image has already"),
    **dict.fromkeys(OF_A_COMMIT, "would be another one with each commit"),
    **dict.fromkeys(NONE, "is no label"),
}


@pytest.mark.parametrize(("name", "why"), WHY.items())
def test_a_label_that_is_not_the_matrixs_to_give_is_refused_with_its_reason(
    name: str, why: str, tmp_path: Path
) -> None:
    message = refusal(tmp_path, f'labels: {{"{name}": x}}\n')
    assert "matrix.yaml:7:10: labels" in message
    assert why in message


@pytest.mark.parametrize("name", HEALTHY)
def test_any_other_label_is_taken_as_it_is_written(name: str, tmp_path: Path) -> None:
    value = "https://example.com/a?b=$c, \\"
    assert load(tmp_path, f"labels: {{{name}: '{value}'}}\n").specs[0].labels == ((name, value),)


def test_editors_know_the_same_labels() -> None:
    (pattern,) = SCHEMA["properties"]["labels"]["patternProperties"]
    assert [name for name in HEALTHY if not re.search(pattern, name)] == []
    assert [name for name in WHY if re.search(pattern, name)] == []


def test_a_secret_in_a_label_is_refused_and_not_shown(tmp_path: Path) -> None:
    secret = SECRETS["a GitHub token"]
    message = refusal(tmp_path, f"labels: {{team: '{secret}'}}\n")
    assert "the value holds a GitHub token" in message
    assert secret not in message
