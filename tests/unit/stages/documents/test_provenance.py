"""How an image was built: all that went into it, by hash, and who says so."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pipeline.model import Built, Digest, ImageRef, Repository, Revision
from pipeline.stages.documents import provenance
from tests.builders import IMAGE, REPOSITORY, lock, pin, spec

BASE = ImageRef(Repository("127.0.0.1:5000", "tagproof-staging/base"), Digest(f"sha256:{'c' * 64}"))
BUILT = Built(
    spec=spec(env=(("A", "b"),)),
    lock=lock(pin("torch"), pin("numpy")),
    image=IMAGE,
    base=BASE,
    recipe="e" * 64,
    tool=pin("uv"),
    repository=REPOSITORY,
    run="1-2",
    started="2030-01-02T03:00:05Z",
    finished="2030-01-02T03:04:05Z",
    source=Revision("f" * 40, is_dirty=False),
)
SIGNER = "9" * 64


def predicate(built: Built = BUILT) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(provenance(built, SIGNER).text)
    return value


def dependencies(built: Built = BUILT) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in predicate(built)["buildDefinition"]["resolvedDependencies"]}


def test_it_is_of_this_digest_and_this_moment() -> None:
    found = provenance(BUILT, SIGNER)
    assert (found.digest, found.created) == (str(IMAGE.ref.digest), BUILT.finished)


def test_every_wheel_the_base_and_the_recipe_are_named_by_hash() -> None:
    found = dependencies()
    wheels = {one.filename: {"sha256": one.sha256} for one in BUILT.lock.pins}
    assert {name: found[name]["digest"] for name in wheels} == wheels
    assert (
        found["torch-1.0-py3-none-any.whl"]["uri"]
        == "pkg:pypi/torch@1.0?file_name=torch-1.0-py3-none-any.whl"
    )
    assert found["base"]["digest"] == {"sha256": "c" * 64}
    assert found["recipe"]["digest"] == {"sha256": "e" * 64}
    assert found["installer"]["digest"] == {"sha256": pin("uv").sha256}
    assert found["source"]["digest"] == {"gitCommit": "f" * 40}
    assert len(found) == len(wheels) + 4


def test_a_dirty_checkout_is_said_to_be_one() -> None:
    """Its commit alone would name other files than were built."""
    dirty = replace(BUILT, source=Revision("f" * 40, is_dirty=True))
    assert dependencies(dirty)["source"]["annotations"] == {"dirty": True}
    assert "annotations" not in dependencies()["source"]


def test_without_a_checkout_there_is_no_source() -> None:
    assert "source" not in dependencies(replace(BUILT, source=None))


def test_the_cells_own_fields_are_its_parameters() -> None:
    """What shapes an image, and not how it is tried."""
    found = predicate()["buildDefinition"]
    assert found["externalParameters"]["cell"]["id"] == BUILT.spec.cell.id
    assert found["externalParameters"]["env"] == [["A", "b"]]
    assert not {"archs", "budget", "waivers", "support", "left_out"} & found["externalParameters"].keys()
    assert found["internalParameters"] == {"buildKey": IMAGE.build_key, "lock": BUILT.lock.digest}


def test_the_builder_is_known_by_the_key_that_signs() -> None:
    """And the run by its name, from when to when."""
    found = predicate()["runDetails"]
    assert found["builder"]["id"] == f"urn:tagproof:builder:{SIGNER}"
    assert found["metadata"] == {
        "invocationId": "1-2",
        "startedOn": BUILT.started,
        "finishedOn": BUILT.finished,
    }
