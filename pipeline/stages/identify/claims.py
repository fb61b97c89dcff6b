"""What an image says of itself, by its tag, its labels and its variables; and which of it is not so."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.model import PROJECT
from pipeline.model.identities import Claim, Contradiction

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipeline.formats.image_config import ImageConfig
    from pipeline.model.identities import Axis

NONE = "none"

_START, _END = r"(?<![a-z0-9])", r"(?![0-9])"
_IN_TAG: tuple[tuple[Axis, str], ...] = (
    ("cuda", rf"{_START}cu(?P<major>1[0-9])(?P<minor>[0-9]){_END}"),
    ("cuda", rf"{_START}cuda[-_.]?(?P<value>1[0-9](?:\.[0-9])?){_END}"),
    ("cuda", r"(?<![a-z0-9])(?P<cpu>cpu)(?![a-z0-9])"),
    ("torch", rf"{_START}(?:py)?torch[-_]?v?(?P<value>[0-9]\.[0-9]+(?:\.[0-9]+)?){_END}"),
    ("vllm", rf"{_START}vllm[-_]?v?(?P<value>[0-9]\.[0-9]+\.[0-9]+){_END}"),
    ("python", rf"{_START}(?:py|python|cp)[-_]?3\.?(?P<py>[0-9]{{1,2}}){_END}"),
)
_LEADING = re.compile(r"v?([0-9]\.[0-9]+\.[0-9]+)(?![0-9])")
_VARIABLES: Mapping[str, Axis] = {
    "CUDA_VERSION": "cuda",
    "PYTORCH_VERSION": "torch",
    "PYTHON_VERSION": "python",
    "VLLM_VERSION": "vllm",
}
"""Variables that makers of images set: NVIDIA's, PyTorch's, Python's and vLLM's own."""

_VERSION = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)")


def claims_of(reference: str, config: ImageConfig) -> tuple[Claim, ...]:
    """What an image says of itself: ``reference`` is how it was asked for."""
    return (*_of_tag(reference), *_of_labels(config.labels), *_of_variables(dict(config.env)))


def _of_tag(reference: str) -> Iterator[Claim]:
    name, colon, tag = reference.partition("@")[0].rpartition(":")
    if not colon or "/" in tag or reference.startswith(("/", ".")):
        return
    text = tag.lower()
    for axis, pattern in _IN_TAG:
        if found := re.search(pattern, text):
            yield Claim("its tag", axis, _value(found.groupdict()))
    image = name.rpartition("/")[2].rpartition(":")[2]
    leading = _LEADING.match(text)
    if leading and image == "pytorch":
        yield Claim("its tag", "torch", leading[1])
    if leading and image.startswith("vllm"):
        yield Claim("its tag", "vllm", leading[1])


def _value(groups: Mapping[str, str | None]) -> str:
    if groups.get("cpu"):
        return NONE
    if minor := groups.get("py"):
        return f"3.{minor}"
    return groups.get("value") or f"{groups.get('major')}.{groups.get('minor')}"


def _of_labels(labels: Mapping[str, str]) -> Iterator[Claim]:
    axes: tuple[Axis, ...] = ("torch", "cuda", "python", "vllm", "platform")
    for axis in axes:
        if value := labels.get(f"{PROJECT}.{axis}"):
            yield Claim(f"label {PROJECT}.{axis}", axis, _cuda(value) if axis == "cuda" else value)


def _cuda(value: str) -> str:
    """``13.0`` for ``cu130``."""
    is_variant = re.fullmatch(r"cu[0-9]{3}", value)
    return f"{value[2:4]}.{value[4]}" if is_variant else NONE if value == "cpu" else value


def _of_variables(env: Mapping[str, str]) -> Iterator[Claim]:
    for name, axis in _VARIABLES.items():
        if found := _VERSION.match(env.get(name, "")):
            yield Claim(name, axis, found[1])


def contradictions(
    claims: tuple[Claim, ...], seen: Mapping[Axis, tuple[str, ...]]
) -> tuple[Contradiction, ...]:
    """The claims that nothing inside bears out. ``seen`` has what is there of each axis, none if nothing.

    An axis that is not among them is not known, so what is said of it stays a claim.
    """
    false = (claim for claim in claims if claim.axis in seen and not _is_so(claim, seen[claim.axis]))
    return tuple(Contradiction(claim, " and ".join(seen[claim.axis]) or NONE) for claim in false)


def _is_so(claim: Claim, values: tuple[str, ...]) -> bool:
    if claim.value == NONE:
        return not values
    return any(_agree(claim, value) for value in values)


def _agree(claim: Claim, value: str) -> bool:
    """Whether two versions are one as far as both go; of CUDA and Python two numbers count."""
    if claim.axis == "platform":
        return f"{value}/".startswith(f"{claim.value}/")
    claimed, there = claim.value.partition("+")[0].split("."), value.partition("+")[0].split(".")
    most = 2 if claim.axis in {"cuda", "python"} else 3
    length = min(len(claimed), len(there), most)
    return claimed[:length] == there[:length]
