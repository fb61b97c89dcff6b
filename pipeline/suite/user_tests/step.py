"""The step of the suite that runs a user's own tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.suite.user_tests import running

if TYPE_CHECKING:
    import pytest

    from pipeline.suite.trial_run import TrialRun


def run_user_tests(trial_run: TrialRun, pytestconfig: pytest.Config) -> None:
    """Run them against what the trial started."""
    running.run(trial_run, pytestconfig.getoption("results"))
