"""``verify``: the suite in each image, in anyone's, in an environment, or asked of a server that runs."""

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

_INSTEAD = ("image", "url", "replay", "python")
"""What is tried instead of cells: one of them at a time."""


def _add_options(parser: ArgumentParser) -> None:
    options.add_cells(parser)
    parser.add_argument(
        "--python", type=Path, metavar="PATH", help="try this interpreter's environment instead of an image"
    )
    parser.add_argument(
        "--image",
        metavar="IMAGE",
        help="try any image with PyTorch or vLLM: host/path:tag, host/path@sha256:… or engine:NAME",
    )
    parser.add_argument(
        "--url", metavar="URL", help="ask a server that runs already, and harm none of its clients"
    )
    parser.add_argument("--model", metavar="NAME", help="with --url: the model, where it serves several")
    parser.add_argument(
        "--key-file", type=Path, metavar="FILE", help="with --url: holds the key that the server wants"
    )
    parser.add_argument(
        "--replay",
        metavar="RECORD",
        help="try again just what a record is about: its file, - for stdin, or host/path@sha256:…",
    )
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_find_links(parser)
    options.add_fresh(parser, "try again what is proven; the image stays")
    options.add_require_all(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    _refuse_mixed(given)
    if given.replay:
        return _replayed(given)
    return _asked(given) if given.url else _proven(given)


def _refuse_mixed(given: Options) -> None:
    """Raise UsageError where words are given that do not go together."""
    named = [f"--{name}" for name in _INSTEAD if getattr(given, name)]
    if named == ["--replay", "--python"]:  # which says where the record's environment is
        named = ["--replay"]
    what = [*named, *(["cells"] if given.select else [])]
    if named and len(what) > 1:
        raise UsageError(f"{' and '.join(what)} are tried one at a time", hint="leave out all but one")
    if (given.model and not given.url) or (given.key_file and not (given.url or given.replay)):
        raise UsageError(
            "--model and --key-file are of a server at --url", hint="add --url, or leave them out"
        )


def _proven(given: Options) -> int:
    """Cells, or what stands in for one."""
    from pipeline.cli import context

    with context.opened(given, signs=True, reports=True) as runner:
        specs = context.selected(runner, given)
        if given.python:
            statuses: tuple[Status, ...] = (runner.try_python(given.python),)
        elif given.image:
            statuses = (runner.try_image(given.image),)
        else:
            statuses = runner.run(Goal.VERIFY, specs)
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


def _replayed(given: Options) -> int:
    """What a record is about."""
    from pipeline.cli import context
    from pipeline.report import replayed
    from pipeline.runner import replaying

    with context.opened(given) as runner:
        replay = replaying.replay(
            runner.services, runner.reporter, given.replay, python=given.python, key_file=given.key_file
        )
    if given.json:
        output.print_json({"schema": report.SCHEMA, **to_json(replay), "same": replay.is_same})
    else:
        output.print_text(replayed.text_of(replay))
    if replay.has(Outcome.INCONCLUSIVE):
        return MACHINE
    return GOOD if replay.is_same and not replay.has(Outcome.FAILED) else REFUSED


COMMAND = Command(
    "verify",
    summary="prove images by real inference, building what is missing",
    description=(
        "Builds what is missing, runs every check of the suite in that very image, and signs what it saw. "
        "A cell that this machine cannot prove is pending: neither passed nor failed; if its image is there "
        "and lacks but a GPU, all that needs none is rehearsed. With --python the same suite runs in an "
        "environment on this machine, with --image in any image; with --url a server that runs already is "
        "asked all of it that can be asked over HTTP. A record of these never counts towards a tag. With "
        "--replay just what a record is about is tried again: exit code 0 where nothing fails, and every "
        "check ends as it did then. The report is written to .state/report."
    ),
    examples=(
        ("verify", "every cell that this machine can prove"),
        ("verify '*-cpu-*' --require-all", "the CPU cells; one that stays pending is a failure"),
        ("verify --python .venv/bin/python", "the environment of this interpreter"),
        ("verify --image ghcr.io/example/vllm:mine", "anyone's image; the record names its digest"),
        ("verify --url http://127.0.0.1:8000", "a server that runs already, after a deployment"),
        (
            "verify --url https://host.example --model NAME --key-file key",
            "one of several models, with a key",
        ),
        ("verify --replay .state/images/HEX.json", "whether a failure comes again"),
    ),
    add_options=_add_options,
    run=_run,
)
