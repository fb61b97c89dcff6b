"""What conda writes: lists of an environment, and ``environment.yml``."""

from __future__ import annotations

import re

from packaging.utils import canonicalize_name

from pipeline.formats.environments.listing import MAX_LINE, Listed, Listing, numbered
from pipeline.formats.environments.pip_lists import required


def of_list(text: str, _: dict[str, str]) -> Listing:
    """``conda list``, with ``--export`` or ``--explicit`` too, and ``mamba list``."""
    rows: list[tuple[str, str]] = []
    for raw in text.splitlines():
        line = raw[:MAX_LINE].strip()
        if not line or line.startswith(("#", "@")):
            continue
        if match := re.fullmatch(r"\S+/([^/]+)-([^-/]+)-([^-/]+)\.(?:conda|tar\.bz2)(?:#\S+)?", line):
            rows.append(from_conda(match[1], match[2], match[3]))
            continue
        words = line.split("=") if "=" in line.split()[0] else line.split()
        if len(words) > 1 and words[1][:1].isdigit():
            rows.append(from_conda(words[0], words[1], words[2] if len(words) > 2 else ""))  # noqa: PLR2004
    return numbered("conda list", "pip", rows)


def from_conda(name: str, version: str, build: str) -> tuple[str, str]:
    """A package of conda's as pip calls it: PyTorch's build is in its build string there."""
    name = {"pytorch": "torch", "py-opencv": "opencv-python"}.get(name, name)
    if name not in {"torch", "torchvision", "torchaudio", "vllm"} or "+" in version:
        return name, version
    match = re.search(r"cuda_?([0-9]{2})\.?([0-9])", build)
    cpu = "+cpu" if "cpu" in build else ""
    return name, version + (f"+cu{match[1]}{match[2]}" if match else cpu)


def of_yaml(text: str, here: dict[str, str]) -> Listing:
    """``environment.yml``: conda's packages, and pip's in a list within theirs."""
    found: list[Listed] = []
    unread: list[str] = []
    python, is_of_pip = "", False
    for number, raw in enumerate(text.splitlines(), 1):
        match = re.fullmatch(r"(\s*)-\s+(.+?)\s*", raw[:MAX_LINE].split(" #")[0])
        if not match:
            continue
        said = match[2].strip("'\"")
        if said == "pip:":
            is_of_pip = True
        elif is_of_pip:
            found += required(said, f"line {number}", here, unread)
        elif named := re.fullmatch(
            r"(?:\S+::)?([A-Za-z0-9._-]+)\s*=\s*=?\s*([0-9][^=\s*]*)(\.\*)?(?:=(\S+))?", said
        ):
            name, version = from_conda(named[1], named[2], named[4] or "")
            found.append(Listed(canonicalize_name(name), version, "", f"line {number}"))
    of_python = [listed for listed in found if listed.name == "python"]
    if of_python:
        python = ".".join(of_python[0].version.split(".")[:2])
    packages = tuple(listed for listed in found if listed.name != "python")
    return Listing("environment.yml", "pip", packages, tuple(unread), python)
