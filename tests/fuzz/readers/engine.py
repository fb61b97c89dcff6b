"""The container engine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.adapters.engine import Launch
from pipeline.adapters.engine.gpu_access import gpu_access
from pipeline.adapters.engine.output import outputs_of
from pipeline.adapters.image_files.opening import open_image
from pipeline.model import Repository
from pipeline.stages.audit.survey import survey
from tests.fuzz.answering import engine_that_answers
from tests.fuzz.reader import Reader, put
from tests.fuzz.readers.evidence import DIGEST
from tests.fuzz.readers.images import ARCHIVE

if TYPE_CHECKING:
    from pathlib import Path

INFO = json.dumps(
    {
        "ServerVersion": "26.1",
        "DriverStatus": [["driver-type", "io.containerd.snapshotter.v1"]],
        "DockerRootDir": "/var/lib/docker",
        "NCPU": 2,
        "MemTotal": 2**34,
        "Runtimes": {"runc": {}},
        "DiscoveredDevices": [{"ID": "nvidia.com/gpu=0"}],
        "CDISpecDirs": ["/etc/cdi"],
    }
).encode()
SPECIFICATION = b"""cdiVersion: 0.5.0
kind: nvidia.com/gpu
devices:
- name: "0"
  containerEdits: {deviceNodes: [{path: /dev/nvidia0, hostPath: /dev/null}]}
containerEdits:
  hooks: [{hookName: createContainer, path: /bin/sh}]
  mounts: [{hostPath: /dev/zero, containerPath: /dev/zero}]
"""
SPECIFICATION_IN_JSON = json.dumps(
    {
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [{"name": "all", "containerEdits": {"env": ["A=b"]}}],
    }
).encode()
IMAGE = json.dumps(
    {
        "Id": "sha256:1",
        "Os": "linux",
        "Architecture": "amd64",
        "Config": {"Env": ["A=b"], "Entrypoint": ["/x"], "Labels": {"a": "b"}},
        "RepoTags": ["a:b"],
        "RepoDigests": [],
    }
).encode()
OUTPUT = b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x01!"
CONTAINER = json.dumps(
    {
        "Id": "1",
        "Name": "/one",
        "State": {"Running": False, "ExitCode": 0},
        "NetworkSettings": {"Ports": {"80/tcp": [{"HostPort": "8000"}]}},
    }
).encode()


def read_info(data: bytes, place: Path) -> object:
    with engine_that_answers(data, place) as engine:
        return engine.facts()


def read_access(data: bytes, place: Path) -> object:
    """How it gives a container the GPUs."""
    with engine_that_answers(data, place) as engine:
        return engine.gpu_access()


def read_specification(data: bytes, place: Path) -> object:
    """A specification of CDI devices, in a folder that an engine names."""
    put(place, "cdi/nvidia.yaml", data)
    return gpu_access({"CDISpecDirs": [str(place / "cdi")]})


def read_image(data: bytes, place: Path) -> object:
    with engine_that_answers(data, place) as engine:
        return engine.config(Repository("127.0.0.1:5000", "a").at(DIGEST))


def read_container(data: bytes, place: Path) -> object:
    """Its state, its port and its end."""
    with engine_that_answers(data, place) as engine:
        container = engine.start(Launch(Repository("127.0.0.1:5000", "a").at(DIGEST), "a run"))
        return container.ended(), container.exit_code(), container.host_port(80), container.stop(1)


def read_saving(data: bytes, place: Path) -> object:
    """An image that the engine saves."""
    with (
        engine_that_answers(IMAGE, place, saved=data),
        open_image("engine:a") as opened,
    ):
        return survey(opened)


READERS = (
    Reader("output of a program", lambda data, _: outputs_of(data), (OUTPUT,), refuses=(ValueError,)),
    Reader("engine", read_info, (INFO,)),
    Reader("GPUs of the engine", read_access, (INFO,)),
    Reader("CDI specification", read_specification, (SPECIFICATION, SPECIFICATION_IN_JSON)),
    Reader("image of the engine", read_image, (IMAGE,)),
    Reader("container of the engine", read_container, (CONTAINER,)),
    Reader("saving of the engine", read_saving, (ARCHIVE,)),
)  # fmt: skip
