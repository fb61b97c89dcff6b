"""What a container of an image under test is given, and what it is not."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.errors import APIError

from pipeline.adapters.engine import Engine, Launch
from pipeline.adapters.engine.containers import is_of
from pipeline.adapters.engine.errors import map_errors
from pipeline.model import ImageRef
from pipeline.model.errors import EngineError, ProgramError

IMAGE = ImageRef.parse(f"127.0.0.1:5000/tagproof/vllm@sha256:{'a' * 64}")


def given(**changes: Any) -> dict[str, Any]:
    """What the engine is asked for; no engine is needed to say so."""
    nobody = docker.DockerClient(base_url="unix:///nowhere", version="1.44")
    return Engine(nobody)._arguments(Launch(IMAGE, "run", mounts={Path("/models/tiny"): "/model"}, **changes))


def test_a_container_has_one_folder_of_ours_which_it_cannot_write_to() -> None:
    """Neither the engine's socket, nor a home, nor a checkout."""
    (mount,) = given()["mounts"]
    assert (mount["Source"], mount["Target"], mount["ReadOnly"]) == ("/models/tiny", "/model", True)


def test_a_container_has_no_privileges_and_can_get_none() -> None:
    """No program in it becomes more than the user that it starts as; nothing of the host's is shared."""
    found = given()
    assert found["security_opt"] == ["no-new-privileges"]
    assert not {"privileged", "cap_add", "devices", "pid_mode", "ipc_mode"} & set(found)


def test_a_container_has_no_network_unless_it_serves() -> None:
    """A port is published for this machine alone."""
    assert given()["network_mode"] == "none"
    assert given(network="bridge", port=8000)["ports"] == {"8000/tcp": ("127.0.0.1", None)}


def test_a_container_may_share_the_network_of_another_and_ask_it_for_names() -> None:
    """So what it asks can be seen there; it is still connected to nothing."""
    assert given(beside="watcher")["network_mode"] == "container:watcher"
    assert (given()["dns"], given(dns="127.0.0.1")["dns"]) == (None, ["127.0.0.1"])


def test_a_container_is_asked_by_nobody_else() -> None:
    """The engine would call the image's health check beside us, and that has its server answer."""
    assert given()["healthcheck"] == {"test": ["NONE"]}


@pytest.mark.parametrize(
    ("why", "kind"),
    [
        ('exec: "python3": executable file not found in $PATH: unknown', ProgramError),
        ('exec: "/etc/passwd": permission denied: unknown', ProgramError),
        ('exec: "/x": stat /x: no such file or directory: unknown', ProgramError),
        ("error running hook: exit status 1, nvidia-container-cli: initialization error", EngineError),
        ("unable to find user x: no matching entries in passwd file", EngineError),
    ],
)
def test_a_program_that_an_image_has_not_is_told_from_an_engine_that_fails(
    why: str, kind: type[EngineError]
) -> None:
    """In the words of runc, which the engine hands on; the hook of a driver is the machine's trouble."""
    said = f"failed to create task: OCI runtime create failed: unable to start container process: {why}"
    with pytest.raises(EngineError) as raised, map_errors("start an image"):
        raise APIError(said)
    assert type(raised.value) is kind


def test_a_container_gets_the_variables_that_were_chosen_for_it() -> None:
    """Nothing of our own environment reaches it."""
    assert given(env={"HF_HUB_OFFLINE": "1"})["environment"] == {"HF_HUB_OFFLINE": "1"}


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # Docker's client leaves it
@pytest.mark.parametrize(
    ("name", "why"), [("nowhere", "No such file or directory"), ("a file", "Connection refused")]
)
def test_an_engine_that_is_down_is_said_so_in_a_line(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was looked for, and the system's own word; nothing of the layers between."""
    (tmp_path / "a file").touch()
    address = f"unix://{tmp_path / name}"
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(EngineError) as raised:
        Engine.connect()
    assert raised.value.what == f"could not reach the container engine at {address}: {why}"
    assert "DOCKER_HOST" in raised.value.hint
    del raised
    gc.collect()  # here, where that socket is excused


def test_a_process_is_a_containers_where_its_control_group_names_it() -> None:
    """An engine on another machine tells numbers that here are other processes, or none."""
    of_ours = Path("/proc/self/cgroup").read_text().strip()
    assert is_of(os.getpid(), of_ours)
    assert not is_of(os.getpid(), "b" * 64)
    assert not is_of(1 << 30, of_ours)
