"""What pip and people write: requirements, ``pip freeze``, ``pip list``, and what ``collect_env`` prints."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import InvalidVersion

from pipeline.formats.environments.listing import MAX_LINE, Listed, Listing, holds

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def of_requirements(text: str, here: dict[str, str]) -> Listing:
    """A requirements file, or what ``pip freeze`` prints, as pip reads it."""
    packages: list[Listed] = []
    unread: list[str] = []
    builds: dict[str, str] = {}
    for number, line in _lines(text):
        where = f"line {number}"
        if line.startswith(("-i", "-f", "--index-url", "--extra-index-url", "--find-links")):
            builds |= _builds(line)
        elif line.startswith(("-e", "--editable", "-r", "-c", "--requirement", "--constraint")):
            unread.append(f"{where}: {line[:200]}")
        elif not line.startswith("-"):
            packages += required(line, where, here, unread)
    return Listing(
        "requirements", "pip", tuple(_built(package, builds) for package in packages), tuple(unread)
    )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines that say something, continued ones joined, without comments and hashes."""
    held, first = "", 0
    for number, raw in enumerate(text.splitlines(), 1):
        first = first if held else number
        line = held + raw[:MAX_LINE]
        if line.endswith("\\") and len(line) < MAX_LINE:
            held = line[:-1] + " "
            continue
        held = ""
        said = re.split(r"(?:^|\s)#|\s--(?:hash|config-settings?|global-option)\b", line, maxsplit=1)[
            0
        ].strip()
        if said:
            yield first, said
    if held.strip():
        yield first, held.strip()


def required(line: str, where: str, here: dict[str, str], unread: list[str]) -> Iterator[Listed]:
    """The package of one line, if it is for this Python."""
    if line.partition(";")[0].strip().endswith(".whl") and " @ " not in line:
        line = f"{_name_of_wheel(line)} @ {line.strip()}"
    try:
        requirement = Requirement(line)
    except (InvalidRequirement, RecursionError, ValueError):
        unread.append(f"{where}: {line[:200]}")
        return
    if requirement.marker is not None and not holds(str(requirement.marker), here):
        return
    listed = listed_as(requirement.name, str(requirement.specifier), where)
    if requirement.url:
        version = version_in(requirement.url)
        if version is None:
            unread.append(f"{where}: {line[:200]}")
            return
        listed = replace(listed, version=version)
    yield listed


def listed_as(name: str, bounds: str, where: str) -> Listed:
    """A package with what is said of its version: pinned, or within bounds."""
    match = re.fullmatch(r"={2,3}\s*([^*,]+)", bounds.strip())
    return Listed(canonicalize_name(name), match[1].strip() if match else "", "" if match else bounds, where)


def _name_of_wheel(path: str) -> str:
    return re.split(r"[-%]", path.rsplit("/", 1)[-1], maxsplit=1)[0]


def version_in(url: str) -> str | None:
    """The version, with its local part, that the name of a wheel or an archive says; None without one."""
    name = unquote(urlsplit(url).path.rsplit("/", 1)[-1])
    try:
        if name.endswith(".whl"):
            return str(parse_wheel_filename(name)[1])
    except (InvalidVersion, ValueError):
        match = re.match(r"[^-]+-([0-9][^-]*)-", name)  # flash-attn's have tags that are none
        return match[1] if match else None
    match = re.fullmatch(r".+-([0-9][^-]*)\.(?:tar\.gz|zip)", name)
    return match[1] if match else None


def _builds(line: str) -> dict[str, str]:
    """The builds that an index has, by package: ``cu129`` of PyTorch's or vLLM's own."""
    if match := re.search(r"download\.pytorch\.org/whl/(?:nightly/)?(cu[0-9]{3}|cpu)\b", line):
        return dict.fromkeys(("torch", "torchvision", "torchaudio", "torchcodec"), match[1])
    if match := re.search(r"wheels\.vllm\.ai/\S*?/(cu[0-9]{3}|cpu)\b", line):
        return {"vllm": match[1]}
    return {}


def _built(package: Listed, builds: Mapping[str, str]) -> Listed:
    """A pin without a local part is of the build that a named index has: to pip that is newer."""
    build = builds.get(package.name)
    return replace(package, version=f"{package.version}+{build}") if _is_plain(package, build) else package


def _is_plain(package: Listed, build: str | None) -> bool:
    return bool(build and package.version and "+" not in package.version)


def of_columns(text: str, _: dict[str, str]) -> Listing:
    """``pip list``: a line for each package, its name and its version first."""
    packages: list[Listed] = []
    begun = False
    for number, line in enumerate(text.splitlines(), 1):
        words = line[:MAX_LINE].split()
        if words[:2] == ["Package", "Version"]:
            begun = True
        elif begun and len(words) > 1 and not line.startswith("-"):
            packages.append(Listed(canonicalize_name(words[0]), words[1], "", f"line {number}"))
    return Listing("pip list", "pip", tuple(packages))


_COLLECTED = re.compile(
    r"\[(?P<source>pip3?|conda)\]\s+(?P<name>[A-Za-z0-9._-]+)(?:==|\s+)(?P<version>[0-9][^\s]*)"
)
_FACTS = {
    "torch": re.compile(r"^PyTorch version\s*:\s*([0-9][^\s]*)", re.MULTILINE),
    "vllm": re.compile(r"^vLLM Version\s*:\s*([0-9][^\s]*)", re.MULTILINE | re.IGNORECASE),
}
_PYTHON = re.compile(r"^Python version\s*:\s*([0-9]+\.[0-9]+)", re.MULTILINE)
_GLIBC = re.compile(r"^Libc version\s*:\s*glibc-([0-9]+\.[0-9]+)", re.MULTILINE)


def of_collect_env(text: str, _: dict[str, str]) -> Listing:
    """``collect_env``: its own names of versions say more than pip's, as PyTorch's has its build."""
    packages: dict[str, Listed] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := _COLLECTED.match(line[:MAX_LINE].strip()):
            name: str = canonicalize_name(match["name"])
            packages.setdefault(name, Listed(name, match["version"], "", f"line {number}"))
    for name, pattern in _FACTS.items():
        if match := pattern.search(text):
            packages[name] = Listed(name, match[1].removesuffix(")"), "", match[0].partition(":")[0].strip())
    python, glibc = _PYTHON.search(text), _GLIBC.search(text)
    found = tuple(packages.values())
    return Listing("collect_env", "pip", found, (), python[1] if python else "", glibc[1] if glibc else "")
