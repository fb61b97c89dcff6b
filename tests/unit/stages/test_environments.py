"""What an image is that has no lock: which of its Pythons serves, and whether its entrypoint starts vLLM."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from pipeline.adapters.engine import Finished
from pipeline.formats.image_config import ImageConfig
from pipeline.model.errors import ProgramError, UsageError
from pipeline.stages import environments
from pipeline.suite import probes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.adapters.engine import Launch

BARE: dict[str, object] = {
    "executable": "/usr/bin/python3",
    "python": "3.12.3",
    "installed": {},
    "vllm": None,
    "torch": None,
    "cuda": None,
    "contents": [],
    "requires": {},
    "markers": {},
}
TORCH = BARE | {
    "executable": "/opt/conda/bin/python3",
    "installed": {"torch": "2.11.0+cu130"},
    "torch": "2.11.0+cu130",
    "cuda": "13.0",
    "contents": [["torch", "2.11.0+cu130", None]],
}
SERVES = TORCH | {"executable": "/opt/venv/bin/python3", "vllm": "0.26.0", "python": "3.11.9"}


class Pythons:
    """An engine of one image, whose Pythons tell this."""

    def __init__(self, told: Mapping[str, object]) -> None:
        self.told = told
        self.asked: list[str] = []

    def run(self, launch: Launch, *, seconds: float) -> Finished:
        assert seconds
        assert launch.network == "none"
        (python,) = launch.entrypoint or ()
        self.asked.append(python)
        if python not in self.told:
            raise ProgramError(f"no {python}", hint="")
        answer = self.told[python]
        said = answer if isinstance(answer, str) else json.dumps(answer)
        return Finished(0, f"{probes.MARK}{said}\n", "")


def found(
    told: Mapping[str, object], *entrypoint: str, platform: str = "linux/amd64"
) -> environments.Environment:
    config = ImageConfig(entrypoint=entrypoint, platform=platform)
    return environments.of_image(cast("Any", Pythons(told)), "an image", config, "run")


def test_of_several_pythons_the_one_with_vllm_counts() -> None:
    environment = found({"python3": TORCH, "/opt/venv/bin/python3": SERVES}, "/opt/venv/bin/vllm", "serve")
    assert str(environment.python) == "/opt/venv/bin/python3"
    assert environment.cell.id == "vllm0.26.0-torch2.11.0-cu130-py3.11"
    assert environment.expected.pins == (("torch", "2.11.0+cu130"),)


def test_without_vllm_the_one_with_torch_counts() -> None:
    environment = found({"python3": BARE, "python": TORCH})
    assert environment.cell.id == "torch2.11.0-cu130-py3.12"


def test_an_image_without_torch_is_refused_by_how_many_of_its_pythons_answered() -> None:
    with pytest.raises(UsageError, match=r"none of its Pythons has torch \(1 answered\)"):
        found({"python3": BARE})


def test_an_image_for_another_system_is_refused() -> None:
    with pytest.raises(UsageError, match="windows/amd64, which no cell is for"):
        found({"python3": TORCH}, platform="windows/amd64")


@pytest.mark.parametrize("answer", ['{"python": 3}', "[1]", json.dumps(TORCH | {"torch": "a/../b"})])
def test_an_image_that_makes_it_up_is_refused(answer: str) -> None:
    with pytest.raises(UsageError, match="malformed"):
        found({"python3": answer})


@pytest.mark.parametrize(
    ("entrypoint", "starts"),
    [
        (("vllm", "serve"), True),
        (("python3", "-m", "vllm.entrypoints.openai.api_server"), True),
        (("/opt/venv/bin/vllm", "serve"), True),
        (("/bin/sh", "-c", "vllm serve /model"), False),
        (("/entrypoint.sh",), False),
        ((), False),
    ],
)
def test_an_entrypoint_that_hands_its_arguments_to_vllm_is_used_as_it_is(
    entrypoint: tuple[str, ...], starts: bool
) -> None:
    """A shell's own string takes no arguments; what a script does nobody knows."""
    assert environments.starts_vllm(ImageConfig(entrypoint=entrypoint)) is starts


def test_the_entrypoint_of_an_image_that_was_made_from_one_of_ours_is_used_as_it_is() -> None:
    """Its label alone tells nothing: whoever made it may have set another entrypoint."""
    labels = {"tagproof.cell": "vllm0.32.0-torch2.13.0-cpu-py3.11"}
    ours, other = ("/usr/bin/tini", "--", "/usr/local/bin/serve"), ("/usr/local/bin/other",)
    assert environments.starts_vllm(ImageConfig(entrypoint=ours, labels=labels))
    assert not environments.starts_vllm(ImageConfig(entrypoint=ours))
    assert not environments.starts_vllm(ImageConfig(entrypoint=other, labels=labels))


def test_the_python_of_the_entrypoint_is_tried_first() -> None:
    assert environments.pythons_of(("/opt/venv/bin/python3.11", "-m", "x"))[0] == "/opt/venv/bin/python3.11"
    assert environments.pythons_of(("/opt/venv/bin/vllm",))[0] == "/opt/venv/bin/python3"
    assert environments.pythons_of(()) == ("python3", "python")
