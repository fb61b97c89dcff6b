"""Names of repositories, images and tags: each reads back as written, and none is mistaken for another."""

from __future__ import annotations

import pytest

from pipeline.model import (
    Digest,
    ImageRef,
    Repository,
    TagRef,
)
from tests.unit.model.test_model import HEX


@pytest.mark.parametrize("text", ["a.example.org/b", "localhost/b", "a:5000/b/c-d_e.f", "[::1]:5000/b"])
def test_a_repository_reads_back_as_it_is_written(text: str) -> None:
    """Host and path are told apart, and put together again."""
    assert str(Repository.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["vllm", "team/vllm", "a.example.org/B", "a.example.org/b:tag", "a.example.org/", ""]
)
def test_a_repository_names_its_host_and_no_tag(text: str) -> None:
    """There is no default registry, so that nothing goes where nobody said."""
    with pytest.raises(ValueError, match="is no repository"):
        Repository.parse(text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.org/x/../y", "is no path"),
        ("a.org/x//y", "is no path"),
        ("a.org/x/./y", "is no path"),
        ("a.org//x", "is no path"),
        ("a.org/x/", "is no path"),
        ("a.org/x-", "is no path"),
        ("a.org/x...y", "is no path"),
        ("a.org/x___y", "is no path"),
        ("a.org/x._y", "is no path"),
        ("a.org/%2e%2e/y", "is no path"),
        ("a.org/x?y", "is no path"),
        ("a.org/ü", "is no path"),
        ("a..b/c", "is no host"),
        ("a.b./c", "is no host"),
        (".a.b/c", "is no host"),
        ("-a.b/c", "is no host"),
        ("a-.b/c", "is no host"),
        ("a_b.c/d", "is no host"),
        ("A.org/b", "is no host"),
        ("ü.org/b", "is no host"),
        (f"{'a' * 70}.org/b", "is no host"),
        ("user:word@a.org/b", "is no host"),
        ("user@a.org/b", "is no host"),
        ("https://a.org/b", "is no host"),
        ("a.org:/b", "is no host"),
        ("a.org:0/b", "is no host"),
        ("a.org:05000/b", "is no host"),
        ("a.org:\u0665/b", "is no host"),
        ("a.org:65536/b", "no port 65536"),
        ("a.org:70000/b", "no port 70000"),
        (f"a.org:{'1' * 4400}/b", "more than 255"),
        (f"a.org/{'b' * 250}", "more than 255"),
        ("127.0.0.256/b", "256"),
        ("127.1:5000/b", "127.1"),
        ("0177.0.0.1:5000/b", "0177"),
        ("[::1/b", "is no host"),
        ("[]:5000/b", "is no host"),
        ("[1::2::3]:5000/b", "1::2::3"),
        ("[::1%25lo]:5000/b", "is no host"),
        ("[::1]:99999/b", "no port"),
        ("127.0.0.1:5000/a\n", "is no path"),
        ("::error::x/y", "no host"),
    ],
)
def test_what_no_registry_could_hold_is_no_repository(text: str, why: str) -> None:
    """The grammar is that of the OCI distribution specification, and of host names; the message says why."""
    with pytest.raises(ValueError, match="is no repository") as refused:
        Repository.parse(text)
    assert why in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "ghcr.io/a/b",
        "a.org:65535/b",
        "xn--bcher-kva.example/a__b/c--d/e.f_g",
        "192.0.2.7/b",
        "[2001:db8::1]:443/b",
    ],
)
def test_what_registries_hold_is_a_repository(text: str) -> None:
    """Every form that the specification allows."""
    assert str(Repository.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("127.0.0.1:5000/a", True),
        ("localhost/a", True),
        ("127.0.0.1.example.org/a", False),
        ("a.org/a", False),
    ],
)
def test_loopback_is_this_machine_only(text: str, expected: bool) -> None:
    """A host that begins like an address of loopback is not one."""
    assert Repository.parse(text).is_loopback is expected


def test_an_image_is_named_by_digest_never_by_tag() -> None:
    """The two are different types, and neither parses as the other."""
    ref = ImageRef.parse(f"127.0.0.1:5000/a@sha256:{HEX}")
    assert str(ref) == f"127.0.0.1:5000/a@sha256:{HEX}"
    with pytest.raises(ValueError, match="names no digest"):
        ImageRef.parse("127.0.0.1:5000/a:latest")
    with pytest.raises(ValueError, match="is no sha256 digest"):
        ImageRef.parse("127.0.0.1:5000/a@sha256:abc")


@pytest.mark.parametrize("tag", ["", ".a", "-a", "a b", "a/b", "a\n", "a+b", "a" * 129])
def test_what_no_registry_takes_is_no_tag(tag: str) -> None:
    """It is refused here, not by the registry."""
    with pytest.raises(ValueError, match="is no tag"):
        TagRef(Repository.parse("127.0.0.1:5000/a"), tag)


def test_a_digest_is_that_of_the_bytes() -> None:
    """Known answer: the empty body."""
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert Digest.of(b"").hex == empty
