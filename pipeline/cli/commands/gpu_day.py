"""``gpu-day``: all that only a GPU can show, in one go, into one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import PARTS, Outcome, to_json
from pipeline.model.errors import GOOD, MACHINE, REFUSED, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from pipeline.cli.options import Options
    from pipeline.model import GpuDay, ImageRef
    from pipeline.runner.running import Runner
    from pipeline.runner.subjects import Subject


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "image", nargs="*", metavar="IMAGE", help="an image of the matrix: host/path@sha256:…"
    )
    parser.add_argument(
        "--python",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="the environment of this interpreter, with vLLM or with PyTorch alone; may be given again",
    )
    parser.add_argument(
        "--part",
        dest="parts",
        action="append",
        choices=PARTS,
        help="this part alone; may be given again; default: all",
    )
    parser.add_argument(
        "--folder", type=Path, metavar="DIR", help="where all of it is written; default: .state/gpu-day"
    )
    parser.add_argument(
        "--rehearse", action="store_true", help="without a GPU, do what needs none instead of refusing"
    )
    options.add_matrix(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context
    from pipeline.report import SCHEMA
    from pipeline.report import gpu_day as report
    from pipeline.runner import gpu_day

    if not given.image and not given.python:
        raise UsageError("nothing to try is named", hint="name an IMAGE, or an environment by --python PATH")
    images = [options.image(text) for text in given.image]
    with context.opened(given, signs=True) as runner:
        folder = given.folder or runner.services.settings.state("gpu-day")
        subjects = list(_subjects(runner, images, given.python))
        day = gpu_day.spend(
            runner.services,
            runner.reporter,
            subjects,
            folder,
            parts=given.parts or PARTS,
            rehearse=given.rehearse,
        )
    if given.json:
        output.print_json({"schema": SCHEMA, **to_json(day)})
    else:
        output.print_text(report.markdown(day))
    output.narrate(f"all of it is in {folder}")
    return _exit_code(day)


def _subjects(runner: Runner, images: list[ImageRef], pythons: list[Path]) -> Iterator[Subject]:
    from pipeline.runner import subjects

    for python in pythons:
        yield subjects.of_python(runner.services, python)
    for image in images:
        yield subjects.of_image(runner.services, image)


def _exit_code(day: GpuDay) -> int:
    outcomes = {part.outcome for part in day.parts}
    if Outcome.FAILED in outcomes:
        return REFUSED
    return MACHINE if Outcome.INCONCLUSIVE in outcomes else GOOD


COMMAND = Command(
    "gpu-day",
    summary="do in one go what only a GPU can show, signed, into one folder",
    description=(
        "For the day when a GPU is at hand: runs the suite on each environment or image, measures what "
        "serving a model of production's size costs (start-up, speed, memory), and has saboteurs refused on "
        "the device. Says first how long it will take, signs each part when it has ended, and goes on from "
        "there when it is run again. Environments need no engine and no network. What it writes never counts "
        "towards a tag; its summary is Markdown that can be committed."
    ),
    examples=(
        ("gpu-day --python .venv/bin/python", "the environment of this interpreter"),
        (
            "gpu-day --python .vllm/bin/python --python .torch/bin/python",
            "two, with vLLM and with PyTorch alone",
        ),
        ("gpu-day --python .venv/bin/python --rehearse", "without a GPU: what needs none"),
    ),
    add_options=_add_options,
    run=_run,
)
