"""Symbolic links: a path in an image leads where the kernel would lead it."""

from __future__ import annotations

import pytest

from pipeline.adapters.image_files.links import Links
from pipeline.adapters.image_files.nodes import Node


def links(**targets: str) -> Links:
    """An image with one file, /a/b/file, and these links; names are paths with _ for /."""
    nodes = {
        f"/{name.replace('_', '/')}": Node(f"/{name.replace('_', '/')}", "link", 0o777, 0, 0, 0, 0, target)
        for name, target in targets.items()
    }
    return Links(nodes | {"/a/b/file": Node("/a/b/file", "file", 0o644, 0, 0, 1, 0)})


@pytest.mark.parametrize(
    ("path", "real"),
    [
        ("/a/b/file", "/a/b/file"),
        ("/a/./b//file", "/a/b/file"),
        ("/up/b/file", "/a/b/file"),
        ("/far/file", "/a/b/file"),
        ("/far/../b/file", "/a/b/file"),
        ("/out/a/b/file", "/a/b/file"),
        ("/a/b/other", None),
        ("/circle", None),
        ("/circle/file", None),
    ],
)
def test_a_path_leads_where_the_kernel_would_lead_it(path: str, real: str | None) -> None:
    """``..`` is taken after links, and never leaves the image."""
    tree = links(up="a", far="/a/b", out="../../..", circle="circle")
    assert tree.file(path) == real
