"""Which wheel stands for a release, and which releases count."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from packaging.version import Version

from pipeline.stages.refresh.releases import Offer, Project, newest, offers
from tests.unit.stages.refresh.artefacts import listed, torch

if TYPE_CHECKING:
    from pipeline.adapters.package_index import IndexFile


def the_offer(*files: IndexFile, project: Project | None = None, known: tuple[str, ...] = ()) -> Offer:
    """The one release that these files are."""
    (one,) = offers(project or Project("torch"), files, dict.fromkeys(known))
    return one


def test_the_wheel_of_the_oldest_python_stands_for_its_release() -> None:
    """It is the least likely to be joined by an older one later."""
    files = (torch("2.13.0", "cp312-cp312"), torch("2.13.0", "cp310-cp310"), torch("2.13.0", "cp311-cp311"))
    assert the_offer(*files).file.name == files[1].name


def test_a_free_threaded_wheel_neither_stands_for_its_release_nor_counts_as_that_python() -> None:
    found = the_offer(torch("2.13.0", "cp313-cp313t"), torch("2.13.0", "cp314-cp314"))
    assert found.pythons == ("3.14",)
    assert "cp314-cp314-" in found.file.name


def test_of_two_builds_of_a_wheel_the_later_one_counts() -> None:
    files = (listed("vllm-0.20.1-cp38-abi3-manylinux_2_35_x86_64.whl"),
             listed("vllm-0.20.1-1-cp38-abi3-manylinux_2_35_x86_64.whl"))  # fmt: skip
    assert the_offer(*files, project=Project("vllm")).file == files[1]


def test_a_wheel_that_is_known_goes_on_standing_for_its_release() -> None:
    """Else wheels for one more Python would look like another release."""
    older, newer = torch("2.13.0", "cp310-cp310"), torch("2.13.0", "cp311-cp311")
    assert the_offer(older, newer, known=(newer.sha256,)).file == newer


@pytest.mark.parametrize(
    ("platform", "glibc"),
    [
        ("manylinux1_x86_64", "2.5"),
        ("manylinux2014_x86_64", "2.17"),
        ("manylinux_2_28_x86_64", "2.28"),
        ("manylinux2014_x86_64.manylinux_2_17_x86_64", "2.17"),
        ("manylinux_2_27_x86_64.manylinux_2_28_x86_64", "2.27"),
    ],
)
def test_the_tag_says_which_glibc_is_asked_for(platform: str, glibc: str) -> None:
    assert the_offer(torch("2.13.0", "cp310-cp310", platform)).glibc == glibc


@pytest.mark.parametrize("platform", ["win_amd64", "macosx_11_0_arm64", "musllinux_1_2_x86_64"])
def test_what_is_not_for_a_linux_with_glibc_is_no_release_here(platform: str) -> None:
    assert offers(Project("torch"), [torch("2.13.0", "cp310-cp310", platform)], {}) == ()


def test_each_machine_has_a_row_of_its_own() -> None:
    files = [torch("2.13.0", "cp310-cp310"), torch("2.13.0", "cp310-cp310", "manylinux_2_28_aarch64")]
    assert [one.machine for one in offers(Project("torch"), files, {})] == ["x86_64", "aarch64"]


def test_previews_and_releases_before_the_oldest_are_left_out() -> None:
    files = [torch(version, "cp310-cp310") for version in ("1.13.1", "2.0.0", "2.1.0rc1", "2.1.0.dev3")]
    assert [str(one.version) for one in offers(Project("torch", oldest="2.0.0"), files, {})] == ["2.0.0"]


def test_of_a_toolkit_the_newest_of_each_minor_counts_and_what_is_known() -> None:
    """Numbers are compared, not texts; a release that was read is never dropped."""
    names = ("12.8.9", "12.8.61", "12.9.41", "12.9.86")
    files = [listed(f"nvcc-{name}-py3-none-manylinux2014_x86_64.whl") for name in names]
    project = Project("nvcc", toolkit=True)
    assert [str(one.version) for one in offers(project, files, {})] == ["12.8.61", "12.9.86"]
    known = offers(project, files, {files[2].sha256: True})
    assert [str(one.version) for one in known] == ["12.8.61", "12.9.41", "12.9.86"]


def test_a_wheel_of_the_stable_abi_is_for_the_pythons_of_its_torch_within_requires_python() -> None:
    wheel = listed("vllm-0.6.4-cp38-abi3-manylinux1_x86_64.whl", requires_python=">=3.9")
    found = the_offer(wheel, project=Project("vllm"))
    assert found.pythons_within(("3.8", "3.9", "3.13")) == ("3.9", "3.13")


def test_the_newest_release_is_no_preview_and_not_yanked() -> None:
    """Whatever files it has: one without any wheel must be noticed, not passed over."""
    yanked = replace(torch("2.16.0", "cp310-cp310"), yanked=True)
    files = [torch("2.9.0", "cp310-cp310"), listed("torch-2.10.0.tar.gz"), torch("2.17.0rc1", "cp310-cp310")]
    assert newest([*files, yanked]) == Version("2.10.0")


def test_the_day_of_a_release_is_that_of_its_first_file_or_unknown() -> None:
    days = [replace(torch("2.13.0", tag), uploaded=day) for tag, day in
            (("cp310-cp310", "2026-07-09"), ("cp311-cp311", "2026-07-08"))]  # fmt: skip
    assert the_offer(*days).released == "2026-07-08"
    assert the_offer(torch("2.13.0", "cp310-cp310")).released is None
