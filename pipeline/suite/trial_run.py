"""One running trial: the target, and the probes that run in every environment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.adapters import gpu
from pipeline.suite import probes
from pipeline.suite.expect import Mismatch, Task
from pipeline.suite.targets import target_of

if TYPE_CHECKING:
    from pipeline.model import Trial
    from pipeline.suite.targets.target import Completed, Target

_LAST_OWN_CODE = 128
"""Exit codes above it are those of shells and engines: 128 plus the signal that ended the process."""


class TrialRun:
    """Starts the probes, and returns their results; waits for them when needed."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.gpus = gpu.usages() if trial.cell.needs_gpu else ()
        self.imported = ("torch", "vllm") if trial.cell.vllm else ("torch",)
        self.target = self._target_of(trial)
        self._packages = Task(lambda: self.probe("packages"))
        self._facts = Task(lambda: self.probe("facts", *self.imported))

    def _target_of(self, trial: Trial) -> Target:
        return target_of(trial)

    def packages(self) -> Any:
        """The result of ``probes/packages.py``."""
        return self._packages.result(self.trial.healthy_seconds, "the packages of the environment")

    def facts(self) -> Any:
        """The result of ``probes/facts.py``."""
        what = f"what {' and '.join(self.imported)} say of themselves"
        return self._facts.result(self.trial.healthy_seconds, what)

    def device_uuid(self) -> str | None:
        """The UUID of the GPU that torch computes on, as the driver writes it; None if torch tells none."""
        uuid = self.facts()["torch"].get("uuid")
        return f"GPU-{uuid}" if uuid else None

    def await_facts(self) -> None:
        """Wait until ``probes/facts.py`` has ended, however it ends."""
        self._facts.wait()

    def probe(self, name: str, *args: str, seconds: float | None = None) -> Any:
        """The result of a probe, in the seconds that a server has to be healthy in or in these.

        Raises Mismatch if it has none.
        """
        seconds = seconds or self.trial.healthy_seconds
        done = self.target.python(probes.source(name), *args, seconds=seconds)
        answer = probes.result(done.stdout)
        if answer is None:
            raise Mismatch(f"a result of the {name} probe within {seconds:g} s", end_of(done))
        return answer

    def close(self) -> None:
        """End all that was started."""
        self.target.close()


def end_of(done: Completed) -> str:
    """How a process ended, and its last line: for one that a signal ended, what it was doing just then."""
    if done.exit_code is None or not 0 <= done.exit_code <= _LAST_OWN_CODE:
        how = "no end" if done.exit_code is None else f"ended by a signal, exit code {done.exit_code}"
        return f"{how}: {(done.stderr.strip().splitlines() or ['nothing was written'])[-1].strip()}"
    return f"exit code {done.exit_code}: {last_line(done.stderr)}"


def last_line(text: str) -> str:
    """The last line that mentions an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines or ["nothing was written"])[-1]
