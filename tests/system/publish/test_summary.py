"""What the gate decided is signed beside what is published, once for each decision, on a real registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import DocumentKind, Result, State
from tests.system.publish.signed_cell import Cell, push

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.needs("registry")


def summaries(cell: Cell) -> list[dict[str, Any]]:
    """Those beside the published image, the newest first."""
    beside = cell.services.evidence.attestations_of(cell.destination, cell.image.ref.digest)
    return [
        json.loads(one.document.text) for one in beside.documents if one.document.kind is DocumentKind.SUMMARY
    ]


def test_what_was_decided_is_there_with_what_it_was_decided_by(cell: Cell) -> None:
    cell.publish()
    (summary,) = summaries(cell)
    beside = cell.services.evidence.attestations_of(cell.destination, cell.image.ref.digest)
    statements = {beside.proofs[0].manifest.hex, beside.certificates[0].manifest.hex}
    assert {one["digest"]["sha256"] for one in summary["inputAttestations"]} == statements
    assert summary["policy"]["digest"]["sha256"] == cell.services.matrix.policy.digest.hex
    assert cell.status().state is State.PUBLISHED


def test_the_same_decision_is_said_once_and_another_one_again(cell: Cell) -> None:
    cell.publish()
    channel = cell.spec.cell.id
    push(cell.destination, channel, {})
    assert cell.publish().state is State.PUBLISHED
    assert len(summaries(cell)) == 1
    path = cell.services.matrix.path
    path.write_text(path.read_text() + "verify: {max_age_days: 30}\n")
    push(cell.destination, channel, {})
    assert cell.again().publish().state is State.PUBLISHED
    policies = [one["policy"]["digest"]["sha256"] for one in summaries(cell)]
    assert len(policies) == len(set(policies)) == 2


def test_of_what_is_refused_nothing_is_said(cell: Cell) -> None:
    cell.prove(minutes=5, result=Result.FAILED)
    cell.publish()
    beside = cell.services.evidence.attestations_of(cell.services.staging, cell.image.ref.digest)
    assert beside.documents == ()


@pytest.mark.needs("cosign")
def test_cosign_reads_it(cell: Cell, tmp_path: Path) -> None:
    cell.publish()
    done = cell.asks_cosign(DocumentKind.SUMMARY.predicate, tmp_path)
    assert done.returncode == 0, done.stderr
