"""Two published digests compared, as somebody types it, by what was signed beside both."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.model.errors import GOOD, USAGE
from tests.system.publish.owning import digest, owner_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Bench

pytestmark = pytest.mark.needs("registry")


def test_a_tag_and_a_digest_are_compared(bench: Bench, tmp_path: Path) -> None:
    owner = owner_of(bench, tmp_path)
    code, out, err = owner.types("diff", digest(owner.old), "latest", "--json")
    assert code == GOOD, err
    found = json.loads(out)
    assert (found["before"], found["after"]) == tuple(
        f"{bench.destination.repository}@{digest(image)}" for image in (owner.old, owner.new)
    )
    assert [change["name"] for change in found["changes"]] == ["proven"]


def test_what_has_no_certificate_is_compared_with_nothing(bench: Bench, tmp_path: Path) -> None:
    owner = owner_of(bench, tmp_path)
    stranger = bench.image("3" * 64)
    manifest = bench.staging.manifest(stranger.ref.digest)
    assert manifest
    bench.destination.mount_or_copy_blobs(manifest.blobs, bench.staging)
    bench.destination.put_manifest(manifest, "strange")
    code, _, err = owner.types("diff", "latest", "strange")
    assert (code, "no certificate by a signer" in err) == (USAGE, True)
