"""Layers and the metadata of packages with bytes changed: an image is surveyed, or refused in one way."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from pipeline.formats.elf import ld_cache
from pipeline.model.errors import ImageError
from pipeline.stages.audit.survey import survey
from tests.crafted import Item, Packing, image, pack, tar

SITE = "opt/venv/lib/python3.11/site-packages"
INFO = f"{SITE}/numpy-2.3.4.dist-info"
METADATA = b"Metadata-Version: 2.4\nName: numpy\nVersion: 2.3.4\nRequires-Dist: a; extra == 'b'\n\nText.\n"
RECORD = b"numpy/__init__.py,sha256=abc,5\nnumpy-2.3.4.dist-info/RECORD,,\n../../../bin/f2py,sha256=x,9\n"


def layer(
    metadata: bytes = METADATA, record: bytes = RECORD, cache: bytes = b"glibc-ld.so.cache1.1"
) -> bytes:
    """A layer with one package and a loader's cache."""
    return tar(
        Item(f"{INFO}/METADATA", content=metadata),
        Item(f"{INFO}/RECORD", content=record),
        Item(f"{SITE}/numpy/__init__.py", content=b"x = 1"),
        Item("etc/ld.so.cache", content=cache),
        Item("etc/os-release", content=b"ID=debian\n"),
    )


WHOLE = layer()
edits = st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=12)), max_size=6)


@given(
    edits=edits,
    cut=st.none() | st.integers(0, len(WHOLE)),
    packing=st.sampled_from(["plain", "gzip", "zstd"]),
)
def test_a_layer_with_bytes_changed_is_surveyed_or_refused(
    edits: list[tuple[int, bytes]], cut: int | None, packing: Packing
) -> None:
    """In headers, names, sizes and contents alike; before it is packed."""
    body = bytearray(WHOLE)
    for place, more in edits:
        body[place : place + len(more)] = more
    with suppress(ImageError):
        survey(image(pack(bytes(body[:cut]), packing)))


@given(edits=edits, packing=st.sampled_from(["gzip", "zstd"]))
def test_a_packed_layer_with_bytes_changed_is_surveyed_or_refused(
    edits: list[tuple[int, bytes]], packing: Packing
) -> None:
    body = bytearray(pack(WHOLE, packing))
    for place, more in edits:
        at = place % len(body)
        body[at : at + len(more)] = more
    with suppress(ImageError):
        survey(image(bytes(body)))


@given(
    metadata=st.binary(max_size=200) | st.text(max_size=100).map(str.encode),
    record=st.binary(max_size=200) | st.text(alphabet=',"\n/.0 \\\x00x', max_size=100).map(str.encode),
    cache=st.binary(max_size=200),
)
def test_whatever_metadata_and_records_hold_the_image_is_surveyed(
    metadata: bytes, record: bytes, cache: bytes
) -> None:
    """They are a stranger's text: names without end, rows without columns, paths that climb."""
    found = survey(image(layer(metadata, record, cache)))
    assert f"/{INFO}/METADATA" in found.nodes
    assert len(found.distributions) == 1
    assert all(one.size >= 0 for one in found.distributions)


@given(st.binary(max_size=400))
def test_whatever_a_loaders_cache_holds_is_read_or_refused(body: bytes) -> None:
    with suppress(ValueError):
        ld_cache.read(b"glibc-ld.so.cache1.1" + body)
