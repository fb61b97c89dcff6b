"""``doctor``: what this host can do, and why CUDA is not there in an image."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import Repository, to_json
from pipeline.model.errors import GOOD, MACHINE, REFUSED, UsageError
from pipeline.model.examinations import Standing

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options
    from pipeline.model.examinations import Examination


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("--container", metavar="IMAGE", help="say why CUDA is not there inside this image")
    parser.add_argument("--python", type=Path, metavar="PATH", help="the same of an environment on this host")
    options.add_platform(parser)
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    if given.container or given.python:
        return _look_inside(given)
    from pipeline.cli import context
    from pipeline.report import examined
    from pipeline.runner import doctor

    services = context.services(given)
    named = () if services or not given.repository else (_repository(given.repository),)
    examination = doctor.examine(services, named)
    if given.json:
        output.print_json({"schema": report.SCHEMA, **to_json(examination)})
    else:
        output.print_text(examined.page(examination))
    return _code(examination)


def _look_inside(given: Options) -> int:
    """Print whether CUDA is there; 1 where it is not by the fault of what is asked, 3 by that of the host."""
    from pipeline.report import examined
    from pipeline.runner.doctor import inside

    if bool(given.container) is bool(given.python):
        hint = "ask for one after the other"
        raise UsageError("--container and --python are two questions", hint=hint)
    if given.container:
        seen = inside.of_image(given.container, given.platform, run=f"{os.getpid()}-{time.time_ns()}")
    else:
        seen = inside.of_python(given.python)
    if given.json:
        output.print_json({"schema": report.SCHEMA, **to_json(seen)})
    else:
        output.print_text(examined.inside(seen.name, seen.text, seen.cause, is_meant=seen.is_meant))
    if seen.cause is None or seen.is_meant:
        return GOOD
    return REFUSED if seen.cause.fault == "image" else MACHINE


def _repository(text: str) -> Repository:
    try:
        return Repository.parse(text)
    except ValueError as error:
        raise UsageError(str(error), hint="write host[:port]/path") from error


def _code(examination: Examination) -> int:
    """1 where something here is broken, or nothing of the matrix can be built; 3 where one did not answer."""
    if examination.at(Standing.BROKEN):
        return REFUSED
    if examination.at(Standing.UNKNOWN):
        return MACHINE
    return GOOD if examination.is_of_use else REFUSED


COMMAND = Command(
    "doctor",
    summary="say what this host can do: engine, disk, registry, GPUs, key, and each cell",
    description=(
        "Looks at everything that the work needs of this host, and says how it stands, with the one command "
        "that helps: the engine and its BuildKit, disks, registry, index, GPUs with their driver, the way of "
        "a container to them, the key, the processor; then which cells can be built, rehearsed and proven "
        "here. Starts nothing and changes nothing, and ends within some seconds whatever hangs. What is "
        "merely not here, such as a GPU, is no failure. Exit code 1 where something that is here is broken, "
        "or no cell can be built; 3 where something did not answer. With --container or --python it asks "
        "PyTorch there, and where torch.cuda.is_available() is False it names the one cause: 1 where the "
        "image or environment itself is at fault, 3 where the host is."
    ),
    examples=(
        ("doctor", "this host, for the matrix here"),
        ("doctor --container 127.0.0.1:5000/tagproof/vllm:cu130", "why is CUDA not there, inside this image"),
        ("doctor --repository ghcr.io/team/vllm --json", "with another registry, for a program"),
    ),
    add_options=_add_options,
    run=_run,
)
