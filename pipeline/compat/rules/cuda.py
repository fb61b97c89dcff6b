"""One CUDA: PyTorch and vLLM are compiled for the same major, better also for the same minor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compat.rules.other_builds import UNREAD, other_vllm
from pipeline.compat.rules.releases import pinned_by, vllm_of
from pipeline.formats.cuda import variant_of
from pipeline.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.facts import Facts
    from pipeline.compat.rules.other_builds import OtherBuild
    from pipeline.model import Cell, Conditions

OTHER_BUILDS = "https://github.com/vllm-project/vllm/issues/44335"
"""Where vLLM's maintainers say that builds for another CUDA are on an index of their own."""

MIXED_MINORS = "https://github.com/pytorch/pytorch/issues/174949"


def major(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """The binaries of vLLM link the CUDA runtime of one major by name, and PyTorch brings that of its own."""
    vllm, ours = vllm_of(cell, facts), cell.cuda_version
    if other := other_vllm(cell, facts, conditions.pins):
        yield _of_other(cell, other)
        return
    if vllm is None or ours is None:
        return
    if vllm.cuda is None:
        text = f"which CUDA vLLM {cell.vllm} was compiled for is not known"
        yield Finding("cuda-major", Level.UNKNOWN, text, vllm.source("cuda"))
        return
    theirs = vllm.cuda.partition(".")[0]
    fits = theirs == ours.partition(".")[0]
    text = f"vLLM {cell.vllm} is compiled for CUDA {vllm.cuda}, PyTorch {cell.cuda} for {ours}"
    if fits:
        yield Finding("cuda-major", Level.OK, f"{text}: one major", vllm.source("cuda"))
        return
    text = f"{text}: the import fails, libcudart.so.{theirs}: cannot open shared object file"
    hint = _same_major(cell, facts, ours.partition(".")[0])
    yield Finding("cuda-major", Level.IMPOSSIBLE, text, (*vllm.source("cuda"), OTHER_BUILDS), hint)


def _of_other(cell: Cell, other: OtherBuild) -> Finding:
    """What is known of a build that is not the default index's: the CUDA in its name, and who names it."""
    ours, theirs = cell.cuda_version or "", other.cuda
    text = f"vLLM {other.version} is by its name compiled for CUDA {theirs}, PyTorch {cell.cuda} for {ours}"
    if ours.partition(".")[0] != theirs.partition(".")[0]:
        hint = "pin another build of it under `packages:`, or none"
        return Finding("cuda-major", Level.IMPOSSIBLE, f"{text}: the import fails", other.source, hint)
    if not other.source:
        text = f"{text}; it is looked for {other.where}; {UNREAD}"
        hint = "`lock` fails where it is not there; the certificate says what is in it"
        return Finding("cuda-major", Level.UNKNOWN, text, other.source, hint)
    text = f"{text}; the default index does not have it: it is on {other.place}; {UNREAD}"
    hint = "name that index: without it the build for another CUDA is installed, whose import fails"
    if other.file:
        hint = "install that file; for a lock put it into a local folder (`--find-links`)"
    return Finding("cuda-major", Level.WARN, text, other.source, hint)


def _same_major(cell: Cell, facts: Facts, cuda_major: str) -> str:
    """The newest vLLM for this PyTorch that has the CUDA major of the cell, in words."""
    rows = pinned_by(facts, "vllm", cell.machine).get(cell.torch, ())
    fitting = [row.version for row in rows if row.cuda and row.cuda.partition(".")[0] == cuda_major]
    if fitting:
        return f"take vLLM {fitting[-1]}"
    built = sorted({variant_of(row.cuda) for row in rows if row.cuda and "." in row.cuda})
    return f"take {' or '.join(built)} for this PyTorch" if built else "take a PyTorch of vLLM's own CUDA"


def minor(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """Another minor of the same major runs, less what is newer than the libraries that are there."""
    default, other = vllm_of(cell, facts), other_vllm(cell, facts, conditions.pins)
    ours, theirs = cell.cuda_version, other.cuda if other else default and default.cuda
    if ours is None or not theirs or "." not in theirs:
        return
    if theirs.partition(".")[0] != ours.partition(".")[0] or theirs == ours:
        return
    named = other.version if other else cell.vllm
    text = (
        f"vLLM {named} is compiled by CUDA {theirs} and runs on the libraries of PyTorch's {ours}: "
        "what only one of them has fails at run time; CUBLAS_STATUS_INVALID_VALUE was seen"
    )
    hint = f"{variant_of(theirs)} of the same PyTorch has the libraries of {theirs}, where it is built"
    source = other.source if other else default.source("cuda") if default else ()
    yield Finding("cuda-minor", Level.WARN, text, (*source, MIXED_MINORS), hint)
