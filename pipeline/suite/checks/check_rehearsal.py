"""The checks of a rehearsal: all that can be found out of an image without the GPU that it needs.

A double of the driver stands in for it. So every extension can be loaded, and PyTorch and vLLM start as on a
machine with a driver, up to the point where they take a device: there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.suite.checks.check_environment import check_versions, expect_installed, expect_loaded
from pipeline.suite.deviceless import other_than_want_of_a_device
from pipeline.suite.expect import Mismatch, expect, expect_that
from pipeline.suite.rehearsing import Rehearsing
from pipeline.suite.trial_run import last_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.model import Trial

_START_SECONDS = 60.0


@pytest.fixture(scope="session")
def trial_run(trial: Trial, server_log: Path) -> Iterator[Rehearsing]:
    """The running rehearsal, in the place of a trial on the device."""
    trial_run = Rehearsing(trial, server_log)
    try:
        trial_run.begin()
        yield trial_run
    finally:
        trial_run.close()


def rehearse_versions(trial_run: Rehearsing) -> None:
    """As in the suite: torch, CUDA, Python and vLLM are those of lock, cell and labels."""
    check_versions(trial_run)


def rehearse_installed(trial_run: Rehearsing) -> None:
    """Exactly the lock is installed, no requirement is broken, and no shared object of a package is gone."""
    expect_installed(trial_run)
    lacking = trial_run.objects["lacking"]
    expect_that("every shared object that the packages brought", not lacking, f"gone: {', '.join(lacking)}")


def rehearse_imports(trial_run: Rehearsing) -> None:
    """Python starts without a word, and every extension loads with all of its symbols resolved at once.

    Of packages other than torch and vLLM an extension may lack a whole library: whether that is one which
    it can do without is the certificate's to know.
    """
    done = trial_run.target.python("", seconds=_START_SECONDS)
    said = " ".join(f"{done.stdout}\n{done.stderr}".split())
    expect_that("Python starts, and says nothing", done.exit_code == 0 and not said, said or done.exit_code)
    for name in trial_run.imported:
        expect_loaded(trial_run, name, {})
    failed = {
        file: error
        for file, error in trial_run.objects["failed"].items()
        if "cannot open shared object file" not in error
    }
    expect_that("all extensions of the environment load", not failed, failed)


def rehearse_architecture(trial_run: Rehearsing) -> None:
    """The registry of vLLM imports the architecture of the tiny model, and knows what it is for."""
    found = trial_run.architecture
    expect(f"{found['architecture']} generates text:", True, found["generates"])


def rehearse_entrypoint(trial_run: Rehearsing) -> None:
    """The image's own entrypoint asks nothing of the network, and ends for want of a device alone."""
    entered, package = trial_run.entered(), "vllm" if trial_run.trial.cell.vllm else "torch"
    asked = [f"the name {name}" for name in entered.names]
    asked += [f"{entered.refused} times for a way out"] if entered.refused else []
    expect_that(
        "an entrypoint that asks nothing of the network", not asked, f"it asked {' and '.join(asked)}"
    )
    wanted = "an entrypoint that ends because there is no GPU"
    if entered.exit_code is None:
        seconds = trial_run.trial.healthy_seconds
        raise Mismatch(wanted, f"no end within {seconds:g} s; its log ends: {last_line(entered.log)}")
    expect_that(wanted, entered.exit_code != 0, "exit code 0")
    against = other_than_want_of_a_device(entered.log, package)
    expect_that(wanted, not against, f"{against}; its log ends: {last_line(entered.log)}")
