"""A check that failed carries what its server's log, or what it saw, says of the cause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.model import Check, ImageTarget, Outcome, Trial
from pipeline.model.expectations import Expectations
from pipeline.suite.diagnosing import diagnosed
from tests.builders import CPU_CELL

if TYPE_CHECKING:
    from pathlib import Path

FAILED = "(EngineCore pid=60) ERROR 06-10 12:00:21 [core.py:718] RuntimeError: Could not find nvcc\n"


def check(name: str, outcome: Outcome = Outcome.FAILED, seen: str = "it exited with code 1") -> Check:
    return Check(name=name, outcome=outcome, seconds=1, expected="a server", seen=seen)


def trial(*, rehearses: bool = False) -> Trial:
    return Trial(
        cell=CPU_CELL,
        run="r",
        target=ImageTarget(ref="127.0.0.1:5000/a/b@sha256:" + "a" * 64),
        expected=Expectations(cell=CPU_CELL),
        model="tiny",
        rehearses=rehearses,
    )


def found(checks: tuple[Check, ...], log: Path, *, rehearses: bool = False) -> list[str]:
    return [
        check.diagnosis.id if check.diagnosis else ""
        for check in diagnosed(checks, trial(rehearses=rehearses), log)
    ]


def test_a_failed_check_of_a_server_has_the_cause_that_its_log_names(tmp_path: Path) -> None:
    """One that passed has none, nor one whose machine failed."""
    log = tmp_path / "server.log"
    log.write_text(FAILED)
    checks = (check("versions", Outcome.PASSED), check("serve"), check("chat", Outcome.INCONCLUSIVE))
    assert found(checks, log) == ["", "nvcc-missing", ""]


def test_what_the_check_itself_saw_comes_first(tmp_path: Path) -> None:
    """And a check that asks no server does not look into a server's log."""
    log = tmp_path / "server.log"
    log.write_text(FAILED)
    seen = "ImportError: libcudart.so.12: cannot open shared object file: No such file or directory"
    assert found((check("imports", seen=seen), check("cuda"), check("serve")), log) == [
        "cuda-runtime-missing",
        "",
        "nvcc-missing",
    ]


def test_the_exact_server_has_a_log_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("INFO: all is well\n")
    (tmp_path / "server.float32.log").write_text(FAILED)
    assert found((check("serve"), check("exact")), log) == ["", "nvcc-missing"]


def test_without_a_log_there_is_no_diagnosis(tmp_path: Path) -> None:
    assert found((check("serve"),), tmp_path / "none.log") == [""]


def test_that_a_rehearsal_shows_no_gpu_is_no_cause(tmp_path: Path) -> None:
    """The double of the driver says so, whatever else is wrong."""
    log = tmp_path / "server.log"
    log.write_text("RuntimeError: No CUDA GPUs are available\n")
    assert found((check("entrypoint"),), log, rehearses=True) == [""]
    assert found((check("serve"),), log) == ["no-gpu-found"]


def test_a_check_without_a_diagnosis_is_written_as_before() -> None:
    """So records that were signed before are read and written byte for byte."""
    assert "diagnosis" not in check("serve").model_dump()
