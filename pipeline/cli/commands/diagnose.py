"""``diagnose``: from a log to the cause of a failure, and its remedy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model.errors import GOOD, MACHINE, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from pipeline.cli.options import Options
    from pipeline.model.diagnoses import LogReading

_STDIN = Path("-")


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "files", nargs="*", type=Path, metavar="FILE", help="logs; - or none at all is standard input"
    )
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.report import diagnosed

    files: Sequence[Path] = given.files or (_STDIN,)
    if not given.files and sys.stdin.isatty():
        output.narrate("a log is read from standard input, to its end (Ctrl-D)")
    readings = [("standard input" if file == _STDIN else str(file), _read(file)) for file in files]
    if given.json:
        output.print_json(diagnosed.as_json(readings))
    else:
        output.print_text(diagnosed.text_of(readings))
    return GOOD if all(reading.diagnoses for _, reading in readings) else MACHINE


def _read(file: Path) -> LogReading:
    from pipeline.compat import diagnosis

    if file == _STDIN:
        return diagnosis.read(sys.stdin.buffer)
    try:
        with file.open("rb") as stream:
            return diagnosis.read(stream)
    except OSError as error:
        what = f"{file}: {error.strerror or error}"
        raise UsageError(what, hint="name a log that can be read, or pipe one in") from error


COMMAND = Command(
    "diagnose",
    summary="name the cause of a failure, and its remedy, from a log",
    description=(
        "Reads logs of vLLM, PyTorch, container engines, Kubernetes, pip or uv, whatever carried them: "
        "docker logs, kubectl, CI runners, journald. Says for each what the cause is, whose fault it is, the "
        "line that shows it, the remedy with the log's own values, and the source. Exit code 3 where a log "
        "holds nothing that is recognised: then the lines that most likely matter are printed, and nothing "
        "is guessed."
    ),
    examples=(
        ("diagnose server.log", "a log in a file; several are read one by one"),
        ("diagnose < server.log", "what is piped in, as by `docker logs vllm 2>&1 |`"),
        ("diagnose --json server.log", "the same for programs"),
    ),
    add_options=_add_options,
    run=_run,
)
