"""Access: the image's user can get to what it starts, and to all that this loads."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

from pipeline.formats.numbers import whole
from pipeline.model import ImageFinding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.adapters.image_files.nodes import Node
    from pipeline.formats.image_config import ImageConfig
    from pipeline.stages.audit.image_model import ImageModel

_finding = partial(ImageFinding, rule="config")

_READ, _WRITE, _ENTER = 4, 2, 1
_ANYBODY = 1_000_670_000
"""A user id that is in no image, like those of OpenShift."""

_BEFORE_A_PROGRAM = frozenset({"--", "exec", "env", "/usr/bin/env"})
"""Words of a command line after which the name of a program stands: ``tini -- python``."""


@dataclass(frozen=True)
class _User:
    uid: int
    gid: int

    def may(self, node: Node, what: int) -> bool:
        shift = 6 if node.uid == self.uid else 3 if node.gid == self.gid else 0
        return self.uid == 0 or bool(node.mode >> shift & what)


def reachable(image: ImageModel) -> Iterator[ImageFinding]:
    """The image's user gets to programs, libraries and packages, links followed; so does any in group 0.

    Of an unpacked root nobody says which user it is for: it is judged as an image that root starts.
    """
    user, needed = _user(image), _needed(image)
    barred = _barred(image, needed, user)
    for barrier, names in barred.items():
        yield _finding(
            severity=Severity.ERROR,
            path=barrier,
            text=f"user {image.inventory.config.user} cannot get to {names[0]} through it{_more(names)}",
            why="the container does not start, or ends as it loads it: permission denied",
            hint=f"chmod a+rX {barrier}, or install elsewhere what lies behind it",
        )
    if user.gid == 0:
        yield from _for_others(image, _barred(image, needed, _User(_ANYBODY, 0)), barred)


def _for_others(
    image: ImageModel, barred: Mapping[str, list[str]], already: Mapping[str, list[str]]
) -> Iterator[ImageFinding]:
    """What keeps out a user of group 0 that no image knows, and not the image's own."""
    who = f"user {image.inventory.config.user}" if _user(image).uid else "root"
    for barrier, names in barred.items():
        if barrier not in already:
            yield _finding(
                severity=Severity.NOTE,
                path=barrier,
                text=f"only {who} gets to {names[0]} through it{_more(names)}",
                why="platforms that give each container a user of its own (OpenShift) cannot run it",
                hint=f"chmod a+rX {barrier}, or install elsewhere what lies behind it",
            )


def _more(names: list[str]) -> str:
    return f", and to {len(names) - 1} more" if len(names) > 1 else ""


def _barred(image: ImageModel, needed: Mapping[str, str], user: _User) -> dict[str, list[str]]:
    """Each file or folder that keeps this user out, with the names of all that lies behind it."""
    behind: dict[str, list[str]] = {}
    for path, name in needed.items():
        if barrier := _barrier(image, path, user):
            behind.setdefault(barrier, []).append(name)
    return behind


def home(image: ImageModel) -> Iterator[ImageFinding]:
    """HOME is writable for the image's user."""
    config, user = image.inventory.config, _user(image)
    real = image.links.real(image.env.get("HOME", "")) if image.env.get("HOME") else None
    node = image.inventory.nodes.get(real) if real else None
    if node and not user.may(node, _WRITE):
        yield _finding(
            severity=Severity.WARNING,
            path=node.path,
            text=f"HOME is not writable for user {config.user}",
            why="Triton, vLLM and the hub keep what they compile and download there",
            hint=f"chown {config.user} {node.path}",
        )


def _user(image: ImageModel) -> _User:
    """The image's user; a name that cannot be looked up counts as any user."""
    user, _, group = image.inventory.config.user.partition(":")
    rows = [row.split(":") for row in image.inventory.texts.get("/etc/passwd", "").splitlines()]
    ids = {row[0]: (row[2], row[3]) for row in rows if len(row) > 3}  # noqa: PLR2004 - name, x, uid, gid
    by_uid = dict(ids.values())
    uid, gid = ids.get(user, (user or "0", by_uid.get(user or "0", "0")))
    if user == "root":
        uid, gid = "0", "0"
    numbers = whole(uid), whole(gid if whole(group) is None else group)
    return _User(*(_ANYBODY if number is None else number for number in numbers))


def _needed(image: ImageModel) -> dict[str, str]:
    """What has to be reached: paths as they are looked up, each with a name for people."""
    names: dict[str, str] = {}
    for path, name in (*_programs(image), *_libraries(image)):
        names.setdefault(path, name)
    return names


def _programs(image: ImageModel) -> Iterator[tuple[str, str]]:
    """What is started, what starts it if it is a script, and the Python that serves with its packages."""
    for word in _started(image.inventory.config):
        path = word if "/" in word else next(_on_path(image, word), word)
        if real := image.on_path(path):
            yield path, word
            if interpreter := image.inventory.interpreters.get(real):
                yield interpreter, f"{interpreter}, which starts {word},"
    if image.main:
        yield image.main.site, "Python's packages"
    if image.main and image.main.python:
        own = f"{image.main.prefix}/bin/python"
        yield own if image.links.file(own) == image.main.python else image.main.python, "Python"


def _libraries(image: ImageModel) -> Iterator[tuple[str, str]]:
    """What these programs and the modules of that Python load, each by its folder and by its real path."""
    loads = {
        real: image.programs[real]
        for path, _ in _programs(image)
        if (real := image.links.file(path)) and real in image.programs
    }
    loads |= {path: load for path, load in image.modules.items() if _is_of_main(image, path)}
    for root, load in loads.items():
        for path in load.order:
            yield path, f"{path}, which {root} needs," if path != root else path
            yield load.origins[path], f"{load.origins[path]}, where {root} finds libraries,"


def _is_of_main(image: ImageModel, path: str) -> bool:
    return image.main is not None and path.startswith(f"{image.main.site}/")


def _started(config: ImageConfig) -> Iterator[str]:
    """The programs that a command line names: its first word, and what starters such as tini are given."""
    words = (*config.entrypoint, *config.command)
    yield from words[:1]
    for before, word in pairwise(words):
        if before in _BEFORE_A_PROGRAM:
            yield word
        elif before == "-c" and words[0].rpartition("/")[2] in {"sh", "bash"}:
            yield from _of_shell(word)


def _of_shell(line: str) -> Iterator[str]:
    try:
        words = shlex.split(line)
    except ValueError:  # an open quote: the shell would not start it either
        return
    yield from [word for word in words if word != "exec"][:1]


def _on_path(image: ImageModel, name: str) -> Iterator[str]:
    return (f"{folder}/{name}" for folder in image.path if image.on_path(f"{folder}/{name}"))


def _barrier(image: ImageModel, path: str, user: _User) -> str | None:
    """The first folder on the way that this user may not enter, or what is there if it is unreadable."""
    nodes = image.inventory.nodes
    for folder in image.links.entered(path):
        node = nodes.get(folder)
        if node and node.kind == "directory" and not user.may(node, _ENTER):
            return folder
    node = nodes.get(image.links.real(path) or "")
    return node.path if node and not user.may(node, _READ) else None
