"""``verify``: the suite in each image, in an environment, or asked of a server that runs already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import exit_codes, options, output
from pipeline.cli.command import Command
from pipeline.model import Goal, Outcome, State, to_json
from pipeline.model.errors import GOOD, MACHINE, REFUSED, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options
    from pipeline.model import DeploymentRecord, Status

_INSTEAD = ("python", "url")
"""What is tried instead of cells: one of them at a time."""


def _add_options(parser: ArgumentParser) -> None:
    options.add_cells(parser)
    parser.add_argument(
        "--python", type=Path, metavar="PATH", help="try this interpreter's environment instead of an image"
    )
    parser.add_argument(
        "--url", metavar="URL", help="ask a server that runs already, and harm none of its clients"
    )
    parser.add_argument("--model", metavar="NAME", help="with --url: the model, where it serves several")
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help="with --url: holds the key that the server wants"
    )
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_find_links(parser)
    options.add_fresh(parser, "try again what is proven; the image stays")
    options.add_require_all(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    _refuse_mixed(given)
    return _asked(given) if given.url else _proven(given)


def _refuse_mixed(given: Options) -> None:
    """Raise UsageError where words are given that do not go together."""
    named = [f"--{name}" for name in _INSTEAD if getattr(given, name)]
    what = [*named, *(["cells"] if given.select else [])]
    if named and len(what) > 1:
        raise UsageError(f"{' and '.join(what)} are tried one at a time", hint="leave out all but one")
    if (given.model or given.key_file) and not given.url:
        raise UsageError(
            "--model and --key-file are of a server at --url", hint="add --url, or leave them out"
        )


def _proven(given: Options) -> int:
    """Cells, or what stands in for one."""
    from pipeline.cli import context

    with context.opened(given, signs=True, reports=True) as runner:
        specs = context.selected(runner, given)
        statuses = (runner.try_out(given.python),) if given.python else runner.run(Goal.VERIFY, specs)
    return _told(given, statuses)


def _told(given: Options, statuses: tuple[Status, ...]) -> int:
    from pipeline.cli import context

    output.narrate_failures(statuses, output.needs_attention)
    output.narrate_scopes(statuses)
    output.narrate_outliers(statuses)
    report.write(statuses, context.report_folder(given))
    output.print_statuses(statuses, as_json=given.json)
    return exit_codes.of_proving(
        statuses, goal={State.PROVEN, State.PUBLISHED}, require_all=given.require_all
    )


def _asked(given: Options) -> int:
    """A server that runs already."""
    from pipeline.cli import context
    from pipeline.runner import deployments

    with context.opened(given, signs=True) as runner:
        record = deployments.try_out(runner.services, runner.reporter, given.url, given.model, given.key_file)
    return _answered(given, record)


def _answered(given: Options, record: DeploymentRecord) -> int:
    from pipeline.report import deployment

    if record.named(Outcome.FAILED):
        output.narrate(deployment.failure(record))
    if given.json:
        answer = {"record": to_json(record), "certifies": to_json(record.scope)}
        output.print_json({"schema": report.SCHEMA, **answer})
    else:
        output.print_text(deployment.text_of(record))
    if record.named(Outcome.FAILED):
        return REFUSED
    return MACHINE if record.named(Outcome.INCONCLUSIVE) else GOOD


COMMAND = Command(
    "verify",
    summary="prove images by real inference, building what is missing",
    description=(
        "Builds what is missing, runs every check of the suite in that very image, and signs what it saw. "
        "A cell that this machine cannot prove is pending: neither passed nor failed; if its image is there "
        "and lacks but a GPU, all that needs none is rehearsed. With --python the "
        "same suite runs in an environment on this machine, and with --url all of it that a server which "
        "runs already can be asked over HTTP; a record of these never counts towards a tag. The "
        "report is written to .state/report."
    ),
    examples=(
        ("verify", "every cell that this machine can prove"),
        ("verify '*-cpu-*' --require-all", "the CPU cells; one that stays pending is a failure"),
        ("verify --python .venv/bin/python", "the environment of this interpreter"),
        (
            "verify --url http://127.0.0.1:8000",
            "a server that runs already; it has one model, and wants no key",
        ),
        (
            "verify --url https://host.example --model NAME --key-file key",
            "one behind a key, after a deployment",
        ),
    ),
    add_options=_add_options,
    run=_run,
)
