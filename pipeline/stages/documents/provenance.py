"""How an image was built, as SLSA's provenance (https://slsa.dev/spec/v1.0/provenance).

Who built it says so, at once: nobody else knows when, from which checkout, and that it was done at all.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pipeline.model import PROJECT, Document, DocumentKind, canonical, to_json
from pipeline.stages.documents import purls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.model import Built, Pin

BUILD_TYPE = f"urn:{PROJECT}:build:v1"
"""How parameters and dependencies are to be read: docs/certificate.md has it."""

_SHAPING = (
    *("cell", "base", "packages", "constraints", "overrides", "omit"),
    *("trim", "system", "env", "labels", "serve", "gpu_memory"),
)
"""The fields of a spec that shape an image or its lock; the others say how it is tried and judged."""


def builder_of(signer: str) -> str:
    """The builder of whoever signs with the key of this fingerprint: there is nothing else to know it by."""
    return f"urn:{PROJECT}:builder:{signer}"


def provenance(built: Built, signer: str) -> Document:
    """The provenance of a build, for whoever signs it with the key of this fingerprint."""
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                name: to_json(getattr(built.spec, name)) for name in _SHAPING if getattr(built.spec, name)
            },
            "internalParameters": {"buildKey": built.image.build_key, "lock": built.lock.digest},
            "resolvedDependencies": list(_dependencies(built)),
        },
        "runDetails": {
            "builder": {"id": builder_of(signer), "version": {PROJECT: version(PROJECT)}},
            "metadata": {
                "invocationId": built.run,
                "startedOn": built.started,
                "finishedOn": built.finished,
            },
        },
    }
    digest = str(built.image.ref.digest)
    return Document(DocumentKind.PROVENANCE, digest, built.finished, canonical(predicate).decode())


def _dependencies(built: Built) -> Iterator[dict[str, Any]]:
    """All that went into it, by hash: base, recipe, the installer, every wheel, and the source, if known."""
    base = built.base
    yield {"name": "base", "uri": str(purls.of_image(base)), "digest": {"sha256": base.digest.hex}}
    yield {"name": "recipe", "digest": {"sha256": built.recipe}}
    yield _wheel("installer", built.tool)
    if source := built.source:
        more = {"annotations": {"dirty": True}} if source.is_dirty else {}
        yield {"name": "source", "digest": {"gitCommit": source.commit}, **more}
    for pin in built.lock.pins:
        yield _wheel(pin.filename, pin)


def _wheel(name: str, pin: Pin) -> dict[str, Any]:
    return {"name": name, "uri": str(purls.of_wheel(pin)), "digest": {"sha256": pin.sha256}}
