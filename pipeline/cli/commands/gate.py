"""``gate``: whether a candidate may be published, or whether a policy accepts an image for a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import certifies, to_json
from pipeline.model.errors import GOOD, REFUSED, UsageError
from pipeline.report import accepted

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.cli.options import Options
    from pipeline.model import Acceptance, Reason
    from pipeline.runner.deploying import Judge


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "image", metavar="IMAGE", help="host/path@sha256:…; with --policy also host/path:tag, oci:DIR:TAG"
    )
    options.add_policy(parser, "judge for a deployment, by this file alone")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    if given.policy:
        return _accept(given, given.policy)
    if given.key:
        raise UsageError("--key is for a deployment", hint="name its policy too, with --policy FILE")
    return _allow(given)


def _accept(given: Options, policy: Path) -> int:
    """Whether an image has a live proof that the policy accepts."""
    from pipeline.matrix import policy_file
    from pipeline.runner import deploying

    is_layout = given.image.startswith(options.LAYOUT)
    if given.repository and not is_layout:
        raise UsageError("--repository is for publications", hint="a policy names its repositories itself")
    asked = policy_file.read(policy)
    if is_layout:
        acceptance = _in_layout(given, deploying.Judge.by(asked, given.key))
    else:
        acceptance = deploying.accept(options.image_or_tag(given.image), asked, given.key)
    if given.json:
        output.print_json({"schema": report.SCHEMA, **accepted.as_json(acceptance)})
    else:
        output.print_text(f"{accepted.line(acceptance)}\n")
    return _told(acceptance.accepted, (*acceptance.reasons, *acceptance.rejected))


def _in_layout(given: Options, judge: Judge) -> Acceptance:
    """The same of an image in a folder: no registry is asked."""
    from pipeline.adapters.layout import Layout

    folder, reference = options.in_layout(given.image)
    repository = options.repository(given.repository) if given.repository else None
    layout = Layout.read(folder, repository)
    return judge.accept_in(layout, options.image_or_tag(f"{layout.repository}{reference}"))


def _allow(given: Options) -> int:
    """Whether a candidate may be published, by the inputs of today."""
    from pipeline.cli import context

    image = options.image(given.image)
    with context.opened(given) as runner:
        decision = runner.judge(image)
        policy = runner.services.matrix.policy.digest
    if given.json:
        scope = to_json(certifies(decision.proof.record)) if decision.proof else None
        answer = {**to_json(decision), "allowed": decision.allowed, "policy": str(policy), "certifies": scope}
        output.print_json({"schema": report.SCHEMA, **answer})
    else:
        output.print_text(f"{accepted.line_of_candidate(image, decision)}\n")
    return _told(decision.allowed, (*decision.reasons, *decision.rejected))


def _told(is_good: bool, reasons: Sequence[Reason]) -> int:
    for reason in () if is_good else reasons:
        output.narrate(reason)
    return GOOD if is_good else REFUSED


COMMAND = Command(
    "gate",
    summary="exit 0 if this image may be deployed, or published; 1 with every reason if not",
    description=(
        "Two questions. With --policy, for whoever deploys: has this image a live proof that the policy "
        "accepts? That needs the registry, the policy and public keys, and no matrix or key of one's own; a "
        "tag is resolved once. Of a folder by `export`, oci:DIR:TAG, no registry is asked. Without it, "
        "for whoever publishes: is this digest what its cell builds from today's matrix, and is it proven?"
    ),
    examples=(
        ('gate "$IMAGE" --policy policy.yaml', "before a deployment; the answer names the digest to use"),
        ('gate "$IMAGE" --policy policy.yaml --key team.pub --json', "with all that it was judged by"),
        ("gate oci:vllm:cu130 --policy policy.yaml", "the same in a folder, without a network"),
        ('gate "$IMAGE"', "may this candidate be published? IMAGE is host/path@sha256:…"),
        ('gate "$IMAGE" --repository ghcr.io/example/vllm', "one that was built for another repository"),
    ),
    add_options=_add_options,
    run=_run,
)
