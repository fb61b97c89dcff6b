"""``policy``: what a deployment asks, as one file, or as the files of what admits images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model.errors import GOOD, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Mapping

    from pipeline.cli.options import Options
    from pipeline.model import Policy

PROGRAMS = ("policy-controller", "kyverno", "podman", "containerd")
"""For what a policy is exported; named here too, so that no other command waits for what writes them."""

_EXECUTABLE, _READABLE = 0o755, 0o644


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("act", choices=("export",), help="print the policy of a matrix as a file")
    parser.add_argument(
        "--for",
        dest="target",
        choices=PROGRAMS,
        metavar="PROGRAM",
        help=f"as the files by which this admits images: {', '.join(PROGRAMS)}",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="write the files of --for there, instead of printing them"
    )
    parser.add_argument("--policy", type=Path, metavar="FILE", help="export this policy, and read no matrix")
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    policy = _policy(given)
    if given.target:
        _admission(given, policy)
    elif given.output:
        raise UsageError("--output is for files", hint="say for which program: --for podman")
    elif given.json:
        from pipeline.matrix import policy_file

        output.print_json(policy_file.document_of(policy))
    else:
        from pipeline.matrix import policy_file

        output.print_text(policy_file.text_of(policy))
    output.narrate(f"policy {policy.digest}, by the keys of {', '.join(one.name for one in policy.signers)}")
    return GOOD


def _policy(given: Options) -> Policy:
    """That of a file, else that of the matrix. Raises UsageError."""
    from pipeline import matrix
    from pipeline.matrix import policy_file
    from pipeline.runner.trusting import Trust

    if given.policy is None:
        loaded = matrix.load(given.matrix, given.repository)
        return policy_file.of_matrix(loaded, Trust(loaded, given.key_pem).as_signers())
    if given.repository:
        raise UsageError("--repository is for the matrix", hint="a policy names its repositories itself")
    policy = policy_file.read(given.policy)
    if not policy.signers:
        raise UsageError(f"{given.policy}: it names no signer", hint="name who signs, under `signers:`")
    return policy


def _admission(given: Options, policy: Policy) -> None:
    """The files for a program: printed, or written into a folder."""
    from pipeline import report
    from pipeline.report import admission

    files = admission.TARGETS[given.target or ""](policy)
    if given.output:
        _write(given.output, files)
    elif given.json:
        output.print_json({"schema": report.SCHEMA, "files": files})
    else:
        output.print_text(admission.text_of(files))


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Raises UsageError where the folder is not there, or something else lies in a file's place."""
    from pipeline.adapters import files as disk
    from pipeline.report import admission

    for name, text in files.items():
        mode = _EXECUTABLE if name == admission.PROGRAM else _READABLE
        disk.write(folder / name, text.encode(), mode=mode)
        output.narrate(f"{folder / name} written")


COMMAND = Command(
    "policy",
    summary="print what a deployment asks of an image, as one file, or as a cluster or a host reads it",
    description=(
        "Writes what `verify:` in the matrix asks of a proof, the repository, and the signers' public keys "
        "into one file, for the repository of whoever deploys. `gate IMAGE --policy FILE` judges by it; "
        "docs/policy.md says what else may be written there. With --for it writes the files by which a "
        "cluster or a host asks for our proof before an image runs; each says at its head what of the "
        "policy that program cannot ask."
    ),
    examples=(
        ("policy export >policy.yaml", "of matrix.yaml"),
        ("policy export --json >policy.json", "the same, which `gate` reads too"),
        ("policy export --repository ghcr.io/example/vllm >policy.yaml", "for images published elsewhere"),
        ("policy export --for kyverno --policy policy.yaml", "what a cluster is to ask, by a policy's file"),
        ("policy export --for podman --output /tmp/demands", "for a host: policy.json, registries.yaml"),
    ),
    add_options=_add_options,
    run=_run,
)
