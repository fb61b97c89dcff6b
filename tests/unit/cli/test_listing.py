"""Images as clusters and engines name them, read from a list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.cli import listing

if TYPE_CHECKING:
    from pathlib import Path

DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("name", "means"),
    [
        ("host.example/a/b:tag", "host.example/a/b:tag"),
        (f"host.example/a/b@{DIGEST}", f"host.example/a/b@{DIGEST}"),
        (f"host.example:5000/a/b:tag@{DIGEST}", f"host.example:5000/a/b@{DIGEST}"),
        (f"docker-pullable://host.example/a/b@{DIGEST}", f"host.example/a/b@{DIGEST}"),
        (f"containerd://host.example/a@{DIGEST}", f"host.example/a@{DIGEST}"),
        ("nginx", None),
        ("nginx:1.27", None),
        (DIGEST, None),
        (f"@{DIGEST}", None),
        ("host.example/a@sha256:short", None),
    ],
)
def test_what_runs_is_known_by_its_digest_where_it_has_one(name: str, means: str | None) -> None:
    found = listing.reference(name)
    assert (str(found) if found else None) == means


def test_a_list_has_one_image_on_a_line_and_comments(tmp_path: Path) -> None:
    (tmp_path / "list").write_text("a/b:1  # in production\n\n# nothing\n  c/d:2 and more\n")
    assert list(listing.listed(str(tmp_path / "list"))) == ["a/b:1", "c/d:2"]
