"""Lists of packages that somebody else wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.compat import companion_facts, pairs, shipped
from pipeline.compat.companions import Place, Relations
from pipeline.compat.environment import judge_environment
from pipeline.compat.remedies import hinted
from pipeline.model import Conditions
from pipeline.report import judged
from pipeline.runner import environments
from tests.fuzz.reader import Reader
from tests.unit.formats.test_environments import LISTS, REQUIREMENTS

if TYPE_CHECKING:
    from pathlib import Path


def read_pairs(data: bytes, _: Path) -> object:
    """Feeds versions, a line for each of these packages."""
    names = ("vllm", "transformers", "flashinfer-python", "flashinfer-cubin", "pynvml", "nvidia-ml-py")
    installed = dict(zip(names, data.decode("utf-8", "replace").splitlines(), strict=False))
    return list(pairs.clashes(installed)), list(pairs.unequal(installed)), list(pairs.twins(installed))


def read_packages(data: bytes, _: Path) -> object:
    """Feeds a requirement that torch has there, its version, and those of what is beside it."""
    requirement, *versions = data.decode("utf-8", "replace").splitlines() or [""]
    names = ("torch", "flash-attn", "torchvision", "transformers", "tokenizers", "torchaudio")
    packages = dict(zip(names, versions, strict=False))
    relations = Relations(
        Place("3.12"), shipped(), companion_facts.shipped(), {"torch": (requirement,)}, packages
    )
    return [hinted(conflict, packages, relations) for conflict in relations.among(packages)]


PACKAGES = b"""\
transformers<5; python_version > '3'
2.11.0
2.8.3+cu12torch2.8cxx11abiTRUE
0.25.0+cu129
5.3.0
0.19.1
2.11.0
"""


def read_list(data: bytes, _: Path) -> object:
    """Feeds a list of packages, of whatever tool, and judges what is in it."""
    environment = environments.of_list(data.decode("utf-8", "replace"), "a list", "linux/amd64", "3.12")
    return judged.text_of(judge_environment(environment, Conditions(), shipped()))


ADDRESSES = b"torch @ https://x.example/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl\nvllm @ file:///vllm-0.tar.gz\n"

READERS = (
    Reader(
        "list of packages",
        read_list,
        (ADDRESSES, REQUIREMENTS.encode(), *(text.encode() for text in LISTS.values())),
    ),
    Reader("pairs", read_pairs, (b"0.11.0\n5.1.0\n0.6.14\n0.6.13\n11.5.3\n12.570.86\n",)),
    Reader("packages", read_packages, (PACKAGES,)),
)
