"""``policy``: what a deployment asks, as one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model.errors import GOOD

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("act", choices=("export",), help="print the policy of a matrix as a file")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline import matrix
    from pipeline.matrix import policy_file
    from pipeline.runner.trusting import Trust

    loaded = matrix.load(given.matrix, given.repository)
    policy = policy_file.of_matrix(loaded, Trust(loaded, given.key_pem).as_signers())
    if given.json:
        output.print_json(policy_file.document_of(policy))
    else:
        output.print_text(policy_file.text_of(policy))
    output.narrate(f"policy {policy.digest}, by the keys of {', '.join(one.name for one in policy.signers)}")
    return GOOD


COMMAND = Command(
    "policy",
    summary="print what a deployment asks of an image, as one file",
    description=(
        "Writes what `verify:` in the matrix asks of a proof, the repository, and the signers' public keys "
        "into one file, for the repository of whoever deploys. `gate IMAGE --policy FILE` judges by it; "
        "docs/policy.md says what else may be written there."
    ),
    examples=(
        ("policy export >policy.yaml", "of matrix.yaml"),
        ("policy export --json >policy.json", "the same, which `gate` reads too"),
        ("policy export --repository ghcr.io/example/vllm >policy.yaml", "for images published elsewhere"),
    ),
    add_options=_add_options,
    run=_run,
)
