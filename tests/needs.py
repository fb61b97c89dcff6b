"""What a test needs of the machine, beside Python: ``@pytest.mark.needs("engine", "registry")``.

Where it is missing, the test is left out, and the end of the run says how many, of which files, and how
to get it. Under ``CI=true`` the test fails instead: a test that was not run counts as no test that passed.
Only what no command can add to a machine, such as tens of gigabytes of disk, leaves tests out there too;
then the last line of ``./run tests`` is what was not tested.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.package_index import Index
from pipeline.model import Reason
from pipeline.model.errors import TagproofError
from pipeline.suite.device import numbers_are_the_drivers
from tests import cuda_build

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True)
class Need:
    """Something that a machine may lack.

    ``lack`` finds out, and says what is missing; nothing where all is there. ``hint`` is the remedy. Where
    it ``is_capacity`` of the machine, a test is left out under CI too.
    """

    lack: Callable[[], str]
    hint: str
    is_capacity: bool = False


def unless(is_met: Callable[[], bool], lack: str) -> Callable[[], str]:
    """What a machine lacks, unless this is so."""
    return lambda: "" if is_met() else lack


def on_path(program: str) -> bool:
    """Whether a program of this name is here."""
    return shutil.which(program) is not None


def program(name: str, package: str = "") -> Need:
    """A program, and the package of Debian that holds it."""
    lack = unless(partial(on_path, name), f"no program {name} is on PATH")
    return Need(lack, f"apt-get install {package or name}")


def succeeds(*command: str) -> bool:
    """Whether a command is here, and ends well within half a minute."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def engine_answers() -> bool:
    """Whether the container engine is up, and has BuildKit."""
    return succeeds("docker", "version") and succeeds("docker", "buildx", "version")


def skopeo_reads_sigstore() -> bool:
    """Whether skopeo judges signatures as cosign makes them; one without that says so in these words."""
    found = shutil.which("skopeo")
    return found is not None and b"sigstore disabled" not in Path(found).read_bytes()


def index_answers() -> bool:
    """Whether the package index that this machine uses knows uv, as every index does."""
    try:
        with Index() as index:
            return not isinstance(index.files("uv"), Reason)
    except TagproofError:
        return False


NEEDS = {
    "engine": Need(
        unless(engine_answers, "no container engine with buildx answers"),
        "install docker.io and docker-buildx, start it",
    ),
    "dockerd": program("dockerd", "docker.io"),
    "containerd": program("containerd"),
    "root": Need(
        unless(
            lambda: os.geteuid() == 0 or succeeds("sudo", "-n", "true"),
            "this user is not root, nor can it be by sudo without a password",
        ),
        "run as root",
    ),
    "registry": program("docker-registry"),
    "cosign": program("cosign"),
    "skopeo": program("skopeo"),
    "skopeo-sigstore": Need(
        unless(
            skopeo_reads_sigstore, "no skopeo is here, or it was built without sigstore, as Debian 12's is"
        ),
        "have the skopeo of Debian 13 or Ubuntu 24.04 on PATH",
        is_capacity=True,  # what a distribution has built into it
    ),
    "oras": program("oras"),
    "mmdebstrap": program("mmdebstrap"),
    "compiler": program("gcc"),
    "readelf": program("readelf", "binutils"),
    "ubuntu": Need(
        unless(
            partial(succeeds, "mmdebstrap", "--simulate", "--variant=custom", "noble", "/dev/null"),
            "no mirror of Ubuntu answers, or no keyring of Ubuntu is here",
        ),
        "apt-get install ubuntu-keyring (Debian 13 has it)",
        is_capacity=True,  # which mirrors a network reaches
    ),
    "mounts": Need(
        unless(
            partial(succeeds, "unshare", "--map-root-user", "--mount", "true"),
            "no mounts of one's own can be made (unshare --mount)",
        ),
        "run as root, or allow user namespaces",
    ),
    "pids": Need(
        unless(
            numbers_are_the_drivers,
            "processes have other numbers here than for the machine's driver",
        ),
        "run outside of a container, or in one with --pid=host",
    ),
    "index": Need(
        unless(index_answers, "no package index answers"), "set UV_DEFAULT_INDEX, or pip's index-url"
    ),
    "x86-64": Need(
        unless(lambda: platform.machine() == "x86_64", f"this machine is {platform.machine()}"),
        "use one that is x86-64",
    ),
    "cuda-build": Need(
        cuda_build.lack,
        "give it more disk or a package index that has the wheels, or name in "
        f"{cuda_build.BUILT} a repository where `build {cuda_build.CELL}` was run",
        is_capacity=True,
    ),
}
"""All that a test may name, with how to find out whether it is here; each is looked for once, when asked."""

IN_CI = os.environ.get("CI") == "true"
"""Whether a test that cannot be run fails. The tests themselves do not see the variable: see conftest.py."""

NOT_TESTED = "TAGPROOF_NOT_TESTED"
"""The variable that names the file which gets what was not tested; noxfile.py prints it last of all."""

MISSING = "missing"
"""The property of a test that was left out which names what it needs: it comes along from another process."""


@cache
def lack(need: str) -> str:
    """What this machine lacks of it; nothing where it has it."""
    return NEEDS[need].lack()


def needs_of(item: pytest.Item) -> list[str]:
    """What a test names, itself or by its module."""
    return [str(need) for mark in item.iter_markers("needs") for need in mark.args]


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    config.addinivalue_line("markers", "needs(*names): what the test needs; tests/needs.py has the names")
    config.addinivalue_line("markers", "engine: what needs an engine; the mark is set by tests/needs.py")


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Refuse a need that nobody knows how to look for; mark what shares the engine, for ``-m engine``."""
    for item in items:
        needs = needs_of(item)
        unknown = [need for need in needs if need not in NEEDS]
        if unknown:
            raise pytest.UsageError(f"{item.nodeid} needs {unknown[0]!r}, which tests/needs.py does not have")
        if {"engine", "dockerd"} & {*needs}:
            item.add_marker(pytest.mark.engine)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave out a test whose needs are not met, or fail it under CI."""
    missing = [need for need in needs_of(item) if lack(need)]
    if not missing:
        return
    reason = "; ".join(f"needs {need}: {lack(need)}" for need in missing)
    if IN_CI and not all(NEEDS[need].is_capacity for need in missing):
        pytest.fail(f"{reason}\nhint: {NEEDS[missing[0]].hint}", pytrace=False)
    item.user_properties += [(MISSING, need) for need in missing]
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was left out, and why."""
    left_out = defaultdict[str, Counter[str]](Counter)
    for report in terminalreporter.stats.get("skipped", ()):
        for name, need in report.user_properties:
            if name == MISSING:
                left_out[need][Path(report.location[0]).name] += 1
    if left_out:
        terminalreporter.section("left out, because this machine lacks what they need")
    for need, files in left_out.items():
        counted = ", ".join(f"{name} ({count})" for name, count in sorted(files.items()))
        terminalreporter.line(f"{need}: {lack(need)}: {counted}")
        terminalreporter.line(f"  hint: {NEEDS[need].hint}")
        if note := os.environ.get(NOT_TESTED):
            with Path(note).open("a", encoding="utf-8") as file:
                file.write(f"{counted} ({lack(need)})\n")
