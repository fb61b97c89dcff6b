"""Published, superseded, yanked: what becomes of a tag, as somebody types it, on a real registry."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from pipeline import matrix
from pipeline.adapters.registry import Registry
from pipeline.model import Life, Publication, Reason, Repository
from pipeline.model.errors import GOOD, REFUSED, USAGE
from pipeline.runner.declaring import announcer
from pipeline.runner.services import Services, Settings
from tests.system.publish.owning import Owner, ago, digest, owner_of
from tests.system.publish.publishing import CELL, CHANNELS, put, tags

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Answer, Bench, Proxy

pytestmark = pytest.mark.needs("registry")

EVERY = int(os.environ.get("TAGPROOF_KILLS", "71"))
"""Requests between two kills; 1 where somebody has the hours."""

WHY = ("--reason", "answers wrong with fp8")


@pytest.fixture
def owner(bench: Bench, tmp_path: Path) -> Owner:
    return owner_of(bench, tmp_path)


# -- yank -------------------------------------------------------------------------------------------


def test_a_yanked_digest_loses_every_tag_to_the_newest_that_holds_and_stays_for_who_pinned_it(
    owner: Owner,
) -> None:
    code, out, err = owner.types("yank", CELL.id, *WHY)
    assert code == GOOD, err
    assert f"yanked: {digest(owner.new)} of {CELL.id}" in out
    names = tags(owner.bench)
    assert set(names) == {owner.old.immutable_tag, *CHANNELS}
    assert set(names.values()) == {digest(owner.old)}
    destination = owner.bench.destination
    assert destination.intact(destination.repository.at(owner.new.ref.digest))


def test_where_no_other_image_holds_the_channels_of_a_yanked_one_are_gone(owner: Owner) -> None:
    assert owner.types("yank", digest(owner.old), *WHY)[0] == GOOD
    assert owner.channels() == {digest(owner.new)}
    code, out, err = owner.types("yank", f"{owner.bench.destination.repository}:latest", *WHY)
    assert (code, tags(owner.bench)) == (GOOD, {}), err
    assert "latest names nothing: it is gone" in out


def test_a_yanked_digest_is_published_by_nobody_whatever_is_proven_of_it_later(owner: Owner) -> None:
    assert owner.types("yank", digest(owner.new), *WHY)[0] == GOOD
    owner.bench.prove(owner.new, **ago(seconds=0))
    decision = owner.judged(owner.new)
    assert [reason.code for reason in decision.reasons] == ["yanked"]
    assert WHY[1] in decision.reasons[0].text
    refused = put(owner.bench, owner.new, replace(decision, reasons=()))
    assert isinstance(refused, Reason)
    assert (refused.code, "was yanked" in refused.text) == ("not-allowed", True)


def test_who_deploys_is_told_that_it_was_yanked_by_whom_and_why(owner: Owner) -> None:
    assert owner.types("yank", digest(owner.new), *WHY)[0] == GOOD
    policy = owner.folder / "policy.yaml"
    code, text, err = owner.types("policy", "export")
    assert code == GOOD, err
    policy.write_text(text)
    reference = str(owner.bench.destination.repository.at(owner.new.ref.digest))
    code, out, _ = owner.types("gate", reference, "--policy", str(policy))
    assert (code, WHY[1] in out, out.startswith(f"no: {reference}: it was yanked at ")) == (
        REFUSED,
        True,
        True,
    )


def test_to_yank_twice_is_to_yank_once(owner: Owner) -> None:
    first, second = (owner.types("yank", digest(owner.new), *WHY)[0] for _ in range(2))
    assert (first, second, owner.lives(owner.new)) == (GOOD, GOOD, [Life.YANKED])


def test_what_is_not_there_is_not_yanked(owner: Owner) -> None:
    code, _, err = owner.types("yank", "no-such-tag", *WHY)
    assert (code, "has no tag no-such-tag" in err) == (USAGE, True)


def test_a_yank_that_is_killed_at_any_request_is_ended_by_a_second_one(
    bench: Bench, proxy: Proxy, tmp_path: Path
) -> None:
    """From the moment that it is signed no gate allows the digest, whatever its tags still say."""
    kills = 0
    for last in count(1, EVERY):
        own = bench.elsewhere()
        near = replace(
            own,
            staging=Registry(Repository(proxy.host, own.staging.repository.path)),
            destination=Registry(Repository(proxy.host, own.destination.repository.path)),
        )
        owner = owner_of(near, tmp_path / str(last))
        proxy.seen.clear()
        with subprocess.Popen(
            owner.words("yank", digest(owner.new), *WHY),
            env=owner.around,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as yanker:

            def kill(
                _method: str, _path: str, yanker: subprocess.Popen[bytes] = yanker, last: int = last
            ) -> Answer | None:
                if len(proxy.seen) == last:
                    yanker.kill()
                return None

            proxy.before = kill
        proxy.before = lambda _method, _path: None
        if yanker.returncode == 0:
            break
        kills += 1
        is_signed = Life.YANKED in owner.lives(owner.new)
        beside = own.evidence.attestations_of(own.destination, owner.new.ref.digest)
        assert (near.gate(owner.new).holds(owner.new.ref.digest, beside) is None) is is_signed
        assert owner.types("yank", digest(owner.new), *WHY)[0] == GOOD
        assert owner.lives(owner.new) == [Life.YANKED]
        assert set(tags(near).values()) == {digest(owner.old)}
        assert not near.signatures.has(owner.new.ref.digest)
    assert kills > 1


# -- rollback ---------------------------------------------------------------------------------------


def test_a_tag_moves_back_to_the_newest_image_before_and_no_other_tag_does(owner: Owner) -> None:
    code, out, err = owner.types("rollback", "latest", *WHY)
    assert code == GOOD, err
    assert f"latest names {digest(owner.old)}" in out
    names = tags(owner.bench)
    assert (names["latest"], names[CELL.id]) == (digest(owner.old), digest(owner.new))


def test_what_was_moved_back_is_published_again_only_after_a_newer_proof(owner: Owner) -> None:
    assert owner.types("rollback", "latest", *WHY)[0] == GOOD
    decision = owner.judged(owner.new)
    assert [reason.code for reason in decision.reasons] == ["moved-back"]
    refused = put(owner.bench, owner.new, replace(decision, reasons=()))
    assert isinstance(refused, Reason)
    owner.bench.prove(owner.new, **ago(seconds=-2))
    assert isinstance(put(owner.bench, owner.new, owner.judged(owner.new)), Publication)
    assert owner.channels() == {digest(owner.new)}


def test_where_nothing_was_before_no_tag_moves(owner: Owner) -> None:
    before = tags(owner.bench)
    assert owner.types("yank", digest(owner.old), *WHY)[0] == GOOD
    code, out, err = owner.types("rollback", "latest", *WHY)
    assert (code, out) == (REFUSED, "")
    assert "no image of" in err
    assert tags(owner.bench)["latest"] == before["latest"]
    assert Life.SUPERSEDED not in owner.lives(owner.new)


def test_a_tag_moves_back_to_no_image_that_was_yanked(owner: Owner) -> None:
    assert owner.types("yank", digest(owner.old), *WHY)[0] == GOOD
    code, _, err = owner.types("rollback", "latest", "--to", digest(owner.old), *WHY)
    assert (code, "has no evidence that holds today" in err) == (REFUSED, True)


def test_an_immutable_tag_moves_nowhere(owner: Owner) -> None:
    code, _, err = owner.types("rollback", owner.new.immutable_tag, *WHY)
    assert (code, "is immutable" in err) == (USAGE, True)


# -- history ----------------------------------------------------------------------------------------


def test_history_says_what_a_tag_named_and_why_it_moved(owner: Owner) -> None:
    """Of publications this repository has none: whoever made them announced nothing."""
    moved = owner.types("rollback", "latest", *WHY)[0]
    yanked = owner.types("yank", digest(owner.old), "--reason", "worse still")[0]
    assert (moved, yanked) == (GOOD, GOOD)
    code, out, err = owner.types("history", "latest", "--json")
    assert code == GOOD, err
    found = json.loads(out)
    ways = [(move["life"], move["before"], move["after"]) for move in found["moves"]]
    assert ways == [
        ("superseded", digest(owner.new), digest(owner.old)),
        ("yanked", digest(owner.old), None),
    ]
    assert [move["reason"] for move in found["moves"]] == [WHY[1], "worse still"]
    assert (found["now"], found["told"]) == (None, True)


def test_history_tells_what_a_tag_named_at_a_time(owner: Owner) -> None:
    assert owner.types("rollback", "latest", *WHY)[0] == GOOD
    yesterday = (datetime.now(UTC) - timedelta(days=1)).strftime("%Y-%m-%d")
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    assert owner.types("history", "latest", "--at", yesterday)[:2] == (GOOD, f"{digest(owner.new)}\n")
    assert owner.types("history", "latest", "--at", today)[:2] == (GOOD, f"{digest(owner.old)}\n")


def test_a_tag_that_was_moved_behind_our_back_has_a_history_that_says_so(owner: Owner) -> None:
    assert owner.types("rollback", "latest", *WHY)[0] == GOOD
    manifest = owner.bench.destination.manifest(owner.new.ref.digest)
    assert manifest
    owner.bench.destination.put_manifest(manifest, "latest")
    code, out, err = owner.types("history", "latest")
    assert (code, f"now: {digest(owner.new)}\n" in out) == (REFUSED, True)
    assert "nobody signed why" in err


def services_of(owner: Owner, key: str | None) -> Services:
    loaded = matrix.load(owner.folder / "matrix.yaml")
    return Services(Settings(loaded, key_pem=key))


def test_a_publication_is_signed_before_its_tags_move_and_history_tells_it(owner: Owner) -> None:
    image, decision = owner.bench.proven("5" * 64, **ago(minutes=1))
    announce = announcer(services_of(owner, owner.around["TAGPROOF_KEY"]), CELL.id, lambda _: None)
    seen: list[list[Life]] = []

    def look(step: str) -> None:
        if step == f"tag {image.immutable_tag} written":
            seen.append(owner.lives(image))

    assert isinstance(put(owner.bench, image, decision, announce=announce, on_step=look), Publication)
    assert seen == [[Life.PUBLISHED]]
    code, out, err = owner.types("history", "latest", "--json")
    assert code == GOOD, err
    (move,) = json.loads(out)["moves"]
    assert (move["life"], move["before"], move["after"]) == ("published", digest(owner.new), digest(image))
    assert move["reason"].startswith("proven at ")


def test_who_publishes_without_a_key_is_told_that_nothing_is_signed_of_it(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No key is made for it, and the tags move as they would."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "empty"))
    said: list[str] = []
    image, decision = owner.bench.proven("5" * 64, **ago(minutes=1))
    announce = announcer(services_of(owner, None), CELL.id, said.append)
    assert isinstance(put(owner.bench, image, decision, announce=announce), Publication)
    assert said == ["no key here that counts: the image is not signed plainly, and no move of its tags is"]
    assert owner.lives(image) == []
    assert not (tmp_path / "empty").exists()


def test_a_tag_of_which_no_move_was_signed_is_not_held_to_have_moved(owner: Owner) -> None:
    code, out, err = owner.types("history", "latest")
    assert (code, out, err) == (GOOD, f"no move of it was signed\nnow: {digest(owner.new)}\n", "")
