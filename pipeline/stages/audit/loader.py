"""The dynamic loader's search, as glibc does it, over the files of an image.

ld.so(8), and glibc's elf/dl-load.c for what it leaves open: a soname is searched among the objects that are
loaded already, then in RPATH of the object that needs it and of those that loaded it (only if it has no
RUNPATH), in LD_LIBRARY_PATH, in its own RUNPATH, in ld.so.cache, and in the default folders. In each folder
the glibc-hwcaps subdirectories come first; a file for another machine is skipped.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from posixpath import dirname
from typing import TYPE_CHECKING

from pipeline.stages.audit.known_libraries import is_drivers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pipeline.adapters.image_files.links import Links
    from pipeline.stages.audit.inventory import Inventory

LEVELS = {"x86_64": ("x86-64-v4", "x86-64-v3", "x86-64-v2")}
"""Subdirectories of glibc-hwcaps, the best first. Which one a host uses depends on its processor."""

_TRIPLES = {"x86_64": "x86_64-linux-gnu", "aarch64": "aarch64-linux-gnu"}
_TOKEN = re.compile(r"\$(?:(ORIGIN|LIB|PLATFORM)\b|\{(ORIGIN|LIB|PLATFORM)\})")


@dataclass(frozen=True)
class Loaded:
    """An object in a process: its real path, the folder where it was found, and what loaded it first."""

    path: str
    origin: str
    by: Loaded | None = None


@dataclass(frozen=True)
class Load:
    """The result of loading one object.

    ``order`` are the real paths in scope, the object itself first. ``names`` maps every soname that is loaded
    now to its real path; ``drivers`` are those of the driver, which the host provides. ``missing`` are the
    sonames that nothing provides, each with the path of the object that needs it. ``origins`` maps each real
    path to the folder in which it was found, which links may lead out of.
    """

    order: tuple[str, ...]
    names: Mapping[str, str]
    drivers: frozenset[str]
    missing: tuple[tuple[str, str], ...]
    origins: Mapping[str, str]


class Loader:
    """Loads objects of one image. Results are cached: nothing in an image changes."""

    def __init__(self, inventory: Inventory, links: Links) -> None:
        self._objects = inventory.objects
        self._links = links
        env = dict(inventory.config.env)
        self.library_path = _entries(env.get("LD_LIBRARY_PATH", "").replace(";", ":"))
        self._debian = links.file("/etc/debian_version") is not None or any(
            path.startswith(
                ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu")
            )
            for path in inventory.objects
        )
        self._cache: dict[str, list[str]] = {}
        for entry in inventory.linker_cache or ():
            self._cache.setdefault(entry.soname, []).append(entry.path)
        self.configured = tuple(configured(inventory, links))
        self._has_cache = inventory.linker_cache is not None
        self._found: dict[tuple[str, str, str], str | None] = {}

    def folders(self, machine: str) -> tuple[str, ...]:
        """Where every program looks: LD_LIBRARY_PATH, the folders of ld.so.conf, the default folders."""
        return (*self.library_path, *self.configured, *self.default_folders(machine))

    def default_folders(self, machine: str) -> tuple[str, ...]:
        """The folders that the loader was compiled with: Debian's, or those of other distributions."""
        if self._debian and machine in _TRIPLES:
            triple = _TRIPLES[machine]
            return (f"/lib/{triple}", f"/usr/lib/{triple}", "/lib", "/usr/lib")
        return ("/lib64", "/usr/lib64", "/lib", "/usr/lib")

    def load(self, path: str, loader: Loaded | None = None, before: Mapping[str, str] | None = None) -> Load:
        """Load an object by its real path, and all that it needs, breadth first.

        ``loader`` is the object that opens it, whose RPATH counts too; ``before`` maps the sonames that are
        loaded already to their paths.
        """
        first = Loaded(path, dirname(path), loader)
        names, order = dict(before or {}), {path: first}
        drivers: set[str] = set()
        missing: list[tuple[str, str]] = []
        if soname := self._objects[path].soname:
            names.setdefault(soname, path)
        waiting = deque([first])
        while waiting:
            current = waiting.popleft()
            for need in self._objects[current.path].needs:
                if need in names:
                    self._join(names[need], current, order, waiting)
                elif location := self.find(need, current):
                    as_found, real = location
                    names[need] = real
                    names.setdefault(self._objects[real].soname or need, real)
                    self._join(real, current, order, waiting, dirname(as_found))
                elif is_drivers(need):
                    drivers.add(need)
                else:
                    missing.append((need, current.path))
        origins = {path: loaded.origin for path, loaded in order.items()}
        return Load(tuple(order), names, frozenset(drivers), tuple(dict.fromkeys(missing)), origins)

    def _join(
        self,
        path: str,
        by: Loaded,
        order: dict[str, Loaded],
        waiting: deque[Loaded],
        origin: str | None = None,
    ) -> None:
        """Add an object to the scope, once; one that was loaded before joins it with all that it needs."""
        if path not in order:
            order[path] = Loaded(path, origin or dirname(path), by)
            waiting.append(order[path])

    def find(self, soname: str, current: Loaded) -> tuple[str, str] | None:
        """Where this object finds a soname: the path that the loader builds, and the real path."""
        needer = self._objects[current.path]
        if "/" in soname:  # a path, which may contain tokens too
            path = next(self._expanded((soname,), current))
            real = self._links.file(path)
            return (path, real) if real and self._fits(real, needer.machine) else None
        folders = (folder for folder in self._search(current) if folder.startswith("/"))
        for folder in folders:
            if real := self._in_folder(folder, soname, needer.machine):
                return f"{folder}/{soname}", real
        for path in self._cache.get(soname, ()):
            real = self._links.file(path)
            if real and self._fits(real, needer.machine):
                return path, real
        defaults = self.default_folders(needer.machine)
        for folder in defaults if self._has_cache else (*self.configured, *defaults):
            if real := self._in_folder(folder, soname, needer.machine):
                return f"{folder}/{soname}", real
        return None

    def _search(self, current: Loaded) -> Iterator[str]:
        """The folders that are searched before the cache, in order."""
        needer = self._objects[current.path]
        if not needer.runpath:
            above: Loaded | None = current
            while above is not None:
                obj = self._objects[above.path]
                yield from self._expanded(obj.rpath if not obj.runpath else (), above)
                above = above.by
        yield from self._expanded(self.library_path, current)
        yield from self._expanded(needer.runpath, current)

    def _expanded(self, entries: Iterable[str], current: Loaded) -> Iterator[str]:
        machine = self._objects[current.path].machine
        lib = f"lib/{_TRIPLES[machine]}" if self._debian and machine in _TRIPLES else "lib64"
        values = {"ORIGIN": current.origin, "LIB": lib, "PLATFORM": machine}
        for entry in entries:
            expanded = _TOKEN.sub(lambda match: values[match[1] or match[2]], entry)
            yield expanded.rstrip("/") or "/"

    def _in_folder(self, folder: str, soname: str, machine: str) -> str | None:
        key = (folder, soname, machine)
        if key not in self._found:
            levels = (f"{folder}/glibc-hwcaps/{level}/{soname}" for level in LEVELS.get(machine, ()))
            candidates = (*levels, f"{folder}/{soname}")
            reals = (self._links.file(path) for path in candidates)
            self._found[key] = next((real for real in reals if real and self._fits(real, machine)), None)
        return self._found[key]

    def _fits(self, real: str, machine: str) -> bool:
        obj = self._objects.get(real)
        return obj is not None and obj.machine == machine


def configured(inventory: Inventory, links: Links) -> Iterator[str]:
    """The folders of /etc/ld.so.conf and the files that it includes."""
    visited: set[str] = set()
    waiting = ["/etc/ld.so.conf"]
    while waiting:
        path = waiting.pop(0)
        text = inventory.texts.get(path) or inventory.texts.get(links.real(path) or "", "")
        if path in visited:
            continue
        visited.add(path)
        for raw in text.splitlines():
            line = raw.partition("#")[0].strip()
            word, _, pattern = line.partition(" ")
            if word == "include":
                waiting += _included(pattern.strip(), path, inventory)
            elif line.startswith("/"):
                yield line.split("=")[0].strip().rstrip("/") or "/"


def _included(pattern: str, by: str, inventory: Inventory) -> list[str]:
    absolute = pattern if pattern.startswith("/") else f"{dirname(by)}/{pattern}"
    glob = re.compile(re.escape(absolute).replace(r"\*", "[^/]*").replace(r"\?", "[^/]"))
    return sorted(path for path in inventory.texts if glob.fullmatch(path))


def _entries(text: str) -> tuple[str, ...]:
    return tuple(entry for entry in text.split(":") if entry)
