"""``scan``: which weaknesses that advisories tell of are in an image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import report
from pipeline.adapters import files
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import Threat
from pipeline.model.errors import GOOD, REFUSED, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser

    from pipeline.cli.options import Options
    from pipeline.model import ImageRef, Scan
    from pipeline.runner.scanning import Ask
    from pipeline.runner.services import Services

_IMAGES = "a cell, host/path@sha256:…, host/path:tag, engine:NAME, or the path of an archive or an OCI layout"
_LEVELS = [threat.word for threat in Threat if threat not in (Threat.NONE, Threat.UNRATED)]


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("image", nargs="?", metavar="IMAGE", help=_IMAGES)
    parser.add_argument("--root", type=Path, metavar="DIR", help="an unpacked root instead of an image")
    parser.add_argument(
        "--candidate",
        action="store_true",
        help="of a cell the image of today's inputs, which is published next, instead of the published one",
    )
    parser.add_argument(
        "--advisories",
        type=Path,
        action="append",
        default=[],
        metavar="DIR|ZIP",
        help="OSV's JSON files: a folder, or a zip; may be given again, for PyPI and for Debian",
    )
    parser.add_argument(
        "--result",
        type=Path,
        metavar="FILE",
        help="what another scanner found, instead: CycloneDX with vulnerabilities, or in-toto's vulns",
    )
    parser.add_argument(
        "--attach", action="store_true", help="sign what is found, and keep it beside the image, for the gate"
    )
    parser.add_argument(
        "--vex", type=Path, metavar="FILE", help="gets what the matrix's exceptions say of it, as OpenVEX"
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
    from pipeline.runner import scanning

    _refuse_what_does_not_fit(given)
    machine = None if given.root else context.services(given)
    demand = scanning.demand_of(machine, given.severity, fixable=given.fixable)
    ask = scanning.Ask(given.advisories, demand, given.result)
    scan, kept = _scanned(given, ask, machine)
    for name, why in scan.unread.items():
        output.narrate(f"{name} {why}")
    if not given.result:
        output.narrate(f"its contents are signed by {scan.signer}" if scan.signer else "read from its files")
    _print(scan, as_json=given.json)
    for place in kept:
        output.narrate(f"signed, and kept beside {place}")
    return REFUSED if scan.refuses else GOOD


def _refuse_what_does_not_fit(given: Options) -> None:
    """Raise UsageError for what says nothing together."""
    help_of_scan = f"see {output.MODULE} scan --help"
    if bool(given.image) is bool(given.root):
        raise UsageError("scan takes one image, or --root DIR", hint=help_of_scan)
    if bool(given.advisories) is bool(given.result):
        raise UsageError("scan takes --advisories DIR, or --result FILE", hint=help_of_scan)
    of_images = (given.platform, given.key, given.attach, given.candidate, given.vex)
    if given.root and any(of_images):
        what = "--platform, --key, --attach, --candidate and --vex are of images, --root of none"
        raise UsageError(what, hint="leave them out")


def _scanned(given: Options, ask: Ask, machine: Services | None) -> tuple[Scan, tuple[ImageRef, ...]]:
    """The scan, and where it is kept."""
    from pipeline.runner import documenting, scanning

    if given.root:
        return scanning.of_folder(given.root, ask), ()
    if machine is None:
        if given.candidate or given.attach or given.vex:
            what = "--candidate, --attach and --vex go by a matrix, and there is none"
            raise UsageError(what, hint="name it with --matrix")
        return scanning.of_image(given.image, ask, None, given.key, given.platform)[0], ()
    named = documenting.candidate_of(given.image, machine) if given.candidate else given.image
    scan, ref = scanning.of_image(named, ask, machine, given.key, given.platform)
    if not given.attach and not given.vex:
        return scan, ()
    if ref is None:
        what = f"{given.image} is in no registry: nothing is kept beside it, or said of it in OpenVEX"
        raise UsageError(what, hint="push it first")
    if given.vex:
        files.write(given.vex, scanning.vex_of(machine, scan, ref).text.encode())
    return scan, scanning.attach(machine, scan, ref) if given.attach else ()


def _print(scan: Scan, *, as_json: bool) -> None:
    from pipeline.report import scanned

    if as_json:
        output.print_json({"schema": report.SCHEMA, **scanned.as_json(scan)})
    else:
        output.print_text(scanned.text_of(scan))


COMMAND = Command(
    "scan",
    summary="say which known weaknesses are in an image, by an export of OSV",
    description=(
        "Compares the versions of the bill of materials beside an image, or of the image's files where it "
        "has none, with advisories in OSV's format that lie on this machine; nothing is fetched. Advisories "
        "of one weakness are one line. Exit code 1 where one refuses the image: `scan:` in the matrix and "
        "these options say which do. With --attach the scan is signed beside the image, where the gate reads "
        "it if the policy asks for one (`scan: max_age_days:`)."
    ),
    examples=(
        ("scan torch2.13.0-cpu-py3.11 --advisories PyPI.zip --advisories Debian.zip", "a cell's image"),
        ("scan ghcr.io/example/vllm:cu130 --advisories osv --severity high --fixable", "what can be mended"),
        ("scan --root / --advisories osv --json", "this machine or container, for programs"),
        ("scan cpu --candidate --attach --advisories osv", "what is published next, for its gate"),
        ("scan cpu --attach --result trivy.cdx.json", "what another scanner found, through the same door"),
        ("scan cpu --advisories osv --vex vex.json", "what other scanners may leave out, by our exceptions"),
    ),
    add_options=_add_options,
    run=_run,
)
