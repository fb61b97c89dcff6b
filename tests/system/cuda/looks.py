"""What PyTorch of a CUDA image says beside a driver: many drivers, and two containers for them all."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.adapters.engine import Engine, Launch
from pipeline.compat.no_cuda import Sight
from pipeline.suite import driver_double, probes
from pipeline.suite.target import interpreter

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
import json, os, shutil, subprocess, sys
from concurrent.futures import ThreadPoolExecutor
probe, inside, *looks = sys.argv[1:]
def look(text):
    driver, env = json.loads(text)
    if driver and env.pop("IS_INSIDE", None):
        driver = shutil.copytree(driver, f"{inside}/{os.path.basename(driver)}")
    env = os.environ | env | ({"LD_LIBRARY_PATH": driver} if driver else {})
    return subprocess.run([sys.executable, "-c", probe], env=env, stdout=subprocess.PIPE, text=True).stdout
with ThreadPoolExecutor(2) as pool:
    print("".join(pool.map(look, looks)))
"""


@dataclass(frozen=True)
class Look:
    """One driver: what the double answers (None: there is no driver), and variables for the process.

    ``is_inside``: its library is among the image's own files, not mounted.
    """

    answers: Answers | None
    is_inside: bool = False
    env: tuple[tuple[str, str], ...] = ()


def looks(
    ref: ImageRef, wanted: Mapping[str, Look], folder: Path, mounts: Mapping[Path, str]
) -> dict[str, Sight]:
    """What the probe ``driver`` saw of each, in a process of its own in a container of the image.

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
        asked = [
            json.dumps([f"/driver/{name}" if look.answers else "", dict(look.env) | _inside(look)])
            for name, look in wanted.items()
        ]
        command = ("-c", LOOK, probes.source("driver"), INSIDE, *asked)
        seen = _answers(engine, replace(launch, command=command, mounts={folder: "/driver", **mounts}))
    return {
        name: Sight.model_validate_json(json.dumps(sight)) for name, sight in zip(wanted, seen, strict=True)
    }


def _inside(look: Look) -> dict[str, str]:
    return {"IS_INSIDE": "1"} if look.is_inside else {}


def _answers(engine: Engine, launch: Launch) -> list[Any]:
    """What each probe in the container answered, in their order."""
    done = engine.run(launch, seconds=600)
    assert done.exit_code == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith(probes.MARK)]
    return [probes.result(line) for line in lines]
