"""What hides the attestations of an image, removed: junk among its referrers, and what is no list.

Only what refers to that very image is ever removed, and only what no trusted key signed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.adapters.registry import ContentError, Manifest
from pipeline.adapters.registry.referrers import (
    MAX_REFERRERS,
    MAX_REPAIRED_REFERRERS,
    is_own_tag,
    own_tag,
    own_tags,
)
from pipeline.formats.dsse import BUNDLE
from pipeline.model import Reason, canonical
from pipeline.stages.attest import signatures, store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.adapters.registry import Registry
    from pipeline.adapters.registry.referrers import SharedList
    from pipeline.formats.dsse import PublicKey
    from pipeline.model import Digest


def clean(
    registry: Registry, subject: Digest, trusted: Mapping[str, PublicKey], on_step: Callable[[str], None]
) -> None:
    """Have the attestations of an image readable again, and in every list.

    A list is replaced by one that can be read where its tag names something else, or where it names what is
    gone or no statement. Statements of others stay, unless there are more referrers than are read: then
    all that no trusted key signed goes, as it buries ours. Raises RegistryError where the registry does not
    answer.
    """
    referrers = registry.referrers(subject, BUNDLE, max_count=MAX_REPAIRED_REFERRERS)
    bundles = store.fetch_bundles(registry, referrers, subject)
    is_flooded = len(bundles) + len(referrers.broken) > MAX_REFERRERS
    kept, junk = set(), set()
    for bundle in bundles:
        is_signed = not isinstance(store.attestation_in(bundle, subject, trusted), Reason)
        if is_signed or (bundle.body and not is_flooded):
            kept.add(bundle.manifest)
        else:
            junk.add(bundle.manifest)
    for digest in sorted(junk):
        _remove(registry, subject, digest, on_step)
    for tag in registry.tags(own_tags(subject)):
        if is_own_tag(tag, subject) and tag not in {own_tag(subject, digest) for digest in kept}:
            registry.delete_tag(tag)
            on_step(f"tag {tag} removed: it shows no statement")
    gone = {str(digest) for digest in junk}
    _rewrite(registry, referrers.fallback, gone, on_step)
    _rewrite(registry, store.cosign_list(registry, subject), set(), on_step)
    _rewrite(registry, signatures.list_of(registry, subject), set(), on_step)
    if kept:
        store.complete_lists(registry, subject)


def _remove(registry: Registry, subject: Digest, digest: Digest, on_step: Callable[[str], None]) -> None:
    """Remove a manifest that refers to the subject, and nothing that merely stands in its list."""
    try:
        manifest = registry.manifest(digest)
        refers = manifest is not None and manifest.subject == subject
    except ContentError:
        refers = False
    if refers and registry.delete_manifest(digest):
        on_step(f"{digest} removed: no trusted key signed it")


def _rewrite(registry: Registry, shared: SharedList, gone: set[str], on_step: Callable[[str], None]) -> None:
    """The list without what is gone; an empty one where its tag names something else."""
    kept = [entry for entry in shared.entries if isinstance(entry, dict) and entry.get("digest") not in gone]
    if not shared.obstacle and kept == shared.entries:
        return
    body = canonical({**shared.document, shared.member: kept})
    registry.put_manifest(Manifest(body, shared.media_type), shared.tag)
    on_step(f"tag {shared.tag} is a list again, of {len(kept)}")
