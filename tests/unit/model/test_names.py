"""Names of projects are compared as PyPI compares them."""

from __future__ import annotations

import pytest

from pipeline.model import project_of


@pytest.mark.parametrize(
    ("requirement", "project"),
    [
        ("torch==2.13.0", "torch"),
        ("Foo_Bar.baz[extra]>=1", "foo-bar-baz"),
        ("a--b ; python_version < '3.12'", "a-b"),
        (" numpy", "numpy"),
        ("x@https://example.org/x.whl", "x"),
    ],
)
def test_a_requirement_says_its_project(requirement: str, project: str) -> None:
    assert project_of(requirement) == project
