"""A cool-down: no wheel enters a lock before it was on its index for some days, so that others meet it first.

uv looks at the time of upload of each file by itself, so a file that is added to an old version is as young
as it is. A wheel without such a time it never takes. That is right for the default index, and would leave no
cell whose PyTorch or vLLM comes from its makers' own index, or from a folder: these tell no time. They are
asked for by one exact build of one project, so they are let through, and the lock names them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from pipeline.adapters import uv
from pipeline.model import Cooled, JustifiedRequirement, project_of
from pipeline.model.errors import ResolveError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.model import Cooldown

    Ask = Callable[[uv.Cutoff | None], tuple[uv.Found, ...]]

_MAX_NAMED = 5
_UNDATED = "its makers' own index, or a folder, which gives no time of upload"


def cutoff(cooldown: Cooldown, ask: Ask, requirements: Sequence[str], today: date) -> uv.Cutoff:
    """What uv is to be held to. ``ask`` resolves, and is used where a glob has to become names."""
    literal = [rule.text for rule in cooldown.exceptions if not set(rule.text) & set("*?[")]
    if len(literal) < len(cooldown.exceptions):
        literal += [package.name for package in ask(None) if _exception(cooldown, package.name)]
    builds = [project_of(requirement) for requirement in requirements if "+" in requirement]
    return uv.Cutoff(today - timedelta(days=cooldown.days), frozenset([*literal, *builds]))


def resolved(ask: Ask, limit: uv.Cutoff, today: date) -> tuple[uv.Found, ...]:
    """What ``ask`` finds within the limit. Raises ResolveError, which names what is too young for it."""
    try:
        return ask(limit)
    except ResolveError as error:
        newest = ask(None)  # where that fails too, youth is not the reason
        young = [one for one in newest if one.name not in limit.excepted and not _is_old(one, limit.before)]
        named = [one for one in young if f"`{one.name}` was filtered" in error.what] or young
        if not named:
            raise
        raise _too_young(named, limit.before, today) from error


def judged(cooldown: Cooldown, found: Sequence[uv.Found], limit: uv.Cutoff, today: date) -> Cooled:
    """What the lock says of its cool-down. Raises ResolveError for a young package without an exception."""
    young = [one for one in found if not _is_old(one, limit.before)]
    reasons = {one.name: rule for one in young if (rule := _exception(cooldown, one.name))}
    if strange := [one for one in young if one.uploaded and one.name not in reasons]:
        raise _too_young(strange, limit.before, today)
    needed = {rule.text for rule in reasons.values()}

    def justified(one: uv.Found, age: str = "") -> JustifiedRequirement:
        rule = reasons.get(one.name)
        return JustifiedRequirement(f"{one.name}=={one.version}{age}", rule.reason if rule else _UNDATED)

    return Cooled(
        cooldown.days,
        limit.before,
        young=tuple(justified(one, f" ({_age(one, today)})") for one in young if one.uploaded),
        undated=tuple(justified(one) for one in young if not one.uploaded),
        unneeded=tuple(rule.text for rule in cooldown.exceptions if rule.text not in needed),
    )


def _exception(cooldown: Cooldown, name: str) -> JustifiedRequirement | None:
    return next((rule for rule in cooldown.exceptions if fnmatchcase(name, rule.text)), None)


def _is_old(package: uv.Found, before: date) -> bool:
    return package.uploaded is not None and package.uploaded < datetime.combine(before, time(), UTC)


def _age(package: uv.Found, today: date) -> str:
    """How long it has been on its index, as a text."""
    if package.uploaded is None:
        return "its index gives no time of upload"
    days = max(0, (today - package.uploaded.astimezone(UTC).date()).days)
    return f"{days} day{'' if days == 1 else 's'} old"


def _too_young(packages: Sequence[uv.Found], before: date, today: date) -> ResolveError:
    named = ", ".join(f"{one.name}=={one.version} ({_age(one, today)})" for one in packages[:_MAX_NAMED])
    more = f" and {len(packages) - _MAX_NAMED} more" if len(packages) > _MAX_NAMED else ""
    days = (today - before).days
    names = ", ".join(one.name for one in packages)
    return ResolveError(
        f"a cool-down of {days} days (`lock: cooldown:`) leaves no version of {named}{more}",
        hint="wait, ask for an older release, or write under `lock:` in matrix.yaml "
        f'`exceptions: [{{packages: [{names}], reason: "…"}}]`',
    )
