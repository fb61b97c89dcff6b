"""What an index may not do, told without one: lead from https to http, or to pip's settings that are none."""

from __future__ import annotations

import httpx
import pytest

from pipeline.adapters.package_index import client
from pipeline.adapters.package_index.settings import said
from pipeline.model.errors import FactsError


def followed(old: str, new: str) -> str:
    return str(client.followed(httpx.URL(old), new, "a page"))


@pytest.mark.parametrize("new", ["http://x.example/y", "file:///etc/passwd", "ftp://x.example/y", "//[::1"])
def test_a_redirect_never_leaves_https(new: str) -> None:
    with pytest.raises(FactsError, match="a page"):
        followed("https://x.example/y", new)


def test_a_redirect_may_lead_to_another_host_and_into_https() -> None:
    assert followed("http://x.example/y", "https://z.example/y") == "https://z.example/y"


def test_pips_settings_are_heard_where_they_are_texts() -> None:
    """The command's own section wins over the general one."""
    listed = "global.index-url='https://a.example'\ninstall.index-url='https://b.example'\nglobal.cert='/c'\n"
    assert said(listed) == {"index-url": "https://b.example", "cert": "/c"}
    assert said("global.index-url=[[[[\nglobal.cert=\nnothing\n") == {}
