"""``./run`` on machines that have less than it needs, and how it hands over to nox.

Each test runs the real script in a folder of its own, where ``.venv`` holds a nox that prints its
arguments. ``PATH`` holds links to the few programs that a machine is meant to have, and to no other.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pipeline.adapters import local_registry
from tests.system.conftest import free_port

RUN = Path(__file__).parents[3] / "run"
BASICS = ("rm", "sh", "dirname", "id", "sed", "tr", "grep", "sleep", "uname", "env")

PRINTS_ITS_ARGUMENTS = '#!/bin/sh\nprintf "nox"; printf " [%s]" "$@"; echo; exit "${NOX_EXIT:-0}"\n'
NO_ENGINE_ANSWERS = '#!/bin/sh\n[ "$1" = buildx ]\n'
NO_PACKAGE_IS_KNOWN = "#!/bin/sh\necho '  Candidate: (none)'\n"
STARTS_A_REGISTRY = """
import pathlib, sys
from pipeline.adapters import local_registry
from pipeline.model import Repository
data = pathlib.Path(sys.argv[2])
local_registry.ensure(Repository(f"127.0.0.1:{sys.argv[1]}", "team/vllm"), data, data / "registry.log")
"""
"""The command that the registry outlives: a child of ours would be in the list of processes after its end."""
MUST_NOT_INSTALL = '#!/bin/sh\nfor word; do if [ "$word" = install ]; then touch "$INSTALLED"; fi; done\n'


@dataclass
class Machine:
    """A folder with the script, and the programs that the machine has."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)

    def has(self, *programs: str) -> None:
        """Link programs of the real machine."""
        for program in programs:
            found = shutil.which(program)
            assert found, f"{program} is not on this machine"
            (self.folder / "bin" / program).symlink_to(found)

    def gets(self, path: str, script: str) -> None:
        """Write a program."""
        program = self.folder / path
        program.parent.mkdir(parents=True, exist_ok=True)
        program.unlink(missing_ok=True)
        program.write_text(script)
        program.chmod(0o755)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call ``./run`` from another folder, with nothing of our own environment."""
        environment = {"PATH": str(self.folder / "bin"), "HOME": str(self.folder), **self.environment}
        command = [str(self.folder / "run"), *arguments]
        return subprocess.run(
            command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=60
        )


@pytest.fixture
def bare(tmp_path: Path) -> Machine:
    """A machine with a shell and nothing that the project needs."""
    machine = Machine(tmp_path)
    (tmp_path / "bin").mkdir()
    shutil.copy(RUN, tmp_path / "run")
    machine.has(*BASICS)
    return machine


@pytest.fixture
def ready(bare: Machine) -> Machine:
    """The same machine with nox in the project's environment."""
    bare.gets(".venv/bin/python", "#!/bin/sh\n")
    bare.gets(".venv/bin/nox", PRINTS_ITS_ARGUMENTS)
    return bare


def without_root(machine: Machine) -> None:
    """Be an ordinary user, and have no sudo."""
    machine.gets("bin/id", "#!/bin/sh\ncase $* in -u) echo 1000 ;; *) echo somebody ;; esac\n")


def test_alone_it_lists_the_sessions(ready: Machine) -> None:
    """``./run`` by itself is a look around."""
    assert ready.run().stdout == "nox [--list]\n"


@pytest.mark.parametrize(
    ("given", "handed"),
    [
        (["plan", "lock"], "[-s] [plan] [lock]"),
        (["plan", "--", "--json", "a b"], "[-s] [plan] [--] [--json] [a b]"),
        (["--yes", "plan"], "[-s] [plan]"),
        (["-k", "lint or types"], "[-k] [lint or types]"),
    ],
)
def test_it_hands_all_arguments_to_nox(ready: Machine, given: list[str], handed: str) -> None:
    """Names become sessions; what is an option, or stands after --, goes through as it is."""
    assert ready.run(*given).stdout == f"nox {handed}\n"


def test_its_exit_code_is_that_of_nox(ready: Machine) -> None:
    """A failed session fails the command."""
    ready.environment["NOX_EXIT"] = "7"
    assert ready.run("plan").returncode == 7


@pytest.mark.parametrize(
    "arguments", [["plan", "lock", "lint", "types", "report"], ["verify", "--", "--python", "x"]]
)
def test_what_needs_no_container_asks_for_no_engine(ready: Machine, arguments: list[str]) -> None:
    """A machine without an engine can plan, lock, lint, and try an environment instead of an image."""
    done = ready.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.needs("engine", "dockerd", "registry", "mmdebstrap")
def test_with_the_engine_of_this_machine_it_says_nothing(ready: Machine) -> None:
    """Where all is there, nothing is installed, started or told."""
    ready.has("docker", "dockerd", "docker-registry", "mmdebstrap")
    ready.environment.update({name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ})
    done = ready.run("verify", "publish")
    assert (done.stdout, done.stderr) == ("nox [-s] [verify] [publish]\n", "")


@pytest.mark.needs("dockerd", "registry", "mmdebstrap")
def test_an_engine_that_is_down_does_not_stop_what_may_not_need_it(ready: Machine) -> None:
    """A run with nothing to do works with the engine down; the pipeline says when it cannot go on."""
    ready.has("docker-registry", "mmdebstrap", "dockerd")
    ready.gets("bin/docker", NO_ENGINE_ANSWERS)
    ready.environment["DOCKER_HOST"] = "unix:///nowhere.sock"
    done = ready.run("verify", "publish")
    assert done.stdout == "nox [-s] [verify] [publish]\n"
    assert "the container engine does not answer" in done.stderr


def test_without_python_it_says_which_one_to_install(bare: Machine) -> None:
    """No Python 3.11: exit 3 and the command for Debian, Ubuntu and macOS."""
    bare.gets("bin/python3", "#!/bin/sh\nexit 1\n")
    done = bare.run("plan")
    assert done.returncode == 3
    assert "no Python 3.11 or newer" in done.stderr
    assert "apt-get install python3" in done.stderr
    assert "brew install python" in done.stderr


@pytest.mark.needs("engine", "dockerd", "registry", "mmdebstrap")
def test_the_tests_also_want_programs_that_read_what_is_published(ready: Machine) -> None:
    """cosign, oras and skopeo are independent witnesses; verify and publish do without."""
    ready.has("docker", "dockerd", "docker-registry", "mmdebstrap")
    assert "lacks what these Debian packages hold: cosign oras skopeo" in ready.run("tests").stderr
    assert ready.run("verify").returncode == 0


def test_where_there_is_no_apt_it_says_what_to_install(ready: Machine) -> None:
    """macOS, or another distribution: everything that is missing, at once."""
    done = ready.run("verify")
    assert done.returncode == 3
    assert "docker.io docker-cli iptables docker-buildx docker-registry mmdebstrap" in done.stderr
    assert "Docker Desktop or colima" in done.stderr


def test_without_root_it_says_what_root_should_install(ready: Machine) -> None:
    """Neither root nor sudo: exit 3 with the command, and nothing was tried."""
    ready.gets("bin/apt-get", MUST_NOT_INSTALL)
    ready.environment["INSTALLED"] = str(ready.folder / "installed")
    without_root(ready)
    done = ready.run("tests")
    assert done.returncode == 3
    assert "as root: apt-get install docker.io" in done.stderr
    assert not (ready.folder / "installed").exists()


def test_it_takes_nothing_from_elsewhere_without_being_told(ready: Machine) -> None:
    """What the machine's own sources do not have needs a yes, so nothing at all is installed before it."""
    ready.gets("bin/apt-get", MUST_NOT_INSTALL)
    ready.gets("bin/apt-cache", NO_PACKAGE_IS_KNOWN)
    ready.environment["INSTALLED"] = str(ready.folder / "installed")
    done = ready.run("tests")
    assert done.returncode == 3
    assert "docker-buildx" in done.stderr
    assert "hint:" in done.stderr
    assert not (ready.folder / "installed").exists()


@pytest.mark.needs("dockerd", "registry", "mmdebstrap")
def test_an_engine_without_what_the_recipe_needs_is_refused(ready: Machine) -> None:
    """Docker 20.10 cannot link layers; replacing a running engine is the user's decision."""
    ready.has("docker-registry", "mmdebstrap", "dockerd")
    ready.gets("bin/docker", "#!/bin/sh\necho 20.10.24\n")
    done = ready.run("build")
    assert done.returncode == 3
    assert "20.10.24 is too old" in done.stderr


# -- stopping ---------------------------------------------------------------------------------------


@pytest.mark.needs("registry")
def test_stop_ends_the_registries_that_outlived_their_command(ready: Machine) -> None:
    """They are this user's own, found by the files that they left."""
    port = free_port()
    data = ready.folder / ".local" / "share" / "tagproof" / "registry" / str(port)
    subprocess.run([sys.executable, "-c", STARTS_A_REGISTRY, str(port), data], cwd=RUN.parent, check=True)
    done = ready.run("stop")
    assert (done.returncode, done.stderr) == (0, f"run: ended the registry of {data}\n")
    assert not local_registry.stop(data)


def test_stop_ends_no_process_that_took_over_a_number(ready: Machine) -> None:
    """The file names a process that is no registry of ours: it goes on, and the file goes."""
    file = ready.folder / ".local" / "share" / "tagproof" / "registry" / "5000" / "tagproof.pid"
    file.parent.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"]) as other:
        file.write_text(f"{other.pid}\n")
        done = ready.run("stop")
        assert (done.returncode, done.stderr, other.poll()) == (0, "", None)
        other.terminate()
    assert not file.exists()


def test_stop_leaves_an_engine_that_was_started_elsewhere(ready: Machine) -> None:
    """Only the number that this checkout wrote down is looked at, and only if it is an engine's."""
    with subprocess.Popen(["sleep", "60"]) as other:
        (ready.folder / ".venv" / "engine.pid").write_text(f"{other.pid}\n")
        done = ready.run("stop")
        assert (done.returncode, done.stderr, other.poll()) == (0, "", None)
        other.terminate()
