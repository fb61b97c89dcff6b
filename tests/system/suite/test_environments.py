"""The suite on real environments: they pass it whole, and what is spoiled in one is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.model import Expectations, Outcome, Trial
from pipeline.stages import environments
from pipeline.suite.checks import check_environment, check_pytorch
from pipeline.suite.expect import Mismatch
from pipeline.suite.inference import Inference
from pipeline.suite.modes import PROMPTS, try_modes
from pipeline.suite.trial_run import TrialRun
from tests.system.suite.trials import others, prove, trial_of

if TYPE_CHECKING:
    from pipeline.model import Check, Lock

ROOT = Path(__file__).resolve().parents[3]


def _patient(python: Path, pins: Lock, model: str, **changes: Any) -> Trial:
    """A trial against a lock, with the deadlines that images get."""
    seconds = {name: field.default for name, field in Trial.model_fields.items() if "_sec" in name}
    expected = Expectations(
        cell=pins.cell,
        torch=pins.versions["torch"],
        pins=tuple(pins.versions.items()),
        excused=pins.excused,
    )
    return trial_of(python, model, cell=pins.cell, expected=expected, **(seconds | changes))


def _not_passed(checks: dict[str, Check]) -> set[str]:
    """Those that speak against the environment."""
    good = {Outcome.PASSED, Outcome.NOT_RUN}
    return {name for name, check in checks.items() if check.outcome not in good}


NOT_ASKED = ("cache", "shutdown", "compilers", "quantized", "lora", "embed", "multimodal", "long_context")
"""What the end-to-end tests ask of an image with a newer vLLM: a third server, and its modes."""


@pytest.mark.needs("index")
def test_a_real_environment_passes_what_its_servers_are_asked(
    locked: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Real inference through vLLM's own server, against the lock that the environment was made from.

    Nothing is compiled, which takes long: an image with this vLLM does.
    """
    left_out = dict.fromkeys(NOT_ASKED, "asked of an image")
    checks = prove(_patient(*locked, model, serve=("--enforce-eager",), left_out=left_out), tmp_path)
    assert _not_passed(checks) == set()
    assert {name for name, check in checks.items() if check.outcome is Outcome.PASSED} >= {
        *("drain", "exact", "preemption", "overload", "exposure", "tools"),
    }
    assert (checks["serve"].facts["dtype"], checks["serve"].facts["cuda-graphs"]) == ("bfloat16", "NONE")
    assert checks["correct"].facts["tokens-compared"] == checks["exact"].facts["tokens-compared"]
    coarse, exact = (float(checks[name].facts["logprob-deviation"]) for name in ("correct", "exact"))
    assert exact < 0.001 < coarse


@pytest.mark.needs("index")
def test_an_environment_that_cannot_compile_fails_in_that_mode_alone(
    locked: tuple[Path, Lock], model: str
) -> None:
    """Its server may well be healthy: nothing else of these modes asks for a compiler."""
    trial_run = TrialRun(_patient(*locked, model, env={"CXX": "/no/compiler"}))
    try:
        modes = try_modes(trial_run, {"compilers", "embed"})
        assert modes.vectors("embed", PROMPTS)
        with pytest.raises(Mismatch, match="/no/compiler"):
            modes.made("compilers")
    finally:
        trial_run.close()


@pytest.mark.needs("index")
@pytest.mark.parametrize("kind", ["locked", "pytorch_alone"])
def test_an_environment_is_known_by_what_is_installed_in_it(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """Without a lock its own metadata says which cell it amounts to."""
    python, pins = request.getfixturevalue(kind)
    found = environments.of_python(python)
    assert found.cell == pins.cell
    assert dict(found.expected.pins or ()) == pins.versions
    assert environments.of_python(python).subject == found.subject


# -- PyTorch alone ----------------------------------------------------------------------------------


@pytest.mark.needs("index")
@pytest.mark.parametrize(
    ("elsewhere", "cause"),
    [
        (None, r"cpu-build: torch 2\.13\.0\+cpu is a CPU build: torch\.version\.cuda is None"),
        ("torch-2.5.1", r"mixed-installation: .*torch 2\.13\.0\+cpu in .*torch 2\.5\.1 in .* by conda"),
    ],
)
def test_a_build_for_the_cpu_in_a_cell_for_cuda_is_named_as_the_cause(
    elsewhere: str | None, cause: str, pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Alone, and where another installation of torch is found beside it."""
    python, pins = pytorch_alone
    if elsewhere:
        info = tmp_path / f"{elsewhere}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.5.1\n")
        (info / "INSTALLER").write_text("conda\n")
    trial = _patient(python, pins, model, env={"PYTHONPATH": str(tmp_path)})
    trial_run = TrialRun(trial.model_copy(update={"cell": replace(pins.cell, cuda="cu130")}))
    try:
        with pytest.raises(Mismatch, match=cause):
            check_environment.check_cuda(trial_run)
    finally:
        trial_run.close()


def _blank_the_last_rows(model: str) -> None:
    """Of the last tensor in the file the end becomes zero."""
    weights = Path(model) / "model.safetensors"
    body = bytearray(weights.read_bytes())
    body[-4096:] = bytes(4096)
    weights.write_bytes(body)


@pytest.mark.needs("index")
def test_other_weights_than_the_golden_answers_were_made_with_are_found(
    pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Answers that agree with each other are still wrong."""
    _blank_the_last_rows(model)
    asked = others(pytorch_alone[1].cell, "correct", "batch", "exact")
    checks = prove(_patient(*pytorch_alone, model, left_out=asked), tmp_path)
    assert _not_passed(checks) == {"correct", "exact"}
    assert "golden" in checks["correct"].expected


@pytest.mark.needs("index")
def test_transformers_generates_what_the_weights_say(
    locked: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Beside PyTorch alone it is asked; with other weights its answers are not the golden ones."""
    python, pins = locked
    trial = _patient(python, pins, model)
    trial_run = Inference(
        trial.model_copy(update={"cell": replace(pins.cell, vllm=None)}), tmp_path / "server.log"
    )
    try:
        check_pytorch.check_generate(trial_run)
        _blank_the_last_rows(model)
        with pytest.raises(Mismatch, match="prompt 1 by generate, golden"):
            check_pytorch.check_generate(trial_run)
    finally:
        trial_run.close()


MIXES_ROWS = """
import torch
attend = torch.nn.functional.scaled_dot_product_attention
def mixed(query, key, value, **more):
    return attend(query, key, value.roll(1, 0), **more)
torch.nn.functional.scaled_dot_product_attention = mixed
"""
COARSE = """
import torch
linear = torch.nn.functional.linear
def coarse(left, *others):
    return linear(left.bfloat16(), *(other.bfloat16() for other in others)).to(left.dtype)
torch.nn.functional.linear = coarse
"""
COMPILES_NOTHING = """
import torch
torch.compile = lambda function, **_: function
"""


@pytest.mark.needs("index")
@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (MIXES_ROWS, {"batch": "beside others", "train": "the loss"}),
        (COMPILES_NOTHING, {"compile": "code made by a compiler"}),
        (COARSE, {"exact": "log-probabilities", "train": "the slope of the loss along"}),
    ],
    ids=["mixes up what it answers together", "compiles nothing", "calculates float32 as bfloat16"],
)
def test_a_pytorch_that_misbehaves_is_found(
    behaviour: str, expected: dict[str, str], pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path
) -> None:
    """Each prompt alone is answered rightly, so ``correct`` passes; other checks are not asked."""
    python, pins = pytorch_alone
    asked = others(pins.cell, "correct", *expected)
    (tmp_path / "sitecustomize.py").write_text(behaviour)
    saboteur = tmp_path / "python"
    saboteur.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {python} "$@"\n')
    saboteur.chmod(0o755)
    checks = prove(_patient(saboteur, pins, model, left_out=asked), tmp_path)
    assert checks["correct"].outcome is Outcome.PASSED
    assert _not_passed(checks) == set(expected)
    assert all(words in checks[name].expected for name, words in expected.items())


@pytest.mark.needs("index")
def test_a_compiler_that_fails_is_found(pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path) -> None:
    """What runs without one still passes."""
    asked = others(pytorch_alone[1].cell, "correct", "compile")
    trial = _patient(*pytorch_alone, model, env={"CXX": "/bin/false"}, left_out=asked)
    checks = prove(trial, tmp_path)
    assert (checks["correct"].outcome, _not_passed(checks)) == (Outcome.PASSED, {"compile"})
    assert "InvalidCxxCompiler" in checks["compile"].seen
