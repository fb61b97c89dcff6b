"""Packages that do not go together: what is missing at the start, and pairs that no requirement speaks of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.model import Severity
from tests.unit.stages.audit.audited_image import Image
from tests.unit.stages.audit.made_root import Root

if TYPE_CHECKING:
    from pathlib import Path

ERROR, WARNING, NOTE = Severity


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


# -- what is missing --------------------------------------------------------------------------------


def test_a_missing_requirement_of_what_is_imported_at_start_is_an_error(root: Root) -> None:
    """``import torch`` begins with ``typing_extensions``: it was tried without."""
    root.install("torch", "2.13.0", requires=("typing-extensions>=4.10.0", "sympy>=1.13.3"))
    root.install("sympy", "1.14.0")
    (finding,) = root.findings("requirements")
    assert finding.severity is ERROR
    assert "typing-extensions>=4.10.0, which is not installed" in finding.text
    assert "ModuleNotFoundError" in finding.why


def test_what_pytorch_imports_later_is_a_warning_as_long_as_nothing_is_served(root: Root) -> None:
    """``import torch`` of 2.13 goes through without SymPy; vLLM's start, which compiles, does not."""
    root.install("torch", "2.13.0", requires=("sympy>=1.13.3",))
    assert root.severities("requirements") == [WARNING]
    root.install("vllm", "0.32.0", requires=("torch==2.13.0",))
    assert root.severities("requirements") == [ERROR]


@pytest.mark.parametrize("name", ["pydantic", "msgspec", "pyzmq", "transformers", "uvloop", "numpy"])
def test_a_server_without_what_it_imports_does_not_start(name: str, root: Root) -> None:
    root.install("vllm", "0.32.0", requires=(f"{name}>=1",))
    assert root.severities("requirements") == [ERROR]


@pytest.mark.parametrize("name", ["torchaudio", "torchvision", "lm-format-enforcer", "outlines-core"])
def test_a_server_without_what_it_imports_on_demand_is_a_warning(name: str, root: Root) -> None:
    root.install("vllm", "0.32.0", requires=(f"{name}>=1",))
    assert root.severities("requirements") == [WARNING]


def test_what_a_requirement_of_the_server_lacks_in_turn_is_seen(root: Root) -> None:
    root.install("vllm", "0.32.0", requires=("pydantic>=2",))
    root.install("pydantic", "2.14.3", requires=("pydantic-core==2.50.4", "annotated-types>=0.6"))
    assert root.severities("requirements") == [ERROR, ERROR]


def test_what_an_extra_of_a_requirement_brings_along_is_a_warning(root: Root) -> None:
    """FastAPI's ``standard`` has a client for tests, which vLLM starts without."""
    root.install("vllm", "0.32.0", requires=("fastapi[standard]>=0.115",))
    root.install("fastapi", "0.136.3", requires=('httpx>=0.23; extra == "standard"',))
    assert root.severities("requirements") == [WARNING]


def test_torchvision_for_another_pytorch_is_an_error_although_all_its_libraries_load(root: Root) -> None:
    """https://github.com/vllm-project/vllm/issues/56829, where only METADATA shows it."""
    root.install("torch", "2.14.0")
    root.install("torchvision", "0.28.0", requires=("torch==2.13.0", "numpy"))
    severities = {one.text.partition(" asks for ")[2]: one.severity for one in root.findings("requirements")}
    assert severities["torch==2.13.0, torch 2.14.0 is installed"] is ERROR
    assert severities["numpy, which is not installed"] is ERROR


def test_torchvision_counts_beside_a_server_that_does_not_require_it(root: Root) -> None:
    """Transformers imports it wherever it is."""
    root.install("torch", "2.14.0")
    root.install("vllm", "0.33.0", requires=("torch==2.14.0",))
    root.install("torchvision", "0.28.0", requires=("torch==2.13.0",))
    assert root.severities("requirements") == [ERROR]


@pytest.mark.parametrize(
    ("owner", "requirement", "installed"),
    [
        (("transformers", "4.57.0"), "tokenizers<=0.23.0,>=0.22.0", ("tokenizers", "0.19.1")),
        (("transformers", "4.57.0"), "huggingface-hub<1.0,>=0.34.0", ("huggingface-hub", "2.4.0")),
        (("pydantic", "2.14.3"), "pydantic-core==2.50.4", ("pydantic-core", "2.41.5")),
        (("tensorflow", "2.20.0"), "protobuf>=5.28.0", ("protobuf", "4.25.3")),
        (("tensorflow", "2.20.0"), "keras>=3.10.0", ("keras", "2.15.0")),
        (("numba", "0.61.0"), "numpy<2.2,>=1.24", ("numpy", "2.3.5")),
        (("triton", "3.7.1"), "setuptools>=40.8.0", ("setuptools", "39.0")),
    ],
)
def test_a_contradiction_is_an_error_where_no_server_says_what_starts(
    owner: tuple[str, str], requirement: str, installed: tuple[str, str], root: Root
) -> None:
    root.install(*owner, requires=(requirement,))
    root.install(*installed)
    assert root.severities("requirements") == [ERROR]


# -- pairs ------------------------------------------------------------------------------------------

FLASHINFER = ("flashinfer-python", "0.6.14")


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("flashinfer-cubin", "0.6.13", 1),
        ("flashinfer-cubin", "0.6.14", 0),
        ("flashinfer-jit-cache", "0.6.13+cu130", 1),
        ("flashinfer-jit-cache", "0.6.14+cu130", 0),
    ],
)
def test_parts_of_flashinfer_are_of_one_release(name: str, version: str, found: int, root: Root) -> None:
    """https://github.com/vllm-project/vllm/issues/49804: an upgrade of vLLM left the old cubins there."""
    root.install(*FLASHINFER)
    root.install(name, version)
    findings = root.findings("requirements")
    assert [one.severity for one in findings] == [ERROR] * found
    assert all(one.text == f"{name} {version} beside flashinfer-python 0.6.14" for one in findings)
    assert all(f"install {name}==0.6.14, or remove it" in one.hint for one in findings)


@pytest.mark.parametrize(("value", "found"), [("1", 0), ("0", 1), ("", 1)])
def test_whoever_turns_flashinfers_check_off_is_not_told(value: str, found: int) -> None:
    image = Image()
    image.install(*FLASHINFER)
    image.install("flashinfer-cubin", "0.6.13")
    image.env["FLASHINFER_DISABLE_VERSION_CHECK"] = value
    assert len([one for one in image.judged().findings if "beside flashinfer-python" in one.text]) == found


def test_a_pair_that_is_known_to_fail_is_an_error(root: Root) -> None:
    """https://github.com/vllm-project/vllm/pull/29686: nothing that this vLLM requires forbids it."""
    root.install("vllm", "0.11.0", requires=("transformers>=4.55.2",))
    root.install("transformers", "5.19.0")
    (finding,) = root.findings("requirements")
    assert (finding.severity, finding.text) == (ERROR, "vllm 0.11.0 beside transformers 5.19.0")
    assert finding.hint == "install 'transformers<5'"


@pytest.mark.parametrize(("torch", "severities"), [("2.10.0", [WARNING]), ("2.11.0", [])])
def test_what_metadata_does_not_say_of_pytorch_is_a_fact(
    torch: str, severities: list[Severity], root: Root
) -> None:
    """https://github.com/pytorch/audio/pull/4212: torchaudio 2.11 states no requirement on PyTorch."""
    root.install("torch", torch)
    root.install("torchaudio", "2.11.0")
    assert root.severities("requirements") == severities


def test_a_pair_in_a_python_that_serves_nothing_is_a_warning(root: Root, tmp_path: Path) -> None:
    root.install("torch", "2.13.0")
    other = Root(tmp_path)
    other.prefix = "usr"
    other.install(*FLASHINFER)
    other.install("flashinfer-cubin", "0.6.13")
    assert root.severities("requirements") == [WARNING]
