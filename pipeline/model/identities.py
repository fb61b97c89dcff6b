"""What an image really is: the stack inside it, how that is known, and what it wrongly says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Axis = Literal["torch", "cuda", "python", "vllm", "platform"]
"""What an image may say of itself, and what can be seen inside it."""

SeenIn = Literal["certificate", "files", "labels"]
"""How an image is known: by a signed certificate, by its files, or by no more than its own words."""


@dataclass(frozen=True)
class PythonEnvironment:
    """One Python of an image, and what of the stack it imports; a text is empty where there is none.

    ``prefix`` is its folder (``/opt/venv``), ``python`` its version ("3.11"). ``torch`` and ``vllm`` are the
    versions as installed ("2.13.0+cpu"), ``cuda`` the CUDA that this torch was compiled for ("13.0"),
    ``other`` another maker's platform in its place ("ROCm 6.4"). ``archs`` are the architectures of its
    device code, as ``torch.cuda.get_arch_list()`` has them; None where its files do not say.
    """

    prefix: str
    python: str
    torch: str = ""
    cuda: str = ""
    other: str = ""
    vllm: str = ""
    archs: tuple[str, ...] | None = None

    @property
    def has_stack(self) -> bool:
        """Whether PyTorch or vLLM is in it."""
        return bool(self.torch or self.vllm)


@dataclass(frozen=True)
class Claim:
    """What an image says of itself: ``where`` ("its tag", "label tagproof.torch"), of which axis, and what.

    A ``cuda`` of "none" says that it is for the CPU.
    """

    where: str
    axis: Axis
    value: str


@dataclass(frozen=True)
class Contradiction:
    """A claim, and what is seen in its place."""

    claim: Claim
    seen: str


@dataclass(frozen=True)
class Identity:
    """What an image really is; a text is empty where the image has no such thing, or nobody could tell.

    ``name`` is how it was asked for, ``digest`` its manifest's, ``base`` its distribution, ``environments``
    its Pythons, in the order of PATH. ``cuda`` is the CUDA of PyTorch, without PyTorch that of the toolkit
    inside. ``architectures`` are those of known GPUs that it reaches (``sm_90``), None where that is not
    known; ``driver`` is the oldest driver that runs what is inside. ``notes`` are sentences on what is odd.
    """

    name: str
    digest: str
    platform: str
    seen_in: SeenIn
    base: str = ""
    torch: str = ""
    cuda: str = ""
    other: str = ""
    python: str = ""
    vllm: str = ""
    architectures: tuple[str, ...] | None = None
    driver: str = ""
    environments: tuple[PythonEnvironment, ...] = ()
    contradictions: tuple[Contradiction, ...] = ()
    notes: tuple[str, ...] = ()
    created: str = ""
    """When the certificate was made, in UTC; empty without one."""

    @property
    def has_stack(self) -> bool:
        """Whether anything inside is of the stack that a fleet has to agree on."""
        return bool(self.torch or self.vllm or self.cuda)
