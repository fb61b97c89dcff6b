"""Reading vLLM's source archive: for which Pythons and architectures its released wheels were built."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.adapters.image_files.limits import Meter
from pipeline.adapters.image_files.stream import unpacked
from pipeline.adapters.image_files.tar import TarStream, entries
from pipeline.stages.refresh.reading import capabilities

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

_PIPELINE = ".buildkite/release-pipeline.yaml"
_CMAKE = "CMakeLists.txt"
_DOCKERFILES = ("docker/Dockerfile", "Dockerfile")
_ENOUGH = 3000
"""Members after which an archive that lacks one of these has it nowhere: they are in order of their names."""

_SMALL = 4 << 20
"""Bytes of a file that is looked at."""

_PYTHONS = re.compile(r"PYTHON_SUPPORTED_VERSIONS((?:\s+\"[0-9.]+\")+)")
_SUPPORTED = re.compile(r"set\(CUDA_SUPPORTED_ARCHS \"([0-9.;]+)\"\)")
_DEFAULT = re.compile(r"^ARG torch_cuda_arch_list='([^']+)'", re.MULTILINE)
_LIST = "torch_cuda_arch_list="
_CUDA = "CUDA_VERSION="


@dataclass(frozen=True)
class Built:
    """A wheel that the release pipeline builds. ``listed`` are architectures that it asks for by itself."""

    machine: str
    cuda: str
    listed: str | None


@dataclass(frozen=True)
class Build:
    """What a source archive says of the wheels built from it; each text with the file that it is from."""

    pythons: tuple[str, ...] | None = None
    pythons_from: str | None = None
    default: str | None = None
    default_from: str = ""
    wheels: tuple[Built, ...] = ()

    def archs(self, machine: str, cuda: str) -> tuple[tuple[str, ...] | None, str]:
        """The architectures of the wheel for this machine and CUDA, and where they stand; None where unknown.

        The pipeline's own list counts before the recipe's default, which is one for x86-64.
        """
        wheel = next(
            (
                wheel
                for wheel in self.wheels
                if wheel.machine == machine and f"{wheel.cuda}.".startswith(f"{cuda}.")
            ),
            None,
        )
        if wheel and wheel.listed:
            return capabilities(wheel.listed), f"sdist: {_PIPELINE}"
        if self.default and machine == "x86_64":
            return capabilities(self.default), f"sdist: {self.default_from}"
        return None, ""


def read(members: Iterable[tuple[str, bytes]]) -> Build:
    """What the archive says; it is read only as far as that takes."""
    build = Build()
    for number, (name, content) in enumerate(members):
        text = content.decode("utf-8", "replace") if name in (_PIPELINE, _CMAKE, *_DOCKERFILES) else ""
        build = take(build, name, text)
        needs_default = not (build.wheels and all(wheel.listed for wheel in build.wheels))
        has_default = build.default_from in _DOCKERFILES
        if (build.pythons and (has_default or not needs_default)) or number > _ENOUGH:
            break
    return build


def members(pieces: Iterator[bytes]) -> Generator[tuple[str, bytes]]:
    """The small files of a packed archive in its order, without the top folder's name.

    What the caller does not take is not asked for. Raises ValueError where it cannot be unpacked.
    """
    meter = Meter()
    stream = TarStream(unpacked(pieces, meter))
    for entry in entries(stream, meter):
        if entry.kind == "file" and not entry.sparse and entry.size <= _SMALL:
            yield entry.path[1:].partition("/")[2], stream.read(entry.size)


def take(build: Build, name: str, text: str) -> Build:
    """The build with what this file adds to it."""
    if name == _PIPELINE:
        return replace(build, wheels=tuple(wheels(text)))
    if name in _DOCKERFILES and (default := _DEFAULT.search(text)):
        return replace(build, default=default[1], default_from=name)
    if name == _CMAKE:
        if pythons := _PYTHONS.search(text):
            versions = tuple(re.findall(r"[0-9.]+", pythons[1]))
            build = replace(build, pythons=versions, pythons_from=f"sdist: {_CMAKE}")
        if archs := _SUPPORTED.search(text):  # what a build makes at most, until the recipe says more
            build = replace(build, default=archs[1], default_from=_CMAKE)
    return build


def wheels(pipeline: str) -> Iterator[Built]:
    """The wheels with CUDA that a release pipeline builds. Raises ValueError where it is no YAML."""
    try:
        document = _as_object(yaml.load(pipeline, _BoundedLoader))  # noqa: S506 - it makes plain values alone
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{_PIPELINE}: {error}") from error
    names = {f"${{{name}}}": str(value) for name, value in _as_object(document.get("env")).items()}
    for step in _steps(_as_list(document.get("steps"))):
        machine = "aarch64" if "arm64" in str(step.get("agents")) else "x86_64"
        for command in _commands(step):
            words = shlex.split(command)
            if "--target" not in words or words[words.index("--target") + 1 :][:1] != ["build"]:
                continue
            settings = {
                key: word.removeprefix(key)
                for word in words
                for key in (_CUDA, _LIST)
                if word.startswith(key)
            }
            if _CUDA in settings:
                listed = settings.get(_LIST)
                yield Built(machine, settings[_CUDA], names.get(listed, listed) if listed else None)


_MAX_NODES = 100_000
"""Values that a pipeline may have when all of its aliases are written out; vLLM's has some thousands."""


class _BoundedLoader(yaml.SafeLoader):
    """Aliases count as what they stand for: a few lines of them may stand for more than there is time for."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._nodes = 0
        self._within: dict[int, int] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        is_alias = self.check_event(yaml.AliasEvent)
        before = self._nodes
        node = super().compose_node(parent, index)
        if is_alias and id(node) not in self._within:
            raise yaml.YAMLError("an alias of what it is in")
        self._nodes += self._within[id(node)] if is_alias else 1
        if self._nodes > _MAX_NODES:
            raise yaml.YAMLError(f"more than {_MAX_NODES} values, with its aliases written out")
        if not is_alias:
            self._within[id(node)] = self._nodes - before
        return node


def _as_object(value: Any) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _steps(steps: Iterable[Any]) -> Iterator[dict[Any, Any]]:
    """The steps, those within groups too, which hold no groups themselves."""
    for step in map(_as_object, steps):
        yield from map(_as_object, _as_list(step["steps"])) if "steps" in step else (step,)


def _commands(step: dict[Any, Any]) -> Iterator[str]:
    commands = step.get("commands") or step.get("command")
    for command in (commands,) if isinstance(commands, str) else _as_list(commands):
        if isinstance(command, str) and _CUDA in command and "docker build" in command:
            yield from () if "\n" in command.strip() else (command,)
