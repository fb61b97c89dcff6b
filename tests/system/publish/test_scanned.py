"""A scan that is signed beside an image decides about its tags and deployments, on a real registry."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters import signing_keys
from pipeline.formats import vulns
from pipeline.matrix import policy_file
from pipeline.model import Demand, DocumentKind, ScanTerms, Signer, State
from pipeline.model.errors import UsageError
from pipeline.runner import deploying, documenting, scanning
from tests.builders import exposure, rfc3339, scan
from tests.system.publish.signed_cell import push

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import ImageRef, Scan
    from tests.system.publish.signed_cell import Cell

pytestmark = pytest.mark.needs("registry")


def at(days: int = 0) -> str:
    return rfc3339(datetime.now(UTC) - timedelta(days=days))


def found(cell: Cell, *, days: int = 0, **changes: Any) -> Scan:
    """A scan of so many days ago, by which nothing is known unless it says so."""
    return replace(scan(cell.image), made=at(days), modified=at(days), **changes)


def attach(cell: Cell, made: Scan) -> tuple[ImageRef, ...]:
    return scanning.attach(cell.services, made, cell.image.ref)


def asking(cell: Cell) -> Cell:
    """The same cell, of whose images the matrix asks for a scan of this week."""
    path = cell.services.matrix.path
    path.write_text(path.read_text() + "scan: {max_age_days: 7, severity: medium}\n")
    return cell.again()


def test_without_the_scan_that_the_matrix_asks_for_there_is_no_tag(cell: Cell) -> None:
    asked = asking(cell)
    status = asked.publish()
    assert [reason.code for reason in status.reasons] == ["no-scan"]
    assert cell.tags() == set()
    attach(cell, found(cell, days=1, exposures=(exposure(),)))
    assert {reason.code for reason in asking_again(asked).reasons} == {"weakness"}
    attach(cell, found(cell))
    assert asking_again(asked).state is State.PUBLISHED
    assert cell.tags() >= {cell.spec.cell.id}


def asking_again(cell: Cell) -> Any:
    """What ``publish`` says, with nothing remembered."""
    return cell.again().publish()


def test_it_goes_where_the_image_goes_and_the_decision_names_it(cell: Cell) -> None:
    asked = asking(cell)
    attach(cell, found(cell))
    asked.publish()
    beside = cell.services.evidence.attestations_of(cell.destination, cell.image.ref.digest)
    (scanned,) = beside.scans
    summary = beside.newest_document(DocumentKind.SUMMARY)
    assert summary
    named = {one["digest"]["sha256"] for one in json.loads(summary.document.text)["inputAttestations"]}
    assert scanned.manifest.hex in named


def test_of_what_is_published_it_is_kept_in_both_places(cell: Cell) -> None:
    cell.publish()
    kept = scanning.attach(cell.services, found(cell), cell.destination.repository.at(cell.image.ref.digest))
    places = {cell.services.staging, cell.destination}
    assert {ref.repository for ref in kept} == {place.repository for place in places}
    for place in places:
        beside = cell.services.evidence.attestations_of(place, cell.image.ref.digest)
        assert beside.scans
        assert beside.missing == ()  # the publication is signed in the destination alone


def test_what_was_published_before_an_advisory_loses_its_proof_by_the_next_scan(cell: Cell) -> None:
    asked = asking(cell)
    attach(cell, found(cell, days=1))
    assert asked.publish().state is State.PUBLISHED
    attach(cell, found(cell, exposures=(exposure(),)))
    assert "weakness" in asked.again().codes()


def test_what_the_matrix_accepts_is_said_beside_it_once(cell: Cell) -> None:
    path = cell.services.matrix.path
    rule = '{ids: [CVE-2030-1], expires: "2100-01-01", reason: it is not called}'
    path.write_text(path.read_text() + f"scan: {{exceptions: [{rule}]}}\n")
    asked = cell.again()
    for _ in range(2):
        scanning.attach(asked.services, found(cell, exposures=(exposure(),)), cell.image.ref)
    beside = asked.services.evidence.attestations_of(asked.services.staging, cell.image.ref.digest)
    assert len(beside.scans) == 2
    (said,) = [one.document for one in beside.documents if one.document.kind is DocumentKind.VEX]
    (one,) = json.loads(said.text)["statements"]
    assert (one["vulnerability"]["name"], one["status"]) == ("CVE-2030-1", "affected")


def test_a_candidate_is_what_is_published_next(cell: Cell) -> None:
    named = documenting.candidate_of(cell.spec.cell.id, cell.services)
    assert named == str(cell.image.ref)
    with pytest.raises(UsageError, match="is no cell"):
        documenting.candidate_of("nothing", cell.services)


def test_a_deployment_asks_by_its_policy_alone(cell: Cell, tmp_path: Path) -> None:
    cell.publish()
    pem = signing_keys.public_pem(cell.services.key.public_key()).decode()
    policy = policy_file.of_matrix(cell.services.matrix, [Signer("team", pem)])
    file = tmp_path / "policy.yaml"
    file.write_text(policy_file.text_of(replace(policy, scan=ScanTerms(7, Demand()))))
    named = cell.destination.repository.at(cell.image.ref.digest)

    def codes() -> list[str]:
        return [reason.code for reason in deploying.Judge.by(policy_file.read(file)).accept(named).reasons]

    assert codes() == ["no-scan"]
    attach(cell, found(cell, days=8))
    assert codes() == ["no-scan"]
    attach(cell, found(cell))
    assert codes() == []


def test_a_scan_that_somebody_took_away_is_missed_once_another_one_names_it(cell: Cell) -> None:
    asked = asking(cell)
    attach(cell, found(cell, days=1, exposures=(exposure(),)))
    (first,) = cell.services.evidence.attestations_of(cell.services.staging, cell.image.ref.digest).scans
    attach(cell, found(cell))
    assert cell.services.staging.delete_manifest(first.manifest)
    assert "statement-missing" in asked.codes()


def test_another_image_in_no_registry_of_the_matrix_keeps_it_beside_itself(cell: Cell) -> None:
    elsewhere = replace(
        cell.services.matrix.repository, path=f"{cell.services.matrix.repository.path}-elsewhere"
    )
    other = push(type(cell.destination)(elsewhere), "latest", {})
    made = replace(found(cell), digest=str(other.digest))
    assert scanning.attach(cell.services, made, other) == (other,)


def test_a_result_that_cannot_be_read_is_the_users_mistake(cell: Cell, tmp_path: Path) -> None:
    ask = scanning.Ask([], Demand(), tmp_path / "absent.json")
    with pytest.raises(UsageError, match=r"absent\.json: No such file"):
        scanning.of_image(str(cell.image.ref), ask, cell.services)


@pytest.mark.needs("cosign")
def test_cosign_reads_it(cell: Cell, tmp_path: Path) -> None:
    cell.publish()
    attach(cell, found(cell, exposures=(exposure(),)))
    done = cell.asks_cosign(vulns.PREDICATE, tmp_path)
    assert done.returncode == 0, done.stderr
