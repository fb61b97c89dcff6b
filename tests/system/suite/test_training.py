"""Training and checkpoints in an environment with PyTorch alone: what is spoiled there is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pipeline.suite.checks import check_pytorch
from pipeline.suite.expect import Mismatch
from pipeline.suite.inference import Inference
from tests.system.suite.trials import trial_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.model import Lock

    Spoiled = Callable[[str], Inference]

pytestmark = pytest.mark.needs("index")

WRONG_GRADIENT = """
import torch
attend = torch.nn.functional.scaled_dot_product_attention
def detached(query, key, value, **more):
    return attend(query, key, value.detach(), **more)
torch.nn.functional.scaled_dot_product_attention = detached
"""
NO_STEP = """
import torch
torch.optim.AdamW.step = lambda self: None
"""
CLIMBS = """
import torch
step = torch.optim.AdamW.step
def climb(self):
    for group in self.param_groups:
        for weight in group["params"]:
            weight.grad.neg_()
    step(self)
torch.optim.AdamW.step = climb
"""
SAVES_HALF = """
import torch
save = torch.save
def half(value, file):
    value["network"] = {name: weight.half() for name, weight in value["network"].items()}
    save(value, file)
torch.save = half
"""
FORGETS_THE_OPTIMIZER = """
import torch
torch.optim.AdamW.load_state_dict = lambda self, state: None
"""


def _ignored(_name: str, _value: str) -> None:
    """A fact that nobody reads."""


@pytest.fixture
def spoiled(pytorch_alone: tuple[Path, Lock], model: str, tmp_path: Path) -> Iterator[Spoiled]:
    """Starts a trial of PyTorch alone, in which this source runs first."""
    python, pins = pytorch_alone
    started: list[Inference] = []

    def start(source: str) -> Inference:
        (tmp_path / "sitecustomize.py").write_text(source)
        env = {"PYTHONPATH": str(tmp_path)}
        trial = trial_of(python, model, cell=pins.cell, env=env, healthy_seconds=120.0)
        started.append(Inference(trial, tmp_path / "server.log"))
        return started[-1]

    yield start
    for one in started:
        one.close()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (WRONG_GRADIENT, "the slope of the loss along"),
        (NO_STEP, "a loss that falls at each of 4 steps"),
        (CLIMBS, "a loss that falls at each of 4 steps"),
    ],
    ids=["forgets a gradient", "takes no step", "climbs"],
)
def test_a_pytorch_that_learns_wrongly_is_found(source: str, words: str, spoiled: Spoiled) -> None:
    """Its answers are right, before and after."""
    with pytest.raises(Mismatch, match=words):
        check_pytorch.check_train(spoiled(source), _ignored)


@pytest.mark.parametrize(
    "source", [SAVES_HALF, FORGETS_THE_OPTIMIZER], ids=["saves half of each number", "forgets the optimizer"]
)
def test_a_checkpoint_that_is_not_what_was_trained_is_found(source: str, spoiled: Spoiled) -> None:
    """What is loaded differs by the bits that were lost."""
    with pytest.raises(Mismatch, match="SHA-256 of weights and optimizer"):
        check_pytorch.check_checkpoint(spoiled(source))
