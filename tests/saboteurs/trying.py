"""What becomes of a saboteur: who catches it, and in which words. The parts are the pipeline's own."""

from __future__ import annotations

import json
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import matrix
from pipeline.adapters import paths
from pipeline.model import ImageTarget, Outcome, Trial, checks_of
from pipeline.model.speeds import slower, speeds_of
from pipeline.runner.expectations import expectations_of
from pipeline.stages import lock, verify
from pipeline.suite import tiny_model
from tests.saboteurs.proofs import LESS, ROOT, copy_of_the_project, run
from tests.saboteurs.saboteur import Caught, make

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from pipeline.model import Check
    from tests.saboteurs.proofs import Forgery
    from tests.saboteurs.saboteur import Saboteur

CELL = "vllm0.32.0-torch2.13.0-cpu-py3.11"
REPOSITORY = "127.0.0.1:5000/saboteurs/vllm"
EAGER = ("--enforce-eager",)
"""A saboteur's server compiles nothing: that takes longest, and is not what is broken."""
SLOWER, MORE_BYTES = 1.5, 2_000_000_000
"""How much slower, and how much larger than the healthy image, an image is refused for."""
_UNITS = {"MB": 10**6, "GB": 10**9}
_IN_ENGINE = "saboteur:made"


class Healthy:
    """The good image that all saboteurs are made from, in a repository of its own."""

    def __init__(self, repository: str) -> None:
        self._repository = repository
        self._spec = next(spec for spec in matrix.load(ROOT / "matrix.yaml").specs if spec.cell.id == CELL)
        self._model = paths.models() / "tiny"
        tiny_model.write(self._model)

    @cached_property
    def image(self) -> str:
        """Its reference; it is built if it is not there."""
        self._pipeline("build", CELL, expected=(0, 1))
        status = json.loads(self._pipeline("plan", CELL, "--json", expected=(0, 1)).stdout)
        return str(status["cells"][0]["image"]["ref"])

    def release(self) -> None:
        """Remove it from the engine, if it was ever asked for: the registry has it."""
        if "image" in self.__dict__:
            removed(self.image)

    @cached_property
    def measured(self) -> Mapping[str, Check]:
        """Its speed and its memory, under the conditions of a saboteur's."""
        trial = self._trial(self.image, {"speed", "memory"}, EAGER)
        return {check.name: check for check in self._asked(trial, "measured")}

    def proven(self) -> Caught:
        """Ask it, as it is shipped, all that is asked of such a cell. Nobody should refuse it."""
        checks = self._asked(self._trial(self.image, checks_of(self._spec.cell), ()), "healthy")
        caught = refusal(checks)
        passed = sum(check.outcome is Outcome.PASSED for check in checks)
        return caught if caught.by else Caught("", f"{passed} of {len(checks)} checks passed")

    def certified(self, saboteur: Saboteur) -> Caught:
        """What a certificate finds in the saboteur's files."""
        make(saboteur.layer, self.image, _IN_ENGINE)
        try:
            done = self._pipeline("certify", f"engine:{_IN_ENGINE}", "--json", expected=(0, 1))
        finally:
            removed(_IN_ENGINE)
        errors = [one for one in json.loads(done.stdout)["findings"] if one["severity"] == "error"]
        own = [one for one in errors if one["rule"] == saboteur.caught_by] or errors
        return Caught(own[0]["rule"], f"{own[0]['path']}: {own[0]['what']}") if own else Caught("", "")

    def served(self, saboteur: Saboteur) -> Caught:
        """What the suite finds when it is run: whether it is healthy, and the check that is meant."""
        compared = self.measured if saboteur.caught_by in {"speed", "memory"} else {}
        trial = self._trial(
            make(saboteur.layer, self.image, _IN_ENGINE),
            {"serve", saboteur.caught_by},
            EAGER,
            resident_bytes=bound_of(compared) if saboteur.caught_by == "memory" else None,
            healthy_seconds=saboteur.healthy_seconds,
            answer_seconds=saboteur.answer_seconds,
        )
        try:
            return refusal(self._asked(trial, saboteur.name), compared)
        finally:
            removed(_IN_ENGINE)

    def claimed(self, forgery: Forgery) -> Caught:
        """What is said of a proof that was not made: by who would make it, or by who would publish it."""
        with tempfile.TemporaryDirectory() as temporary:
            copy = copy_of_the_project(Path(temporary), checks_of(self._spec.cell))
            forgery.changes(copy)
            # What is tried as any image leaves no record that would be held against the healthy one.
            signed = (CELL, "--fresh", "--repository", self._repository)
            named = signed if forgery.caught_by == "publish" else ("--image", self.image)
            made = run(copy, "verify", *named, "--matrix", LESS)
        if made.returncode:
            return Caught("verify", made.stderr)
        published = run(ROOT, "publish", CELL, "--repository", self._repository)
        return Caught("publish" if published.returncode else "", published.stderr)

    def _trial(self, image: str, checks: Collection[str], serve: tuple[str, ...], **more: object) -> Trial:
        pins = lock.read(self._spec, ROOT / "locks")
        assert pins, f"no lock of {CELL}"
        others = [name for name in checks_of(self._spec.cell) if name not in checks]
        trial = Trial(
            cell=self._spec.cell,
            run="saboteurs",
            target=ImageTarget(ref=image),
            expected=expectations_of(self._spec, pins),
            model=str(self._model),
            serve=serve,
            left_out=dict.fromkeys(others, "this saboteur is not theirs"),
        )
        return trial.model_copy(update=more)

    def _asked(self, trial: Trial, name: str) -> tuple[Check, ...]:
        """Every check of a trial; the server's logs are kept."""
        log = ROOT / ".state" / "saboteurs" / f"{name}.log"
        return verify.prove(trial, progress=lambda _: None, log=log)[0]

    def _pipeline(self, *words: str, expected: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
        """One command of the project, and what it printed."""
        done = run(ROOT, *words, *(() if words[0] == "certify" else ("--repository", self._repository)))
        assert done.returncode in expected, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done


def refusal(checks: Sequence[Check], compared: Mapping[str, Check] | None = None) -> Caught:
    """The first check that did not pass, and its words. Slowness is judged as the gate judges it."""
    for check in checks:
        if check.outcome not in {Outcome.PASSED, Outcome.NOT_RUN}:
            return Caught(check.name, f"expected {check.expected}; saw {check.seen}")
    for check in checks:
        before = speeds_of(compared[check.name].facts) if compared and check.name in compared else {}
        for name, now in speeds_of(check.facts).items():
            if name in before and (times := slower(name, now, before[name])) > SLOWER:
                return Caught(check.name, f"{name}: {times:.1f} times slower than the healthy image")
    return Caught("", "; ".join(f"{check.name} {check.outcome} {check.seen}" for check in checks))


def bound_of(measured: Mapping[str, Check]) -> int:
    """How many bytes a server may hold, by what a healthy one held at the end."""
    number, unit = measured["memory"].facts["memory-end"].split()
    return int(float(number) * _UNITS[unit]) + MORE_BYTES


def removed(image: str) -> None:
    """Remove an image from the engine's store."""
    subprocess.run(["docker", "image", "rm", "--force", image], capture_output=True, check=True)
