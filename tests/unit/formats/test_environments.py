"""Lists of packages, as each tool writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pipeline.formats import environments, markers

if TYPE_CHECKING:
    from pipeline.formats.environments import Listing

HERE = markers.environment("3.12", "x86_64")


def read(text: str) -> Listing:
    return environments.read(text, HERE)


def versions(text: str) -> dict[str, str]:
    """The packages that are pinned."""
    return {one.name: one.version for one in read(text).packages if one.version}


def ranges(text: str) -> dict[str, str]:
    """Those that are not."""
    return {one.name: one.bounds for one in read(text).packages if not one.version}


# -- requirements -------------------------------------------------------------------------------------

REQUIREMENTS = """\
# a comment
torch==2.11.0+cu129  # of another index
transformers>=4.55,<5
vllm[audio] == 0.22.0 ; python_version >= "3.10"
numpy ; sys_platform == "win32"
Flash_Attn==2.8.3 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
triton
"""


def test_pins_and_ranges_are_told_apart() -> None:
    assert versions(REQUIREMENTS) == {"torch": "2.11.0+cu129", "vllm": "0.22.0", "flash-attn": "2.8.3"}
    assert ranges(REQUIREMENTS) == {"transformers": "<5,>=4.55", "triton": ""}


def test_a_requirement_for_another_system_is_none() -> None:
    assert "numpy" not in versions(REQUIREMENTS) | ranges(REQUIREMENTS)


@pytest.mark.parametrize(
    ("line", "name", "version"),
    [
        (
            "flash_attn @ https://x.example/flash_attn-2.8.3%2Bcu12torch2.8cxx11abiTRUE-cp312-cp312-linux_x86_64.whl",
            "flash-attn",
            "2.8.3+cu12torch2.8cxx11abitrue",
        ),
        (
            "vllm @ https://wheels.vllm.ai/0.22.0/cu129/vllm-0.22.0%2Bcu129-cp38-abi3-manylinux_2_31_x86_64.whl",
            "vllm",
            "0.22.0+cu129",
        ),
        ("torch @ file:///wheels/torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl", "torch", "2.13.0+cpu"),
        ("./wheels/torch-2.13.0+cpu-cp311-cp311-linux_x86_64.whl", "torch", "2.13.0+cpu"),
        ("xformers @ https://x.example/xformers-0.0.31.tar.gz", "xformers", "0.0.31"),
        ("torch===2.9.0", "torch", "2.9.0"),
    ],
)
def test_an_address_of_a_wheel_pins_what_is_in_its_name(line: str, name: str, version: str) -> None:
    assert versions(line) == {name: version}


@pytest.mark.parametrize(
    "line",
    [
        "-e .",
        "-r base.txt",
        "-c limits.txt",
        "vllm @ git+https://github.com/vllm-project/vllm@main",
        "what is it",
    ],
)
def test_a_line_that_says_nothing_of_a_version_is_said_to_be_unread(line: str) -> None:
    listing = read(f"torch==2.9.0\n{line}\n")
    assert listing.unread == (f"line 2: {line}",)
    assert len(listing.packages) == 1


def test_an_index_of_builds_names_the_build_of_what_is_on_it() -> None:
    """https://github.com/vllm-project/vllm/issues/44335: PyTorch alone becomes another one by it."""
    text = "--extra-index-url https://download.pytorch.org/whl/cu129\ntorch==2.11.0\nvllm==0.22.0\n"
    assert versions(text) == {"torch": "2.11.0+cu129", "vllm": "0.22.0"}
    text = "--extra-index-url https://wheels.vllm.ai/0.22.0/cu129\nvllm==0.22.0\n"
    assert versions(text) == {"vllm": "0.22.0+cu129"}


def test_a_pattern_of_versions_is_a_range() -> None:
    assert ranges("torch==2.9.*\n") == {"torch": "==2.9.*"}


# -- other tools --------------------------------------------------------------------------------------

PIP_LIST = """\
Package           Version      Editable project location
----------------- ------------ -------------------------
torch             2.9.0+cu128
Flash_Attn        2.8.3        /src
"""

PIP_JSON = json.dumps(
    [{"name": "torch", "version": "2.9.0+cu128"}, {"name": "Flash_Attn", "version": "2.8.3"}]
)

PIP_INSPECT = json.dumps(
    {
        "version": "1",
        "installed": [
            {"metadata": {"name": "torch", "version": "2.9.0+cu128"}},
            {"metadata": {"name": "Flash_Attn", "version": "2.8.3"}},
        ],
        "environment": {"python_version": "3.11"},
    }
)

PIPFILE = json.dumps(
    {"_meta": {}, "default": {"torch": {"version": "==2.9.0+cu128"}, "flash-attn": {"version": "==2.8.3"}}}
)

UV = """\
version = 1
requires-python = "==3.11.*"

[[package]]
name = "mine"
version = "0.1.0"
source = { virtual = "." }

[[package]]
name = "torch"
version = "2.9.0+cu128"
source = { registry = "https://download.pytorch.org/whl/cu128" }
resolution-markers = ["sys_platform == 'linux'"]

[[package]]
name = "torch"
version = "2.9.0"
resolution-markers = ["sys_platform == 'darwin'"]

[[package]]
name = "flash-attn"
version = "2.8.3"
"""

PYLOCK = """\
lock-version = "1.0"
created-by = "a tool"
requires-python = "==3.11.*"

[[packages]]
name = "torch"
version = "2.9.0+cu128"

[[packages]]
name = "flash-attn"
version = "2.8.3"
marker = "sys_platform == 'linux'"

[[packages]]
name = "pywin32"
version = "308"
marker = "sys_platform == 'win32'"
"""

POETRY = """\
[[package]]
name = "torch"
version = "2.9.0+cu128"

[[package]]
name = "flash-attn"
version = "2.8.3"
markers = {main = "sys_platform == 'linux'"}

[metadata]
lock-version = "2.1"
python-versions = ">=3.11,<3.12"
"""

PYPROJECT = """\
[project]
name = "mine"
dependencies = ["torch==2.9.0+cu128", "flash_attn==2.8.3"]
"""

CONDA = """\
# packages in environment at /opt/conda:
#
# Name                    Version                   Build  Channel
pytorch                   2.9.0           py3.11_cuda12.8_cudnn9.1.0_0    pytorch
flash-attn                2.8.3                    pypi_0    pypi
_libgcc_mutex             0.1                        main
"""

CONDA_EXPORT = """\
# This file may be used to create an environment using:
# platform: linux-64
pytorch=2.9.0=py3.11_cuda12.8_cudnn9.1.0_0
flash-attn=2.8.3=pypi_0
"""

CONDA_EXPLICIT = """\
@EXPLICIT
https://conda.anaconda.org/conda-forge/linux-64/pytorch-2.9.0-cuda128_mkl_py311_h1_300.conda#ab
https://conda.anaconda.org/conda-forge/linux-64/flash-attn-2.8.3-py311_0.tar.bz2
"""

CONDA_JSON = json.dumps(
    [
        {
            "name": "pytorch",
            "version": "2.9.0",
            "build_string": "cuda128_mkl_py311",
            "channel": "conda-forge",
        },
        {"name": "flash-attn", "version": "2.8.3", "build_string": "pypi_0", "channel": "pypi"},
    ]
)

ENVIRONMENT_YML = """\
name: mine
dependencies:
  - python=3.11
  - conda-forge::pytorch=2.9.0=cuda128_mkl_py311
  - pip:
      - flash-attn==2.8.3
"""

COLLECT_ENV = """\
Collecting environment information...
Libc version                 : glibc-2.35
PyTorch version              : 2.9.0+cu128
Is debug build               : False
Python version               : 3.11.9 (main) (64-bit runtime)

Versions of relevant libraries:
[pip3] flash_attn==2.8.3
[pip3] torch==2.9.0
[conda] torch                     2.8.0                    pypi_0    pypi
"""

LISTS = {
    "pip list": PIP_LIST,
    "pip list in JSON": PIP_JSON,
    "pip inspect": PIP_INSPECT,
    "Pipfile.lock": PIPFILE,
    "uv.lock": UV,
    "pylock.toml": PYLOCK,
    "poetry.lock": POETRY,
    "pyproject.toml": PYPROJECT,
    "conda list": CONDA,
    "conda list --export": CONDA_EXPORT,
    "conda list --explicit": CONDA_EXPLICIT,
    "conda list --json": CONDA_JSON,
    "environment.yml": ENVIRONMENT_YML,
    "collect_env": COLLECT_ENV,
}


@pytest.mark.parametrize("name", LISTS)
def test_every_tools_list_says_the_same(name: str) -> None:
    listing = read(LISTS[name])
    found = {one.name: one.version for one in listing.packages if one.name in {"torch", "flash-attn"}}
    assert found == {"torch": "2.9.0+cu128", "flash-attn": "2.8.3"}
    assert listing.kind == name.removesuffix(" in JSON").partition(" --")[0]


@pytest.mark.parametrize(
    "name", ["pip inspect", "uv.lock", "pylock.toml", "poetry.lock", "environment.yml", "collect_env"]
)
def test_some_say_their_python_too(name: str) -> None:
    assert read(LISTS[name]).python == "3.11"


def test_collect_env_says_its_glibc() -> None:
    assert read(COLLECT_ENV).glibc == "2.35"


def test_the_project_itself_is_no_package_of_its_lock() -> None:
    assert "mine" not in versions(UV)


def test_of_two_versions_for_the_same_platform_none_is_believed() -> None:
    text = UV.replace("'darwin'", "'linux'")
    assert "torch" not in versions(text)
    assert read(text).unread == ("torch is there in several versions: 2.9.0+cu128, 2.9.0",)


# -- what is none -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "[]",
        "{}",
        '{"default": 1}',
        "[[package]]\nname = 1\n",
        "[[package",
        '[{"name": "x"}]',
        "[" * 9999,
    ],
)
def test_what_is_no_list_is_said_to_be_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(text)


def test_a_list_that_no_honest_tool_writes_is_refused() -> None:
    with pytest.raises(ValueError, match="more than any environment has"):
        read("\n".join(f"a{number}==1" for number in range(20_001)))
    with pytest.raises(ValueError, match="characters"):
        read("#" * (16 << 20) + "##")
