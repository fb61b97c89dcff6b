"""How large an image is, by layer and by package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import LayerSize, PackageSize, Sizes

if TYPE_CHECKING:
    from pipeline.stages.audit.inventory import Inventory

_MAX_MADE_BY = 200


def sizes(inventory: Inventory) -> Sizes:
    """Sizes in bytes. Files that a higher layer hides count in ``compressed``, not in ``installed``."""
    by_layer = [0] * max(len(inventory.layers), 1)
    for node in inventory.nodes.values():
        if node.kind == "file" and node.layer < len(by_layer):
            by_layer[node.layer] += node.size
    layers = tuple(
        LayerSize(
            digest=layer.digest,
            made_by=layer.made_by[:_MAX_MADE_BY],
            compressed=layer.size,
            installed=installed,
        )
        for layer, installed in zip(inventory.layers, by_layer, strict=False)
    )
    packages = tuple(
        PackageSize(name=distribution.name, version=distribution.version, installed=distribution.size)
        for distribution in sorted(
            inventory.distributions,
            key=lambda distribution: (-distribution.size, distribution.name, distribution.version),
        )
    )
    return Sizes(
        compressed=sum(layer.size for layer in inventory.layers),
        installed=sum(by_layer),
        layers=layers,
        packages=packages,
    )
