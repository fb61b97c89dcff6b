"""Refreshing the facts, its pure parts: what a name, a header or a few kilobytes of a shared object say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.version import Version

from pipeline.adapters.package_index import IndexFile
from pipeline.compat.facts import Artefact, shipped
from pipeline.report import refreshed
from pipeline.stages.refresh import check, compiler_wheel, document, sdist, torch_wheel
from pipeline.stages.refresh.journal import Journal
from pipeline.stages.refresh.reading import Reading, capabilities
from pipeline.stages.refresh.releases import Offer, Project, newest, offers

if TYPE_CHECKING:
    from collections.abc import Iterator

TORCH = Artefact(
    package="torch",
    version="2.13.0",
    machine="x86_64",
    file="torch-2.13.0-cp310-cp310-manylinux_2_28_x86_64.whl",
    sha256="a" * 64,
    size=500_000_000,
    released="2026-07-08",
    yanked=False,
    pythons=("3.10", "3.11"),
    pythons_built=None,
    cuda="13.0",
    archs=("sm_80", "sm_90"),
    glibc="2.28",
    glibc_seen="2.17",
    needs=("libcudart.so.13",),
    pins=('cuda-toolkit==13.0.2; platform_system == "Linux"',),
    read_from=tuple((name, "a member") for name in ("cuda", "archs", "glibc_seen", "needs", "pins")),
)
VLLM = replace(
    TORCH, package="vllm", version="0.32.0", file="vllm.whl", sha256="b" * 64, pins=("torch==2.13.0",)
)


def listed(name: str, **changes: Any) -> IndexFile:
    """A file on a page."""
    file = IndexFile(
        name, f"http://127.0.0.1/{name}", f"{abs(hash(name)):064x}"[-64:], 1, None, "", yanked=False
    )
    return replace(file, **changes)


def torch(version: str, tag: str, platform: str = "manylinux_2_28_x86_64") -> IndexFile:
    """A wheel of torch on a page."""
    return listed(f"torch-{version}-{tag}-{platform}.whl")


def the_offer(*files: IndexFile, project: Project | None = None, known: tuple[str, ...] = ()) -> Offer:
    """The one release that these files are."""
    (one,) = offers(project or Project("torch"), files, dict.fromkeys(known))
    return one


# -- which wheel stands for a release ---------------------------------------------------------------


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


# -- texts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "cuda"),
    [
        ("cuda = '11.7'", "11.7"),
        ("from typing import Optional\ncuda: Optional[str] = '13.2'\nhip: Optional[str] = None", "13.2"),
        ("cuda: Optional[str] = None", None),
        ("print('cuda = 9.9')", None),
    ],
)
def test_the_version_of_cuda_is_read_from_source_that_is_not_run(source: str, cuda: str | None) -> None:
    assert torch_wheel.strings(source.encode()).get("cuda") == cuda


def test_machine_code_and_ptx_are_told_apart_in_nvccs_flags() -> None:
    flags = (
        b'#define NVCC_FLAGS_EXTRA "-gencode;arch=compute_90a,code=sm_90a;-gencode;arch=compute_120,'
        b'code=[sm_120,compute_120];-gencode;arch=compute_120,code=compute_120"\n'
    )
    assert torch_wheel.archs(flags) == ("sm_90a", "sm_120", "compute_120")
    assert torch_wheel.archs(b"#pragma once\n") is None


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


# -- what must hold ---------------------------------------------------------------------------------


def codes(*rows: Artefact) -> list[str]:
    """What is wrong with these rows, by code."""
    return [reason.code for reason in check.sound(rows)]


def test_rows_that_agree_with_themselves_pass() -> None:
    assert codes(TORCH, VLLM) == []


def test_the_facts_that_are_shipped_pass() -> None:
    assert list(check.sound(shipped().artefacts)) == []


@pytest.mark.parametrize("fact", ["cuda", "archs", "glibc_seen", "needs", "pins"])
def test_a_fact_without_a_source_is_refused(fact: str) -> None:
    rest = tuple((name, member) for name, member in TORCH.read_from if name != fact)
    (reason,) = check.sound([replace(TORCH, read_from=rest)])
    assert reason.code == "source"
    assert fact in reason.text


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (replace(TORCH, cuda="12.8"), "METADATA brings CUDA 13.0, its torch/version.py says 12.8"),
        (replace(TORCH, cuda=None), "says None"),
        (replace(TORCH, pins=("nvidia-cuda-runtime-cu12==12.6.77",)), "brings CUDA 12.6"),
        (replace(VLLM, cuda="12.9"), "links the runtime of CUDA 13, its CUDA is 12.9"),
    ],
    ids=["other", "none", "older requirement", "runtime"],
)
def test_a_wheel_that_contradicts_itself_on_cuda_is_refused(row: Artefact, told: str) -> None:
    found = [reason for reason in check.sound([row, TORCH]) if reason.code == "cuda"]
    assert told in found[0].text


def test_a_requirement_for_another_machine_brings_no_cuda_here() -> None:
    """The METADATA of a wheel for aarch64 often tells what x86-64 needs."""
    pin = 'nvidia-cuda-runtime-cu12==12.8.90; platform_machine == "x86_64"'
    arm = replace(TORCH, machine="aarch64", cuda=None, archs=(), needs=(), pins=(pin,))
    assert check.metadata_cuda(arm) is None
    assert codes(arm) == []


def test_a_damaged_wheel_is_not_blamed_for_what_could_not_be_read() -> None:
    told = (("damaged", "the whole file"), ("pins", "METADATA"))
    row = replace(TORCH, cuda=None, archs=None, glibc_seen=None, needs=None, damaged="broken", read_from=told)
    assert codes(row) == []


def test_a_pin_on_a_torch_without_a_row_is_refused() -> None:
    (reason,) = check.sound([TORCH, replace(VLLM, pins=("torch==2.14.0+cpu",))])
    assert reason.code == "torch"
    assert "2.14.0+cpu" in reason.text


def test_more_glibc_than_the_tag_says_is_recorded_and_no_error() -> None:
    assert codes(replace(TORCH, glibc="2.5", glibc_seen="2.29")) == []


def test_a_row_whose_release_vanished_is_told() -> None:
    (reason,) = check.lost([TORCH, VLLM], [("torch", "2.13.0", "x86_64")])
    assert "vllm 0.32.0 x86_64 is in the facts" in reason.text


def test_a_newest_release_without_a_row_is_told() -> None:
    (reason,) = check.absent([TORCH], {"torch": Version("2.14.0")})
    assert "torch 2.14.0 is the newest release on the index and has no row" in reason.text


# -- the file, the journal, the summary -------------------------------------------------------------


def test_rows_stand_one_on_a_line_in_the_order_of_their_versions(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    document.write(
        path, [VLLM, replace(TORCH, version="2.9.0"), replace(TORCH, version="2.10.0")], "2026-11-24"
    )
    rows = path.read_text().splitlines()[1:-1]
    found = [json.loads(row.rstrip(",")) for row in rows]
    assert [(row["package"], row["version"]) for row in found] == [
        ("torch", "2.9.0"), ("torch", "2.10.0"), ("vllm", "0.32.0"),
    ]  # fmt: skip


def test_the_same_rows_leave_the_file_alone_whatever_the_day(tmp_path: Path) -> None:
    path = tmp_path / "facts.json"
    assert document.write(path, [TORCH, VLLM], "2026-11-24")
    before = path.read_bytes()
    assert not document.write(path, [VLLM, TORCH], "2026-12-01")
    assert path.read_bytes() == before


def test_the_file_that_is_shipped_is_as_this_program_writes_it() -> None:
    """Nobody has edited it, and a refresh with nothing new leaves every byte."""
    path = Path(document.__file__).parents[2] / "compat" / "facts.json"
    day = json.loads(path.read_text("utf-8"))["read"]
    assert document.text(document.in_order(document.read(path)), day) == path.read_text("utf-8")


def test_a_reading_survives_the_journal(tmp_path: Path) -> None:
    reading, journal = Reading.of(TORCH), Journal(tmp_path)
    journal.put(TORCH.sha256, reading)
    assert journal.get(TORCH.sha256) == reading
    assert journal.get(VLLM.sha256) is None


def test_a_torn_page_of_the_journal_is_read_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put(TORCH.sha256, Reading.of(TORCH))
    (file,) = tmp_path.rglob("*.json")
    file.write_text(file.read_text()[:50])
    assert journal.get(TORCH.sha256) is None


def test_what_other_code_has_read_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal's key names the code: a reader that was mended must not find its old mistakes."""
    journal = Journal(tmp_path)
    journal.put(TORCH.sha256, Reading.of(TORCH))
    monkeypatch.setattr("pipeline.stages.refresh.journal.readers_digest", lambda: "other")
    assert journal.get(TORCH.sha256) is None


def test_the_summary_says_what_is_new_different_and_decided_otherwise() -> None:
    lying = replace(VLLM, version="0.33.0", glibc="2.5", glibc_seen="2.29")
    told = refreshed.summary(
        [TORCH, VLLM],
        [replace(TORCH, yanked=True), VLLM, lying],
        [("vllm0.33.0-torch2.13.0-cu130-py3.11", "unknown", "ok")],
    )
    text = refreshed.markdown(told)
    assert "## New: vllm\n" in text
    assert "| 0.33.0 | x86_64 | 2026-07-08 | 13.0 | 2.13.0 | 3.10 to 3.11 | 80 90 | 2.5 |" in text
    assert "needs glibc 2.29, whatever its tag says" in text
    assert "- torch 2.13.0 x86_64: yanked False → True" in text
    assert "| vllm0.33.0-torch2.13.0-cu130-py3.11 | unknown | ok |" in text
    assert "vllm 0.32.0" not in text


def test_a_summary_of_nothing_is_one_sentence() -> None:
    assert refreshed.markdown(refreshed.summary([TORCH], [TORCH])) == "The index has nothing new.\n"


def test_the_summary_for_programs_has_a_schema_number() -> None:
    told = refreshed.as_json(refreshed.summary([TORCH], [replace(TORCH, cuda="13.1"), VLLM]))
    assert told["schema"] == 1
    assert [row["package"] for row in told["new"]] == ["vllm"]
    assert told["different"][0]["fields"] == {"cuda": {"before": "13.0", "now": "13.1"}}
    json.dumps(told)


def test_aliases_in_a_pipeline_are_read_as_what_they_stand_for() -> None:
    """The real one has some; a few lines of them may also stand for more than there is time for."""
    steps = "base: &base {commands: [x]}\nsteps:\n  - {<<: *base, label: one}\n"
    assert list(sdist.wheels(steps)) == []
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    with pytest.raises(ValueError, match="more than 100000 values"):
        list(sdist.wheels(f"a0: &a0 [x]\n{levels}"))
    with pytest.raises(ValueError, match="an alias of what it is in"):
        list(sdist.wheels("steps: &own [*own]"))
