"""How large an image is, by layer and by package."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import LayerSize, PackageSize, Sizes

if TYPE_CHECKING:
    from pipeline.stages.audit.inventory import Inventory

_LONGEST = 200


def sizes(inventory: Inventory) -> Sizes:
    """Sizes in bytes. Installed is what is visible: what a higher layer hides is in compressed alone."""
    by_layer = [0] * max(len(inventory.layers), 1)
    for node in inventory.nodes.values():
        if node.kind == "file" and node.layer < len(by_layer):
            by_layer[node.layer] += node.size
    layers = tuple(
        LayerSize(
            digest=layer.digest, made_by=layer.made_by[:_LONGEST], compressed=layer.size, installed=installed
        )
        for layer, installed in zip(inventory.layers, by_layer, strict=False)
    )
    packages = tuple(
        PackageSize(name=one.name, version=one.version, installed=one.size)
        for one in sorted(inventory.distributions, key=lambda one: (-one.size, one.name, one.version))
    )
    return Sizes(
        compressed=sum(layer.size for layer in inventory.layers),
        installed=sum(by_layer),
        layers=layers,
        packages=packages,
    )
