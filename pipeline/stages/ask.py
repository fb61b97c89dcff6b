"""Ask a server that runs already: every check that can be made over HTTP, and why the others are not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pipeline import suite
from pipeline.model import Cell, Check, DeploymentRecord, Outcome, Result, checks_of
from pipeline.suite.checks.check_deployment import ASKED
from pipeline.suite.expect import Mismatch, NotRun, brief

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.model import Deployment
    from pipeline.suite.deployed import Deployed

_OF_A_SERVER = checks_of(Cell(torch="any", cuda="cu000", python="any", vllm="any"))
"""The checks of a server, which may have a GPU: what is behind an address nobody knows."""
_REASONS = {
    **dict.fromkeys(suite.OF_ENVIRONMENT, "an address shows no environment; try its image or its Python"),
    "device": "an address shows no machine",
}
_OTHER_REASON = "it takes a server of its own: this one has clients"


def ask(server: Deployed, progress: Callable[[str], None]) -> tuple[Check, ...]:
    """Every check of a server in the suite's order: made, or not run with the reason.

    ``progress`` is told the name of each check that ended. Where the server is not healthy, or once was
    silent, nothing more is asked of it.
    """
    return tuple(_asked(server, progress))


def _asked(server: Deployed, progress: Callable[[str], None]) -> Iterator[Check]:
    is_up = True
    for name in _OF_A_SERVER:
        if name not in ASKED:
            yield _not_run(name, _REASONS.get(name, _OTHER_REASON))
        elif not is_up or server.is_silent:
            yield _not_run(name, "the server no longer answers" if is_up else "the server is not up")
        else:
            check = _check(name, server)
            is_up = is_up and (name != "serve" or check.outcome is Outcome.PASSED)
            progress(name)
            yield check


def record(
    says: Deployment, checks: tuple[Check, ...], *, started: str, finished: str, replay: str
) -> DeploymentRecord:
    """What was seen of a deployment, as it is signed."""
    failed = any(check.outcome is Outcome.FAILED for check in checks)
    return DeploymentRecord(
        schema=1,
        url=says.url,
        model=says.model,
        vllm=says.vllm,
        context=says.context,
        digest=says.digest.value,
        started=started,
        finished=finished,
        checks=checks,
        result=Result.FAILED if failed else Result.PASSED,
        replay=replay,
    )


def _check(name: str, server: Deployed) -> Check:
    """What became of one check. Whatever it did not expect of the server's answer is a failure, too."""
    started, outcome, expected, seen = time.monotonic(), Outcome.PASSED, "", ""
    server.facts = {}
    try:
        ASKED[name](server)
    except NotRun as error:
        outcome, seen = Outcome.NOT_RUN, error.reason
    except Mismatch as error:
        outcome, expected, seen = Outcome.FAILED, error.expected, error.actual
    except Exception as error:  # noqa: BLE001 - an answer of a form that nobody foresaw
        outcome, expected, seen = Outcome.FAILED, "no error", brief(f"{type(error).__name__}: {error}")
    seconds = time.monotonic() - started
    return Check(
        name=name, outcome=outcome, seconds=seconds, expected=expected, seen=seen, facts=server.facts
    )


def _not_run(name: str, reason: str) -> Check:
    return Check(name=name, outcome=Outcome.NOT_RUN, seconds=0, seen=reason)
