"""What is read in wheels and sources: CUDA, architectures and compilers, from a few lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.stages.refresh import compiler_wheel, sdist
from pipeline.stages.refresh.reading import capabilities

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_build_scripts_architectures_are_named_as_nvcc_names_them() -> None:
    assert capabilities("7.5 9.0a 12.0+PTX") == ("sm_75", "sm_90a", "sm_120", "compute_120")
    assert capabilities("7.0;7.5") == ("sm_70", "sm_75")


def test_the_newest_gcc_is_the_one_above_which_the_header_stops() -> None:
    assert compiler_wheel.max_gcc(b"#if defined(__GNUC__)\n#if __GNUC__ > 15\n#error -- no\n") == 15
    assert compiler_wheel.max_gcc(b"#if __GNUC__ < 6\n") is None


PIPELINE = b"""
env:
  CUDA_ARCH_AARCH64: "8.0 11.0"
steps:
  - group: wheels
    steps:
      - label: x86
        agents: {queue: cpu_queue}
        commands:
          - "docker build --build-arg CUDA_VERSION=12.6.3 --build-arg torch_cuda_arch_list='7.0' --target build ."
          - "docker build --build-arg CUDA_VERSION=13.0.2 --target build ."
      - label: arm
        agents: {queue: arm64_queue}
        commands:
          - "docker build --build-arg CUDA_VERSION=13.0.2 --build-arg torch_cuda_arch_list=\\"${CUDA_ARCH_AARCH64}\\" --target build ."
  - commands:
      - "docker build --build-arg CUDA_VERSION=13.0.2 --build-arg torch_cuda_arch_list='1.0' --target image ."
"""  # noqa: E501 - a command is one line
CMAKE = b'set(PYTHON_SUPPORTED_VERSIONS "3.11" "3.12")\nset(CUDA_SUPPORTED_ARCHS "7.0;7.5")\n'
DOCKERFILE = b"ARG torch_cuda_arch_list='7.5 8.0+PTX'\n"
ARCHIVE = (
    (".buildkite/release-pipeline.yaml", PIPELINE),
    ("CMakeLists.txt", CMAKE),
    ("docker/Dockerfile", DOCKERFILE),
)


def test_the_release_pipelines_own_list_counts_for_its_machine_and_cuda() -> None:
    """The recipe's default is not what every wheel was built with."""
    build = sdist.read(ARCHIVE)
    assert build.archs("x86_64", "13.0") == (("sm_75", "sm_80", "compute_80"), "sdist: docker/Dockerfile")
    assert build.archs("x86_64", "12.6")[0] == ("sm_70",)
    assert build.archs("aarch64", "13.0") == (("sm_80", "sm_110"), "sdist: .buildkite/release-pipeline.yaml")
    assert build.archs("aarch64", "12.6") == (None, "")


def test_where_there_is_no_recipe_what_cmake_supports_is_the_most_that_was_built() -> None:
    build = sdist.read(ARCHIVE[1:2])
    assert build.archs("x86_64", "12") == (("sm_70", "sm_75"), "sdist: CMakeLists.txt")
    assert build.pythons == ("3.11", "3.12")


def test_an_archive_is_read_only_as_far_as_it_takes() -> None:
    def endless() -> Iterator[tuple[str, bytes]]:
        yield from ARCHIVE
        raise AssertionError("read on")

    assert sdist.read(endless()).pythons == ("3.11", "3.12")


def test_a_pipeline_that_is_no_yaml_is_an_error_that_names_it() -> None:
    with pytest.raises(ValueError, match=r"release-pipeline\.yaml"):
        sdist.read([(".buildkite/release-pipeline.yaml", b"steps: [")])


def test_aliases_in_a_pipeline_are_read_as_what_they_stand_for() -> None:
    """The real one has some; a few lines of them may also stand for more than there is time for."""
    steps = "base: &base {commands: [x]}\nsteps:\n  - {<<: *base, label: one}\n"
    assert list(sdist.wheels(steps)) == []
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    with pytest.raises(ValueError, match="more than 100000 values"):
        list(sdist.wheels(f"a0: &a0 [x]\n{levels}"))
    with pytest.raises(ValueError, match="an alias of what it is in"):
        list(sdist.wheels("steps: &own [*own]"))
