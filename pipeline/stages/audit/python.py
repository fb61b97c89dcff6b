"""The Pythons of an image: folders of packages, the interpreter of each, and what is a module."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from pipeline.adapters.image_files.links import Links
    from pipeline.formats.elf.objects import SharedObject
    from pipeline.stages.audit.inventory import Inventory

_SITE = re.compile(
    r"(?P<site>(?P<prefix>/.*?|)/lib(?:64)?/python(?P<version>3(?:\.[0-9]+)?)"
    r"/(?:site-packages|dist-packages|lib-dynload))(?:/|$)"
)
_TAG = re.compile(r"\.(?:cpython|pypy)-?([0-9])([0-9]+)[a-z]*(?:-|\.)")
_MAX_MINOR = 30
_SYSTEMS = ("bin/", "libexec/platform-")  # the second is that of Red Hat 8's own tools
_MINOR = re.compile(r"python(3\.[0-9]+)$")


@dataclass(frozen=True)
class Environment:
    """A folder that Python imports from. ``python`` is the interpreter's real path, empty if there is none.

    ``version`` is "3.11", or "3" if neither folder nor interpreter says more.
    """

    site: str
    prefix: str
    version: str
    python: str

    def package(self, path: str) -> str:
        """The top-level package that holds this path; for a module in the folder itself, the module."""
        first = path[len(self.site) + 1 :].split("/", maxsplit=1)[0]
        return first.partition(".")[0]


def environments(inventory: Inventory, links: Links) -> tuple[Environment, ...]:
    """Every environment that contains objects or distributions, by its folder."""
    paths = [*inventory.objects, *(distribution.path for distribution in inventory.distributions)]
    return tuple(sorted(set(_environments_of(paths, links)), key=lambda environment: environment.site))


def _environments_of(paths: Iterable[str], links: Links) -> Iterator[Environment]:
    sites = set()
    for path in paths:
        match = _SITE.match(path)
        if match is None or match["site"] in sites:
            continue
        sites.add(match["site"])
        python = _interpreter(match, links)
        minor = _MINOR.search(python)
        version = minor[1] if minor and match["version"] == "3" else match["version"]
        yield Environment(match["site"], match["prefix"], version, python)


def _interpreter(match: re.Match[str], links: Links) -> str:
    """The real path of the environment's own interpreter, else of the system's; empty if there is none.

    Folders called dist-packages are Debian's, whose Python is in /usr: https://wiki.debian.org/Python.
    """
    version, own = match["version"], _own(match["prefix"], match["version"], links)
    system = [f"{folder}/bin/python{version}" for folder in ("/usr/local", "/usr")]
    debians = system[::-1] if match["site"].endswith("dist-packages") else []
    return next((real for path in (*debians, *own, *system) if (real := links.file(path))), "")


def _own(prefix: str, version: str, links: Links) -> list[str]:
    """The interpreters of a prefix that are of this version, or whose names do not say which."""
    paths = [f"{prefix}/bin/{name}" for name in (f"python{version}", "python3", "python")]
    names = ((path, _MINOR.search(links.file(path) or "")) for path in paths)
    return [path for path, named in names if named is None or version in {"3", named[1]}]


def is_imported(environment: Environment, python_path: Collection[str], links: Links) -> bool:
    """Whether a Python of the image imports from this folder by itself, or by PYTHONPATH.

    By itself it imports from the folders of its own prefix, and from those of its user (``~/.local``);
    Debian's from /usr/lib/python3/dist-packages and /usr/local/lib/python3.X/dist-packages, and not from any
    site-packages: https://docs.python.org/3/library/site.html, https://wiki.debian.org/Python.
    """
    prefix, version, site = environment.prefix, environment.version, environment.site
    if site in python_path or (prefix.endswith("/.local") and environment.python):
        return True
    minors = [f"3.{minor}" for minor in range(_MAX_MINOR)] if version == "3" else [version]
    systems = (f"/usr/{place}python{minor}" for place in _SYSTEMS for minor in minors)
    has_systems = any(map(links.file, systems))
    if site.endswith("dist-packages"):
        return has_systems
    is_debian = links.file("/etc/debian_version") is not None
    if prefix == "/usr":
        return not is_debian and has_systems
    own = any(links.file(path) for path in _own(prefix, version, links))
    return own or (prefix == "/usr/local" and not is_debian and has_systems)


def site_of(path: str) -> str | None:
    """The folder of packages that this path is in."""
    match = _SITE.match(path)
    return match["site"] if match else None


def is_extension(obj: SharedObject, environment: Environment) -> bool:
    """Whether this Python imports the object as a module: it has an init function, or the right tag."""
    name = obj.path.rpartition("/")[2]
    stem, tag = name.partition(".")[0], _TAG.search(name)
    if tag and environment.version != "3" and f"{tag[1]}.{tag[2]}" != environment.version:
        return False
    return tag is not None or f"PyInit_{stem}" in obj.defined
