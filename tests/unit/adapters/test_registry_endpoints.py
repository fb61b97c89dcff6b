"""Where a registry is asked: at its own host, but for the one whose images are named otherwise."""

from __future__ import annotations

import pytest

from pipeline.adapters.registry.session import Session
from pipeline.model import Repository


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("docker.io/vllm/vllm-openai", "https://registry-1.docker.io/v2/vllm/vllm-openai"),
        ("docker.io/python", "https://registry-1.docker.io/v2/library/python"),
        ("index.docker.io/library/python", "https://registry-1.docker.io/v2/library/python"),
        ("ghcr.io/team/vllm", "https://ghcr.io/v2/team/vllm"),
        ("127.0.0.1:5000/a", "http://127.0.0.1:5000/v2/a"),
    ],
)
def test_docker_hub_is_asked_where_its_api_is(name: str, asked: str) -> None:
    """See https://github.com/distribution/reference/blob/main/normalize.go."""
    assert Session(Repository.parse(name), None).root == asked
