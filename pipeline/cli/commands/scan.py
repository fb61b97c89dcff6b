"""``scan``: which weaknesses that advisories tell of are in an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import Threat
from pipeline.model.errors import GOOD, REFUSED, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options

_IMAGES = "a cell, host/path@sha256:…, host/path:tag, engine:NAME, or the path of an archive or an OCI layout"
_LEVELS = [threat.word for threat in Threat if threat not in (Threat.NONE, Threat.UNRATED)]


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("image", nargs="?", metavar="IMAGE", help=_IMAGES)
    parser.add_argument("--root", type=Path, metavar="DIR", help="an unpacked root instead of an image")
    parser.add_argument(
        "--advisories",
        type=Path,
        action="append",
        required=True,
        metavar="DIR|ZIP",
        help="OSV's JSON files: a folder, or a zip; may be given again, for PyPI and for Debian",
    )
    parser.add_argument(
        "--severity",
        choices=_LEVELS,
        help="the least threat that is refused, and what has no rating; default: the matrix's, else low",
    )
    parser.add_argument("--fixable", action="store_true", help="refuse only what another version has fixed")
    options.add_keys(parser, "a public key that counts beside the matrix's signers; may be given again")
    options.add_platform(parser)
    options.add_matrix(parser)
    options.add_repository(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context
    from pipeline.report import scanned
    from pipeline.runner import scanning

    if bool(given.image) is bool(given.root):
        raise UsageError("scan takes one image, or --root DIR", hint=f"see {output.MODULE} scan --help")
    if given.root and (given.platform or given.key):
        raise UsageError("--platform and --key are of images, --root of none", hint="leave them out")
    machine = None if given.root else context.services(given)
    demand = scanning.demand_of(machine, given.severity, fixable=given.fixable)
    ask = scanning.Ask(given.advisories, demand)
    if given.root:
        scan = scanning.of_folder(given.root, ask)
    else:
        scan = scanning.of_image(given.image, ask, machine, given.key, given.platform)
    for name, why in scan.unread.items():
        output.narrate(f"{name} {why}")
    output.narrate(f"its contents are signed by {scan.signer}" if scan.signer else "read from its files")
    if given.json:
        output.print_json({"schema": report.SCHEMA, **scanned.as_json(scan)})
    else:
        output.print_text(scanned.text_of(scan))
    return REFUSED if scan.refuses else GOOD


COMMAND = Command(
    "scan",
    summary="say which known weaknesses are in an image, by an export of OSV",
    description=(
        "Compares the versions of the bill of materials beside an image, or of the image's files where it "
        "has none, with advisories in OSV's format that lie on this machine; nothing is fetched. Advisories "
        "of one weakness are one line. Exit code 1 where one refuses the image: `scan:` in the matrix and "
        "these options say which do."
    ),
    examples=(
        ("scan torch2.13.0-cpu-py3.11 --advisories PyPI.zip --advisories Debian.zip", "a cell's image"),
        ("scan ghcr.io/example/vllm:cu130 --advisories osv --severity high --fixable", "what can be mended"),
        ("scan --root / --advisories osv --json", "this machine or container, for programs"),
    ),
    add_options=_add_options,
    run=_run,
)
