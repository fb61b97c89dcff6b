"""An audit of what is published, and of what runs elsewhere, on a real registry."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import Life
from pipeline.model.errors import GOOD, REFUSED
from tests.system.publish.owning import Owner, ago, digest, owner_of
from tests.system.publish.publishing import CELL, CHANNELS, put, tags

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Bench, Server

pytestmark = pytest.mark.needs("registry")


@pytest.fixture
def owner(bench: Bench, tmp_path: Path) -> Owner:
    return owner_of(bench, tmp_path)


def audited(owner: Owner, *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The exit code, and what is said of each reference by its end: the tag, or the name as it runs."""
    code, out, err = owner.types("audit", *words, "--json")
    assert out, err
    return code, {one["asked"].rpartition(":")[2]: one for one in json.loads(out)["audited"]}


def codes(one: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in one["reasons"]]


def test_what_is_well_is_current_or_superseded_and_the_exit_code_is_good(owner: Owner) -> None:
    code, found = audited(owner)
    assert code == GOOD
    assert {tag: one["judgement"] for tag, one in found.items()} == {
        owner.old.immutable_tag: "superseded",
        owner.new.immutable_tag: "current",
        **dict.fromkeys(CHANNELS, "current"),
    }


def test_a_cell_past_its_last_day_is_found_at_its_channels(owner: Owner) -> None:
    matrix = owner.folder / "matrix.yaml"
    support = 'support: [{cells: "*", until: "2026-01-01", reason: the fleet has gone on}]\n'
    matrix.write_text(matrix.read_text() + support)
    code, found = audited(owner)
    assert code == REFUSED
    assert {tag for tag, one in found.items() if codes(one) == ["support-ended"]} == {*CHANNELS}


def test_a_rule_to_come_that_will_refuse_a_channel_is_noted_and_refuses_nothing_yet(owner: Owner) -> None:
    """Of versions that no proof here has: the check `serve` of these was the first one."""
    matrix = owner.folder / "matrix.yaml"
    rule = '{from: "2999-01-01", at_least: {serve: 9}}'
    matrix.write_text(matrix.read_text() + f"verify: {{required: [serve], later: [{rule}]}}\n")
    code, found = audited(owner)
    assert code == GOOD
    noted = {tag for tag, one in found.items() if "refused from 2999-01-01 on: serve" in str(one["notes"])}
    assert noted == {*CHANNELS}


def test_a_tag_on_what_nobody_signed_is_found(owner: Owner) -> None:
    stranger = owner.bench.image("3" * 64)
    manifest = owner.bench.staging.manifest(stranger.ref.digest)
    assert manifest
    owner.bench.destination.mount_or_copy_blobs(manifest.blobs, owner.bench.staging)
    owner.bench.destination.put_manifest(manifest, "latest")
    code, found = audited(owner)
    assert (code, found["latest"]["judgement"]) == (REFUSED, "unknown")
    assert found[CELL.id]["judgement"] == "current"


def test_a_layer_that_is_gone_is_found_though_its_evidence_holds(
    own_bench: Bench, own_server: Server, tmp_path: Path
) -> None:
    owner = owner_of(own_bench, tmp_path)
    manifest = owner.bench.destination.manifest(owner.new.ref.digest)
    assert manifest
    lost = manifest.layers[0].digest.hex
    shutil.rmtree(own_server.data / "docker/registry/v2/blobs/sha256" / lost[:2] / lost)
    code, found = audited(owner)
    assert (code, found["latest"]["judgement"]) == (REFUSED, "refused")
    assert "layer-missing" in codes(found["latest"])


def test_a_proof_that_has_grown_too_old_has_expired(bench: Bench, tmp_path: Path) -> None:
    image, decision = bench.proven("4" * 64, **ago(days=40))
    put(bench, image, decision, channels=("old",))
    owner = owner_of(bench, tmp_path)
    matrix = owner.folder / "matrix.yaml"
    matrix.write_text(f"{matrix.read_text()}verify: {{max_age_days: 30}}\n")
    code, found = audited(owner)
    assert (code, found["old"]["judgement"], codes(found["old"])) == (REFUSED, "expired", ["stale"])
    assert found["latest"]["judgement"] == "current"


def test_a_tag_that_was_moved_after_its_last_transition_is_found(owner: Owner) -> None:
    assert owner.types("rollback", "latest", "--reason", "slow")[0] == GOOD
    assert audited(owner)[0] == GOOD
    manifest = owner.bench.destination.manifest(owner.new.ref.digest)
    assert manifest
    owner.bench.destination.put_manifest(manifest, "latest")
    code, found = audited(owner)
    assert (code, codes(found["latest"])) == (REFUSED, ["tag-untold"])


def test_of_what_runs_elsewhere_each_image_is_told_apart(owner: Owner) -> None:
    """By tag, by digest, as a cluster names it; with a policy alone, and without a matrix."""
    assert owner.types("yank", digest(owner.old), "--reason", "wrong")[0] == GOOD
    policy, running = owner.folder / "policy.yaml", owner.folder / "running.txt"
    policy.write_text(owner.types("policy", "export")[1])
    repository = owner.bench.destination.repository
    current = f"docker-pullable://{repository}@{digest(owner.new)}"
    names = [f"{repository}:latest", current, f"{repository}:x@{digest(owner.old)}", "nginx", "a.b/c/d:e"]
    running.write_text("\n".join([*names, names[0], "# the end"]))
    code, out, err = owner.types("audit", "--images", str(running), "--policy", str(policy), "--json")
    assert code == REFUSED, err
    found = [(one["asked"], one["judgement"]) for one in json.loads(out)["audited"]]
    assert found == list(zip(names, ["current", "current", "yanked", "unknown", "unknown"], strict=True))
    assert owner.lives(owner.old) == [Life.YANKED]
    assert tags(owner.bench)


def test_a_job_gets_a_table_for_its_summary(owner: Owner) -> None:
    code, out, _ = owner.types("audit", "--markdown")
    assert (code, out.startswith("4 looked at: ")) == (GOOD, True)
    assert f"| current | {owner.bench.destination.repository}:latest |" in out
