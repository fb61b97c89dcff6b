"""The engine as ``doctor`` sees it: each way in which it may not do its work, by what it shows."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.adapters.engine import reaching
from pipeline.model.examinations import Aspect, Standing
from pipeline.runner.doctor import engines
from tests.fuzz.answering import engine_that_answers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INFO: dict[str, Any] = {
    "ServerVersion": "26.1.5",
    "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
    "DockerRootDir": "/var/lib/docker",
    "MemTotal": 2**34,
    "Runtimes": {"runc": {}},
}
BUILDER = (
    "Name: default\nDriver: docker\nStatus: running\nPlatforms: linux/amd64, linux/amd64/v2, linux/arm64\n"
)


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose engine, and the programs on whose PATH, are those of the test."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(reaching, "DEFAULT", f"unix://{tmp_path}/engine.sock")
    monkeypatch.setattr(engines, "ANSWER_SECONDS", 1.0)


def docker(folder: Path, says: str = BUILDER, code: int = 0, stream: int = 1) -> None:
    """A ``docker`` on PATH that says this to whatever it is asked."""
    program = folder / "bin" / "docker"
    program.write_text(f"#!/bin/sh\n/bin/cat >&{stream} <<'EOF'\n{says}EOF\nexit {code}\n")
    program.chmod(0o755)


@contextmanager
def listening(path: Path) -> Iterator[None]:
    """Something that takes connections and says nothing."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(path))
        server.listen()
        yield


def engine() -> Aspect:
    """What is said of an engine that does not answer."""
    (aspect,) = engines.engine().aspects
    return aspect


def answered(folder: Path, info: dict[str, Any]) -> dict[str, Aspect]:
    """What is said of an engine that says this of itself, by name."""
    with engine_that_answers(json.dumps(info).encode(), folder):
        return {aspect.name: aspect for aspect in engines.engine().aspects}


# -- it does not answer -------------------------------------------------------------------------------


def test_a_machine_without_any_engine_has_none_and_is_not_broken() -> None:
    assert engine().standing is Standing.ABSENT
    assert "apt-get install docker.io" in engine().hint


def test_an_engine_that_is_installed_and_does_not_run(tmp_path: Path) -> None:
    docker(tmp_path)
    assert engine().standing is Standing.BROKEN
    assert "docker is installed, and its engine does not run" in engine().text
    assert "systemctl start docker" in engine().hint


def test_a_socket_on_which_nobody_listens(tmp_path: Path) -> None:
    with listening(tmp_path / "engine.sock"):
        pass
    assert (engine().standing, engine().hint.split(";")[0]) == (
        Standing.BROKEN,
        "`sudo systemctl start docker`",
    )


def test_a_socket_that_this_user_may_not_open(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError

    class Closed(socket.socket):
        connect = refused

    monkeypatch.setattr(socket, "socket", Closed)
    monkeypatch.setenv("USER", "ann")
    assert engine().standing is Standing.BROKEN
    assert engine().hint == "`sudo usermod -aG docker ann`, then log in again"


@pytest.mark.parametrize("name", ["podman/podman.sock", "docker.sock"])
def test_an_engine_without_root_is_found_where_it_listens(name: str, tmp_path: Path) -> None:
    (tmp_path / "podman").mkdir()
    with listening(tmp_path / name):
        assert engine().standing is Standing.BROKEN
        assert engine().hint == f"export DOCKER_HOST=unix://{tmp_path}/{name}"


@pytest.mark.parametrize("is_by_variable", [True, False])
def test_a_context_of_the_docker_command_is_no_engine_of_ours(
    is_by_variable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_by_variable:
        monkeypatch.setenv("DOCKER_CONTEXT", "colima")
    else:
        (tmp_path / "config.json").write_text('{"currentContext": "colima"}')
    assert engine().text.endswith("and the docker command uses the context colima")
    assert engine().hint.startswith('export DOCKER_HOST="$(docker context inspect colima --format')


def test_an_engine_beside_another_context_is_not_the_one_that_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "context", lambda: "remote")
    seen = answered(tmp_path, INFO)["engine"]
    assert (seen.standing, seen.hint) == (Standing.LIMITED, "docker context use default")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"currentContext": "default"}', '{"currentContext": null}'])
def test_a_configuration_without_a_context_names_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    assert reaching.context() == ""


def test_a_docker_host_that_leads_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/engine.sock")
    assert (engine().standing, engine().hint) == (Standing.BROKEN, "unset DOCKER_HOST")


def test_an_engine_that_hangs_could_not_be_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/engine.sock")
    with listening(tmp_path / "engine.sock"):
        assert engine().standing is Standing.UNKNOWN
        assert engine().hint == engines.HANGS


def test_an_answer_that_is_none_could_not_be_found_out(tmp_path: Path) -> None:
    assert answered(tmp_path, {"message": "internal error"})["engine"].standing is Standing.UNKNOWN


# -- it answers ---------------------------------------------------------------------------------------


def test_an_engine_that_is_well_is_told_with_store_and_builder(tmp_path: Path) -> None:
    docker(tmp_path)
    seen = answered(tmp_path, INFO)
    assert {name: aspect.standing for name, aspect in seen.items()} == {
        "engine": Standing.GOOD,
        "image store": Standing.GOOD,
        "buildkit": Standing.GOOD,
    }
    assert seen["engine"].text == f"Docker 26.1.5 at unix://{tmp_path}/engine.sock"
    assert seen["buildkit"].text == "docker, running, builds for linux/amd64, linux/arm64"


def test_the_classic_store_works_less_well(tmp_path: Path) -> None:
    store = answered(tmp_path, INFO | {"DriverStatus": [["Backing Filesystem", "extfs"]]})["image store"]
    assert store.standing is Standing.LIMITED
    assert "containerd-snapshotter" in store.hint


def test_an_engine_without_root_and_its_mirrors_are_told(tmp_path: Path) -> None:
    info = INFO | {
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"],
        "RegistryConfig": {"Mirrors": ["https://mirror.example.org/"]},
    }
    seen = answered(tmp_path, info)
    assert seen["engine"].text.startswith("Docker 26.1.5, rootless at ")
    assert seen["mirrors"].text == "of Docker Hub: https://mirror.example.org/"


def test_docker_without_buildx_can_build_nothing(tmp_path: Path) -> None:
    docker(tmp_path, "docker: 'buildx' is not a docker command.\n", code=1, stream=2)
    kit = answered(tmp_path, INFO)["buildkit"]
    assert kit.standing is Standing.BROKEN
    assert "'buildx' is not a docker command" in kit.text
    assert "docker-buildx" in kit.hint


def test_an_engine_without_the_docker_command_builds_nothing(tmp_path: Path) -> None:
    assert answered(tmp_path, INFO)["buildkit"].standing is Standing.ABSENT


def test_a_builder_that_hangs_is_left_alone(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "docker"
    program.write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    program.chmod(0o755)
    assert "does not end within 1 s" in answered(tmp_path, INFO)["buildkit"].text


def test_podman_has_no_buildkit_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """See https://github.com/podman-container-tools/podman/issues/17836."""
    docker(tmp_path)
    podman = b'{"ApiVersion": "1.41", "Components": [{"Name": "Podman Engine", "Version": "5.2.0"}]}'
    monkeypatch.setattr("tests.fuzz.answering.VERSION", podman)
    seen = answered(tmp_path, INFO | {"DriverStatus": []})
    assert seen["engine"].text.startswith("Podman 26.1.5")
    assert seen["buildkit"].hint == "docker buildx create --use --driver docker-container"


# -- GPUs ---------------------------------------------------------------------------------------------


def access(folder: Path, info: dict[str, Any], *, has_gpu: bool) -> Aspect:
    with engine_that_answers(json.dumps(info).encode(), folder):
        (aspect,) = engines.gpu_access(engines.engine(), has_gpu=has_gpu)
    return aspect


def test_an_engine_that_gives_no_gpu_is_broken_only_where_there_is_one(tmp_path: Path) -> None:
    assert access(tmp_path, INFO, has_gpu=False).standing is Standing.ABSENT
    broken = access(tmp_path, INFO, has_gpu=True)
    assert broken.standing is Standing.BROKEN
    assert broken.hint.startswith("install nvidia-container-toolkit")


def test_the_way_to_the_gpus_is_told(tmp_path: Path) -> None:
    runtime = INFO | {"Runtimes": {"runc": {}, "nvidia": {}}}
    assert access(tmp_path, runtime, has_gpu=True).text == "containers get GPUs by NVIDIA's runtime"
    by_cdi = INFO | {"DiscoveredDevices": [{"ID": "nvidia.com/gpu=all"}]}
    assert access(tmp_path, by_cdi, has_gpu=True).text == "containers get GPUs by CDI: nvidia.com/gpu=all"
