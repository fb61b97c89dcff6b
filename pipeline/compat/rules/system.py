"""The system under an image: its C library, the libraries that wheels expect of it, its compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compat.facts import version
from pipeline.compat.rules.other_builds import UNREAD, other_vllm
from pipeline.compat.rules.releases import torch_of, vllm_of
from pipeline.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.compat.facts import Facts
    from pipeline.compat.rows import Artefact
    from pipeline.compat.rules.other_builds import OtherBuild
    from pipeline.model import Cell, Conditions


def glibc_of_torch(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """The base's glibc is as new as PyTorch's wheel asks for."""
    if torch := torch_of(cell, facts):
        yield _on_glibc(torch, conditions.glibc)


def glibc_of_vllm(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """The base's glibc is as new as vLLM's wheel asks for."""
    if other := other_vllm(cell, facts, conditions.pins):
        yield from of_other_on_glibc(other, conditions.glibc)
    elif vllm := vllm_of(cell, facts):
        yield _on_glibc(vllm, conditions.glibc)


def of_other_on_glibc(other: OtherBuild, base: str | None) -> Iterator[Finding]:
    """What the sources say of a build that nobody read; nothing where neither side is known."""
    named = f"vllm {other.version}"
    if other.glibc is None and base is not None:
        text = f"which glibc {named} needs is not known: {UNREAD}"
        yield Finding("glibc", Level.UNKNOWN, text, other.source, "pip takes it only where the base fits")
    elif other.glibc:
        text = f"{named} needs glibc {other.glibc} (its makers say; {UNREAD})"
        fits = base is None or version(other.glibc) <= version(base)
        text = f"{text}, the base has {base}" if base else text
        yield Finding(
            "glibc",
            *((Level.OK, text, other.source) if fits else (Level.IMPOSSIBLE, text, other.source, OLDER)),
        )


OLDER = "take a newer base (Debian 12 has 2.36, Ubuntu 22.04 has 2.35), or another release"


def _on_glibc(part: Artefact, base: str | None) -> Finding:
    """A wheel asks by its tag, and by the symbols seen in it, whatever the tag."""
    needed = part.glibc_seen
    is_by_tag = needed is None or version(needed) <= version(part.glibc)
    needed, fact = (part.glibc, "glibc") if needed is None or is_by_tag else (needed, "glibc_seen")
    how = "its tag says" if is_by_tag else f"its symbols say, whatever its tag ({part.glibc})"
    text = f"{part.package} {part.version} needs glibc {needed} ({how})"
    if base is None:
        return Finding("glibc", Level.OK, text, part.source(fact))
    text = f"{text}, the base has {base}"
    if version(needed) <= version(base):
        return Finding("glibc", Level.OK, text, part.source(fact))
    return Finding("glibc", Level.IMPOSSIBLE, text, part.source(fact), OLDER)


def libnuma(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """The CPU build of vLLM links libnuma, which no wheel brings."""
    vllm = vllm_of(cell, facts)
    if vllm is None or "libnuma.so.1" not in (vllm.needs or ()):
        return
    text = f"{vllm.package} {vllm.version} links libnuma.so.1"
    if conditions.named_base:
        hint = "install it there (Debian: libnuma1)"
        yield Finding(
            "libnuma", Level.WARN, f"{text}, which your base image must have", vllm.source("needs"), hint
        )
    else:
        yield Finding("libnuma", Level.OK, f"{text}, which the base has (libnuma1)", vllm.source("needs"))


def compiler(cell: Cell, facts: Facts, conditions: Conditions) -> Iterator[Finding]:
    """The base's gcc is one that nvcc of this CUDA takes, where kernels are compiled at run time."""
    if cell.cuda_version is None or conditions.gcc is None:
        return
    nvcc = facts.compiler(cell.cuda_version)
    if nvcc is None or nvcc.max_gcc is None:
        text = f"which gcc nvcc of CUDA {cell.cuda_version} takes is not known; the base has {conditions.gcc}"
        yield Finding(
            "compiler", Level.WARN, text, (), "it matters to kernels that nvcc compiles at run time only"
        )
        return
    text = f"nvcc of CUDA {cell.cuda_version} takes gcc up to {nvcc.max_gcc}, the base has {conditions.gcc}"
    if int(conditions.gcc) <= nvcc.max_gcc:
        yield Finding("compiler", Level.OK, text, nvcc.source("max_gcc"))
    else:
        hint = f"kernels compiled at run time (FlashInfer's) fail: add g++-{nvcc.max_gcc} under `system:`"
        yield Finding("compiler", Level.WARN, text, nvcc.source("max_gcc"), hint)
