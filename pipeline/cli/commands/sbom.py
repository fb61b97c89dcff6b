"""``sbom``: what an image is made of, as CycloneDX or SPDX."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import BILLS, DocumentKind
from pipeline.model.errors import GOOD, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options

_IMAGES = "a cell, host/path@sha256:…, host/path:tag, engine:NAME, or the path of an archive or an OCI layout"


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("image", nargs="?", metavar="IMAGE", help=_IMAGES)
    parser.add_argument("--root", type=Path, metavar="DIR", help="an unpacked root instead of an image")
    formats = [kind.value for kind in BILLS]
    parser.add_argument("--format", choices=formats, default=formats[0], help=f"default: {formats[0]}")
    options.add_keys(parser, "a public key that counts beside the matrix's signers; may be given again")
    options.add_platform(parser)
    options.add_matrix(parser)
    options.add_repository(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context
    from pipeline.runner import documenting

    if bool(given.image) is bool(given.root):
        raise UsageError("sbom takes one image, or --root DIR", hint=f"see {output.MODULE} sbom --help")
    if given.root and (given.platform or given.key):
        raise UsageError("--platform and --key are of images, --root of none", hint="leave them out")
    kind = DocumentKind(given.format)
    if given.root:
        document, signer = documenting.bill_of_folder(given.root, kind), ""
    else:
        document, signer, _ = documenting.bill_of(
            given.image, kind, context.services(given), given.key, given.platform
        )
    output.print_json(json.loads(document.text))
    said = f"signed by {signer}, on {document.created}" if signer else "signed by nobody: read from its files"
    output.narrate(said)
    return GOOD


COMMAND = Command(
    "sbom",
    summary="say what an image is made of, as CycloneDX or SPDX",
    description=(
        "Prints the bill of materials beside an image that is signed by a signer of the matrix or by --key: "
        "Python distributions with their licences and the hashes of their wheels, and Debian packages with "
        "their sources. Of an image that has none, anyone's, it is made of the image's files, without the "
        "wheels. On stderr it says who signed it."
    ),
    examples=(
        ("sbom vllm0.32.0-torch2.13.0-cpu-py3.11 > sbom.json", "a cell's image, published or in staging"),
        (
            "sbom ghcr.io/example/vllm:cu130 --format spdx --key them.pub",
            "anyone's, by their key",
        ),
        ("sbom engine:vllm/vllm-openai:latest", "anyone's, by its files"),
        ("sbom --root / --format spdx", "the machine or container that this runs in"),
    ),
    add_options=_add_options,
    run=_run,
)
