"""What PyTorch of a CUDA image says beside a driver: many drivers, and two containers for them all."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.adapters.engine import Engine, Launch
from pipeline.compat.no_cuda import Sight
from pipeline.suite import driver_double, probes
from pipeline.suite.targets.container import interpreter

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.model import ImageRef
    from pipeline.suite.driver_double import Answers

RUN = "tests-of-the-driver"
INSIDE = "/tmp/cuda/compat"  # noqa: S108 - in a container of its own
"""Where a container finds the double among its own files, as an image that brings a driver does."""

COMPILE = """
import subprocess, sys
probe, *texts = sys.argv[1:]
for text in texts:
    subprocess.run([sys.executable, "-c", probe, text, "libcuda.so.1"], check=True)
"""
LOOK = """
import ctypes, json, os, shutil, sys, torch
probe, *looks = sys.argv[1:]
for text in looks:
    if child := os.fork():
        os.waitpid(child, 0)
        continue
    look = json.loads(text)
    os.environ.update(look["env"])
    sys.path[:0] = look["path"]
    if look["inside"]:
        look["driver"] = shutil.copytree(look["driver"], look["inside"])
    if look["driver"]:
        ctypes.CDLL(look["driver"] + "/libcuda.so.1")
    exec(compile(probe, "probe", "exec"))
"""
"""PyTorch is imported once, and each driver met in a fork of that process: loaded first, so that whoever asks
for libcuda.so.1 gets it by its soname. Until then PyTorch has not looked for any."""


@dataclass(frozen=True)
class Look:
    """One driver: what the double answers (None: there is no driver), variables, and folders for sys.path.

    ``is_inside``: its library is among the image's own files, not mounted.
    """

    answers: Answers | None
    is_inside: bool = False
    env: tuple[tuple[str, str], ...] = ()
    path: tuple[str, ...] = ()

    def asked(self, name: str) -> str:
        """What the process in the container is told of it."""
        driver = f"/driver/{name}" if self.answers else ""
        inside = f"{INSIDE}/{name}" if self.is_inside else ""
        return json.dumps({"driver": driver, "inside": inside, "env": dict(self.env), "path": self.path})


def looks(
    ref: ImageRef, wanted: Mapping[str, Look], folder: Path, mounts: Mapping[Path, str]
) -> dict[str, Sight]:
    """What the probe ``driver`` saw of each, in a process of its own in one container of the image.

    ``folder`` is empty, and gets the doubles; ``mounts`` are further folders for the container.
    """
    with Engine.connect(timeout=300) as engine:
        engine.pull(ref)
        python = interpreter(engine.config(ref).entrypoint)
        launch = Launch(image=ref, run=RUN, entrypoint=(python,))
        doubles = {name: look.answers for name, look in wanted.items() if look.answers}
        texts = [driver_double.source((), answers) for answers in doubles.values()]
        made = _answers(engine, replace(launch, command=("-c", COMPILE, probes.source("compiled"), *texts)))
        for name, answer in zip(doubles, made, strict=True):
            (folder / name).mkdir()
            library = base64.b64decode(answer["made"][driver_double.CUDA])
            driver_double.place({driver_double.CUDA: library}, folder / name)
        folder.chmod(0o755)
        asked = [look.asked(name) for name, look in wanted.items()]
        command = ("-c", LOOK, probes.source("driver"), *asked)
        seen = _answers(engine, replace(launch, command=command, mounts={folder: "/driver", **mounts}))
    return {
        name: Sight.model_validate_json(json.dumps(sight)) for name, sight in zip(wanted, seen, strict=True)
    }


def _answers(engine: Engine, launch: Launch) -> list[Any]:
    """What each probe in the container answered, in their order."""
    done = engine.run(launch, seconds=600)
    assert done.exit_code == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(probes.MARK)]
    return [probes.result(line) for line in lines]
