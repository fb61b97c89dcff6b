"""What is published, and what runs elsewhere: whether the evidence of each image still holds by a policy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from pipeline import compat
from pipeline.compat.explain.question import cell_of
from pipeline.model import Audited, History, Judgement, Reason, ReasonCode, is_immutable, signed_digest
from pipeline.runner.remembering import PARALLEL, remembered
from pipeline.stages import gate, publish

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pipeline.adapters.registry import Registry
    from pipeline.model import Acceptance, Declared, Digest, ImageRef, Repository, Support, TagRef
    from pipeline.runner.deploying import Judge


def of_published(judge: Judge, supports: Mapping[str, Support]) -> tuple[Audited, ...]:
    """Every tag of each repository where the policy wants what is published, in order.

    Beside what the gate says: whether all layers are there, whether each channel that ever moved with a
    transition names what the last one says, whether a channel's cell has come to the end of its support,
    and which newer release is out. ``supports`` are those of a matrix, by the ids of its cells. Raises
    RegistryError where a registry does not answer.
    """
    wanted = (
        repository for repository, presence in judge.policy.repositories.items() if presence == "published"
    )
    return tuple(one for repository in wanted for one in _of_repository(judge, repository, supports))


def of_running(judge: Judge, images: Mapping[str, ImageRef | TagRef | None]) -> tuple[Audited, ...]:
    """Each of these images, in order: current, superseded, expired, refused, yanked or unknown.

    They are by the names under which they run; None is what names no registry. Raises RegistryError where a
    registry that the policy names does not answer.
    """
    known = {one.repository for one in images.values() if one} & judge.policy.repositories.keys()
    channels = {repository: _channels(judge.registry(repository)) for repository in known}

    def audited(name: str) -> Audited:
        asked = images[name]
        if asked is None:
            text = f"{name} names no registry, so it is in no repository of the policy"
            reason = Reason(ReasonCode.REPOSITORY_UNNAMED, text, "pull it from where its proof is")
            return Audited(name, None, Judgement.UNKNOWN, (reason,))
        return _audited(name, judge.accept(asked), channels.get(asked.repository, ()))

    with ThreadPoolExecutor(PARALLEL) as pool:
        return tuple(pool.map(audited, images))


def _of_repository(
    judge: Judge, repository: Repository, supports: Mapping[str, Support]
) -> Iterator[Audited]:
    registry = judge.registry(repository)
    named, transitions = remembered(registry, judge.evidence)
    digests = sorted(set(named.values()))
    with ThreadPoolExecutor(PARALLEL) as pool:
        accepted = dict(zip(digests, pool.map(judge.accept, map(repository.at, digests)), strict=True))
        broken = dict(zip(digests, pool.map(partial(_broken, registry), digests), strict=True))
    channels = {digest for tag, digest in named.items() if not is_immutable(tag)}
    gone = {tag for declared in transitions for tag in declared.transition.tags} - named.keys()
    for tag in sorted({*named, *gone}):
        untold = tuple(_untold(repository.tagged(tag), named.get(tag), transitions))
        if digest := named.get(tag):
            more = (*broken[digest], *untold)
            one = _audited(f"{repository.tagged(tag)}", accepted[digest], channels, more)
            if not is_immutable(tag):
                one = of_channel(one, accepted[digest], supports)
                one = replace(one, notes=(*one.notes, *refused_later(accepted[digest], judge)))
            yield one
        elif untold:
            yield Audited(f"{repository.tagged(tag)}", None, Judgement.UNKNOWN, untold)


def _channels(registry: Registry) -> Collection[Digest]:
    """What the channels of a repository name."""
    names = [tag for tag in registry.tags() if not (signed_digest(tag) or is_immutable(tag))]
    found: Mapping[str, Digest] = publish.named(registry, names)
    return frozenset(found.values())


def _audited(
    asked: str, acceptance: Acceptance, channels: Collection[Digest], more: tuple[Reason, ...] = ()
) -> Audited:
    judgement = _judgement(acceptance, channels)
    if judgement.is_good and any(reason.code is ReasonCode.LAYER_MISSING for reason in more):
        judgement = Judgement.REFUSED
    return Audited(asked, acceptance.image, judgement, (*acceptance.reasons, *more))


def of_channel(audited: Audited, acceptance: Acceptance, supports: Mapping[str, Support]) -> Audited:
    """The same, with what its cell has come to: no new image follows there, or one of a newer release may."""
    if not acceptance.accepted:
        return audited
    cell = acceptance.proofs[0].record.cell
    ended = gate.support_ended(cell, supports.get(cell), datetime.now(UTC))
    made = cell_of(cell)
    newer = compat.newer_release(made) if made else ""
    return replace(
        audited,
        reasons=(*audited.reasons, *([ended] if ended else [])),
        notes=(f"{newer} is out",) if newer else (),
    )


def refused_later(acceptance: Acceptance, judge: Judge) -> Iterator[str]:
    """Which rule that begins on a later day refuses, first of all, an image that is accepted today."""
    image, today = acceptance.image, datetime.now(UTC).date().isoformat()
    to_come = (rule for rule in judge.policy.later if rule.since > today)
    if image is None or not acceptance.accepted:
        return
    for rule in sorted(to_come, key=lambda rule: rule.since):
        then = judge.from_day(rule).accept(image)
        if not then.accepted:
            yield f"refused from {rule.since} on: {then.reasons[0].text}"
            return


def _judgement(acceptance: Acceptance, channels: Collection[Digest]) -> Judgement:
    codes = {reason.code for reason in acceptance.reasons}
    if acceptance.image is None or not acceptance.statements:
        return Judgement.UNKNOWN
    if ReasonCode.YANKED in codes:
        return Judgement.YANKED
    if acceptance.accepted:
        return Judgement.CURRENT if acceptance.image.digest in channels else Judgement.SUPERSEDED
    return Judgement.EXPIRED if codes == {ReasonCode.STALE} else Judgement.REFUSED


def _broken(registry: Registry, digest: Digest) -> tuple[Reason, ...]:
    """What of an image is not in its registry any more."""
    manifest = registry.manifest(digest)
    missing = registry.missing(manifest) if manifest else ()
    if manifest and not missing:
        return ()
    what = f"{len(missing)} of its layers are gone" if manifest else "its manifest is gone"
    hint = "python -m pipeline publish brings it again, where staging has it"
    return (Reason(ReasonCode.LAYER_MISSING, f"{registry.repository.at(digest)}: {what}", hint),)


def _untold(tag: TagRef, now: Digest | None, transitions: Sequence[Declared]) -> Iterator[Reason]:
    """Whether a tag does not name what its last transition says; one that has none was never announced."""
    history = History.of(tag, now, tuple(transitions))
    if not history.is_told:
        last = history.moves[-1].transition
        said = last.tags[tag.tag].after or "nothing"
        text = f"{tag} names {now or 'nothing'}; at {last.at} {last.actor} signed that it names {said}"
        yield Reason(ReasonCode.TAG_UNTOLD, text, "find out who moved it; python -m pipeline repair")
