"""One trial under way: the target, and the probes that every environment gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.suite import probes
from pipeline.suite.expect import Mismatch, Task
from pipeline.suite.target import Target, target_of

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.model import Trial
    from pipeline.suite.target import Completed

_LAST_OWN_CODE = 128
"""Exit codes above it are a shell's and an engine's: 128 and the signal that ended the process."""


class Stage:
    """Starts the probes, and hands out what they found, waiting where it must."""

    def __init__(self, trial: Trial, log: Path) -> None:
        self.trial = trial
        self.imported = ("torch", "vllm") if trial.cell.vllm else ("torch",)
        self.target: Target = target_of(trial, log)
        self._packages = Task(lambda: self.probe("packages"))
        self._facts = Task(lambda: self.probe("facts", *self.imported))

    def packages(self) -> Any:
        """What ``probes/packages.py`` found."""
        return self._packages.result(self.trial.healthy_seconds, "the packages of the environment")

    def facts(self) -> Any:
        """What ``probes/facts.py`` found."""
        told = f"what {' and '.join(self.imported)} say of themselves"
        return self._facts.result(self.trial.healthy_seconds, told)

    def await_facts(self) -> None:
        """Wait until ``probes/facts.py`` has come to an end, whatever that is."""
        self._facts.wait()

    def probe(self, name: str, *args: str) -> Any:
        """What a probe found. Raises Mismatch where it came to no result."""
        seconds = self.trial.healthy_seconds
        done = self.target.python(probes.source(name), *args, seconds=seconds)
        found = probes.result(done.stdout)
        if found is None:
            raise Mismatch(f"a result of the {name} probe within {seconds:g} s", _end_of(done))
        return found

    def close(self) -> None:
        """End all that was started."""
        self.target.close()


def _end_of(done: Completed) -> str:
    """How a process ended, and its last words: of one that a signal ended, what it was doing just then."""
    if done.exit_code is None or not 0 <= done.exit_code <= _LAST_OWN_CODE:
        how = "no end" if done.exit_code is None else f"ended by a signal, exit code {done.exit_code}"
        return f"{how}: {(done.stderr.strip().splitlines() or ['nothing was written'])[-1].strip()}"
    return f"exit code {done.exit_code}: {last_line(done.stderr)}"


def last_line(text: str) -> str:
    """The last line that says something of an error, else the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "Error" in line]
    return (errors or lines or ["nothing was written"])[-1]
