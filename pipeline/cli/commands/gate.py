"""``gate``: whether a digest may carry a tag."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import certifies, to_json
from pipeline.model.errors import GOOD, REFUSED

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("image", metavar="IMAGE", help="host/path@sha256:…")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    image = options.image(given.image)
    with context.opened(given) as runner:
        decision = runner.judge(image)
    if given.json:
        scope = to_json(certifies(decision.proof.record)) if decision.proof else None
        answer = {**to_json(decision), "allowed": decision.allowed, "certifies": scope}
        output.print_json({"schema": report.SCHEMA, **answer})
    if decision.allowed:
        return GOOD
    for reason in (*decision.reasons, *decision.rejected):
        output.narrate(reason)
    return REFUSED


COMMAND = Command(
    "gate",
    summary="exit 0 if this digest may carry a tag, 1 with every reason if not",
    description=(
        "For whoever deploys: is this digest what its cell builds from today's matrix, and does it carry "
        "a live proof, signed by a key that the matrix trusts? Reads the registry only."
    ),
    examples=(
        ('gate "$IMAGE"', "IMAGE is host/path@sha256:…; the reasons go to stderr"),
        (
            'gate "$IMAGE" --json',
            "with the proof and the certificate by which it may, and what they leave open",
        ),
        ('gate "$IMAGE" --repository ghcr.io/example/vllm', "one that was built for another repository"),
    ),
    add_options=_add_options,
    run=_run,
)
