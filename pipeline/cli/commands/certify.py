"""``certify``: an image, judged by its files alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import Expectations, to_json
from pipeline.model.errors import GOOD, REFUSED, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from pipeline.cli.options import Options

_IMAGES = "host/path@sha256:…, host/path:tag, engine:NAME, or the path of an archive or an OCI layout"


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("image", nargs="?", metavar="IMAGE", help=_IMAGES)
    parser.add_argument("--root", type=Path, metavar="DIR", help="an unpacked root instead of an image")
    parser.add_argument(
        "--parent", metavar="IMAGE", help="the image that it was made from: findings tell whose they are"
    )
    options.add_archs(parser)
    options.add_platform(parser)
    options.add_matrix(parser)
    parser.add_argument("--sarif", type=Path, metavar="FILE", help="write SARIF 2.1.0 too")
    parser.add_argument("--markdown", action="store_true", help="print Markdown")
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.adapters import files
    from pipeline.cli import context
    from pipeline.report import certificate as shown
    from pipeline.report.sarif import sarif
    from pipeline.runner import audits

    if bool(given.image) is bool(given.root):
        raise UsageError("certify takes one image, or --root DIR", hint=f"see {output.MODULE} certify --help")
    if given.root and given.platform:
        raise UsageError("--platform is of an image, --root of none", hint="leave one of them out")
    if given.root and given.parent:
        raise UsageError("--parent is of an image, --root of none", hint="leave one of them out")
    archs = _archs(given.arch)
    if given.root:
        certificate = audits.of_folder(given.root, Expectations(archs=archs))
    else:
        certificate = audits.of_image(
            given.image, context.services(given), given.platform, archs, given.parent
        )
    if given.sarif:
        files.write(given.sarif, sarif(certificate).encode())
    if given.json:
        output.print_json(to_json(certificate))
    else:
        output.print_text(shown.markdown(certificate) if given.markdown else shown.page(certificate))
    return GOOD if certificate.passed else REFUSED


def _archs(texts: Sequence[str]) -> tuple[str, ...]:
    """The architectures that are meant, each once: ``sm_103`` of sm_103, 10.3 or B300.

    Raises UsageError for what is neither an architecture nor a known GPU.
    """
    from pipeline.compat import shipped
    from pipeline.formats import axes

    found: dict[str, None] = {}
    for text in (part for word in texts for part in word.split(",") if part.strip()):
        gpu = shipped().gpu(text)
        arch = next(axes.meanings(text, axes.ARCH), gpu.sm if gpu else None)
        if arch is None:
            hint = "write an architecture, --arch sm_103, or a GPU, --arch B300"
            raise UsageError(f"--arch {text}: no such architecture, and no known GPU", hint=hint)
        found[arch] = None
    return tuple(found)


COMMAND = Command(
    "certify",
    summary="judge by its files alone whether an image will run, and where",
    description=(
        "Reads the files of any image, ours or anyone's, and runs none of them; no GPU is needed. Says "
        "which driver and GPUs it is for, and what is wrong: libraries that nothing provides, two CUDA "
        "majors, no code for an architecture that --arch names. One that says that it is a cell of the "
        "matrix is held to its lock as well. Exit code 1 where an error was found."
    ),
    examples=(
        ("certify 127.0.0.1:5000/tagproof/vllm:cpu", "an image in a registry"),
        ("certify engine:vllm/vllm-openai:latest --markdown", "one in the engine's store"),
        ("certify --root / --sarif certify.sarif", "the machine or container that this runs in"),
        ("certify engine:vllm/vllm-openai:latest --arch B300", "whether all of it is for that GPU"),
    ),
    add_options=_add_options,
    run=_run,
)
