"""Staging loses what nobody needs and nothing else, as somebody types it, on a real registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import Result
from pipeline.model.errors import GOOD, REFUSED
from tests.system.publish.owning import Owner, ago, digest, owner_of
from tests.system.publish.publishing import tags

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Image
    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")

LAYERS = 2 * 8000
"""Bytes of an image's own layers here; its configuration is its own too."""
KEPT_DAYS = 90


@pytest.fixture
def owner(bench: Bench, tmp_path: Path) -> Owner:
    """Two published images, which staging has under their build keys as a build leaves them."""
    owner = owner_of(bench, tmp_path)
    for image in (owner.old, owner.new):
        _tag(bench, image)
    return owner


def _tag(bench: Bench, image: Image, tag: str | None = None) -> Image:
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    bench.staging.put_manifest(manifest, tag or image.build_key)
    return image


def _tried(bench: Bench, build_key: str, **when: int) -> Image:
    """A candidate that nobody published, with a record of that age."""
    image = _tag(bench, bench.image(build_key))
    bench.prove(image, **ago(**when))
    return image


def _stays(owner: Owner) -> dict[str, str]:
    """Why each image of staging stays, by its digest."""
    code, out, err = owner.types("prune", "--json")
    assert code == GOOD, err
    return {one["image"].rpartition("@")[2]: one["stays"] for one in json.loads(out)["staged"]}


def test_only_what_is_old_and_has_no_tag_goes_and_only_when_asked(owner: Owner) -> None:
    bench = owner.bench
    aged = _tried(bench, "3" * 64, days=KEPT_DAYS + 5)
    before = tags(bench)
    code, out, err = owner.types("prune")
    assert (code, f"{digest(aged)}" in out, "nothing was removed" in err) == (GOOD, True, True)
    assert bench.staging.intact(aged.ref)
    code, out, err = owner.types("prune", "--remove")
    assert code == GOOD, err
    assert f"removed  {str(ago(days=KEPT_DAYS + 5)['finished'])[:10]}  {digest(aged)}" in out
    assert bench.staging.manifest(aged.ref.digest) is None
    assert all(bench.staging.intact(image.ref) for image in (owner.old, owner.new))
    assert tags(bench) == before
    assert aged.build_key not in bench.staging.tags()


def test_what_is_freed_is_what_no_other_image_has(owner: Owner) -> None:
    aged = _tried(owner.bench, "3" * 64, days=KEPT_DAYS + 5)
    manifest = owner.bench.staging.manifest(aged.ref.digest)
    assert manifest
    freed = json.loads(owner.types("prune", "--json")[1])["freed"]
    assert freed == sum(blob.size for blob in manifest.blobs) > LAYERS
    twin = {**manifest.document, "annotations": {"of": "the same layers"}}
    owner.bench.staging.put_manifest(type(manifest)(json.dumps(twin).encode(), manifest.media_type), "mine")
    assert json.loads(owner.types("prune", "--json")[1])["freed"] == 0


def test_each_that_stays_says_why(owner: Owner) -> None:
    bench = owner.bench
    young = _tried(bench, "3" * 64, days=KEPT_DAYS - 5)
    called = _tag(bench, _tried(bench, "4" * 64, days=KEPT_DAYS + 5), "keep-for-friday")
    unsigned = _tag(bench, bench.image("5" * 64))
    stays = _stays(owner)
    assert stays[digest(young)] == f"it is kept for {KEPT_DAYS} days"
    assert stays[digest(called)] == "somebody has called it keep-for-friday"
    assert stays[digest(unsigned)] == "no signer of the matrix says how old it is"
    assert stays[digest(owner.old)] == f"{bench.destination.repository}:{owner.old.immutable_tag} names it"


def test_the_matrix_says_for_how_long(owner: Owner) -> None:
    young = _tried(owner.bench, "3" * 64, days=KEPT_DAYS - 5)
    matrix = owner.folder / "matrix.yaml"
    matrix.write_text(matrix.read_text().replace("publish: {", "publish: {keep_days: 80, "))
    assert _stays(owner)[digest(young)] == ""


def test_a_failure_outlives_its_image(owner: Owner) -> None:
    """Whoever builds the same bytes again is told that they failed before."""
    bench = owner.bench
    image = _tag(bench, bench.image("3" * 64))
    when: dict[str, Any] = ago(days=KEPT_DAYS + 5)
    bench.prove(image, **when, result=Result.FAILED)
    manifest = bench.staging.manifest(image.ref.digest)
    assert manifest
    assert owner.types("prune", "--remove")[0] == GOOD
    bench.staging.put_manifest(manifest, image.build_key)
    beside = bench.evidence.attestations_of(bench.staging, image.ref.digest)
    assert [proof.record.result for proof in beside.proofs] == [Result.FAILED]


def test_a_registry_that_removes_nothing_is_told(bench: Bench, proxy: Proxy, tmp_path: Path) -> None:
    owner = owner_of(bench, tmp_path)
    aged = _tried(bench, "3" * 64, days=KEPT_DAYS + 5)

    def refuse(method: str, _path: str) -> Answer | None:
        return (405, {}, b"") if method == "DELETE" else None

    proxy.before = refuse
    near = f"{proxy.host}/{bench.destination.repository.path}"
    code, out, err = owner.types("prune", "--remove", "--repository", near)
    assert (code, "this registry removes no images" in err) == (REFUSED, True)
    assert f"goes     {str(ago(days=KEPT_DAYS + 5)['finished'])[:10]}  {digest(aged)}" in out
    assert bench.staging.intact(aged.ref)
