"""What is published, when staging has lost its copy: it stays what its proof makes it, and nothing more."""

from __future__ import annotations

import pytest

from pipeline.model import State
from pipeline.runner import retracting
from tests.system.publish.signed_cell import Cell, push

pytestmark = pytest.mark.needs("registry")


def lost_by_staging(cell: Cell) -> Cell:
    """What any registry's retention does to what is old: the image goes from staging, with its tag."""
    assert cell.services.staging.delete_manifest(cell.image.ref.digest)
    return cell.again()


def test_what_is_published_stays_so_when_staging_has_lost_it(cell: Cell) -> None:
    cell.publish()
    lost = lost_by_staging(cell)
    status = lost.status()
    assert (status.state, status.reasons) == (State.PUBLISHED, ())
    assert status.image
    assert status.image.ref == cell.destination.repository.at(cell.image.ref.digest)
    assert lost.gate(cell.destination.repository) == set()
    assert lost.publish().state is State.PUBLISHED


def test_a_channel_that_was_moved_is_set_right_without_staging_too(cell: Cell) -> None:
    cell.publish()
    other = push(cell.destination, cell.spec.cell.id, {})
    lost = lost_by_staging(cell)
    assert lost.status().state is State.PROVEN
    assert lost.publish().state is State.PUBLISHED
    assert cell.destination.digest_of(cell.spec.cell.id) == cell.image.ref.digest != other.digest


def test_whoever_writes_to_the_destination_has_nothing_tried_that_is_not_proven(cell: Cell) -> None:
    """Without its proof an image under the immutable tag is none of ours: a build makes it anew."""
    cell.publish()
    cell.strip(cell.destination)
    lost = lost_by_staging(cell)
    assert (lost.status().state, lost.status().image) == (State.UNBUILT, None)
    assert lost.gate(cell.destination.repository) == {"no-proof", "no-certificate"}


def test_what_is_yanked_is_refused_without_staging_too(cell: Cell) -> None:
    cell.publish()
    lost = lost_by_staging(cell)
    retracting.yank(lost.services, str(cell.image.ref.digest), "it answers wrongly", lambda _: None)
    manifest = cell.destination.manifest(cell.image.ref.digest)
    assert manifest
    assert lost.again().status().state is State.UNBUILT
    staging = cell.services.staging
    staging.mount_or_copy_blobs(manifest.blobs, cell.destination)
    staging.put_manifest(manifest, cell.image.build_key)  # as another build of the same does
    assert "yanked" in cell.again().gate(cell.destination.repository)
