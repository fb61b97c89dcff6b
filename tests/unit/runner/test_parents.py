"""What an image was made from is told by its lowest layers, not by its label alone."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline.adapters.registry import OCI_MANIFEST, Manifest
from pipeline.model import Digest, Expectations, ImageTarget, Trial
from pipeline.runner.parents import parent_of
from pipeline.runner.subjects import Subject
from tests.builders import CPU_CELL
from tests.memory_registry import memory_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.adapters.registry import Registry
    from pipeline.model import ImageRef

OURS = ("1", "2")
"""The layers of the published image."""


@pytest.fixture
def destination() -> Iterator[Registry]:
    with memory_registry() as registry:
        yield registry.at("team/vllm")


def pushed(destination: Registry, *layers: str, tag: str = CPU_CELL.id) -> ImageRef:
    """An image with these layers, by their digests as unpacked."""
    document = {"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": list(digests(*layers))}}
    config = destination.put_blob(json.dumps(document).encode())
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config.plain, "layers": []}
    body = json.dumps(manifest).encode()
    return destination.repository.at(destination.put_manifest(Manifest(body, OCI_MANIFEST), tag))


def digests(*layers: str) -> tuple[str, ...]:
    return tuple(str(Digest.of(layer.encode())) for layer in layers)


def derived(*layers: str, cell: str = CPU_CELL.id, digest: Digest | None = None) -> Subject:
    """An image that says it is of this cell, with these layers."""
    target = ImageTarget(ref=f"sha256:{'0' * 64}")
    trial = Trial(cell=CPU_CELL, run="test", target=target, expected=Expectations(), model="/nowhere")
    labels = {"tagproof.cell": cell} if cell else {}
    return Subject(digest or Digest.of(b"it"), trial, labels=labels, diff_ids=digests(*layers))


def services(destination: Registry) -> Any:
    matrix = SimpleNamespace(repository=destination.repository, specs=())
    return cast("Any", SimpleNamespace(matrix=matrix, destination=destination, has_registry=lambda _: True))


def test_an_image_whose_lowest_layers_are_a_published_ones_was_made_from_it(destination: Registry) -> None:
    pushed(destination, "another", "2", tag=f"{CPU_CELL.id}-0")
    image = pushed(destination, *OURS)
    parent = parent_of(services(destination), derived(*OURS, "3"))
    assert parent
    assert (parent.image, parent.cell, parent.layers) == (str(image), CPU_CELL.id, 2)


@pytest.mark.parametrize("layers", [("1", "x", "3"), ("1",), ("0", "1", "2"), ()])
def test_one_whose_layers_were_touched_was_not(layers: tuple[str, ...], destination: Registry) -> None:
    """Whatever its label says."""
    pushed(destination, *OURS)
    assert parent_of(services(destination), derived(*layers)) is None


def test_one_without_a_label_of_ours_was_not_either(destination: Registry) -> None:
    pushed(destination, *OURS)
    assert parent_of(services(destination), derived(*OURS, "3", cell="")) is None


def test_an_image_is_not_its_own_parent(destination: Registry) -> None:
    image = pushed(destination, *OURS)
    assert parent_of(services(destination), derived(*OURS, digest=image.digest)) is None
