"""``explain`` of an environment: a list of packages, one through a pipe, or an interpreter."""

from __future__ import annotations

import io
import json
import sys
from typing import TYPE_CHECKING

import pytest

from pipeline.cli.main import main
from pipeline.model.errors import GOOD, MACHINE, REFUSED, USAGE

if TYPE_CHECKING:
    from pathlib import Path

BROKEN = "vllm==0.17.1\ntorch==2.10.0+cu129\ntransformers==5.3.0\nrequests==2.32.0\n"


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["explain", *words])
    return code, capsys.readouterr().out


def test_a_list_is_judged_with_what_mends_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text(BROKEN)
    code, page = explained(capsys, "--file", str(file))
    assert code == REFUSED
    assert "transformers 5.3.0 → 4.57.6\n  $ pip install transformers==4.57.6\n" in page
    assert "vllm-0.17.1-cp38-abi3-manylinux_2_31_x86_64.whl: METADATA" in page
    assert "not looked at: 1 package of which the facts know nothing" in page


def test_a_list_comes_through_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("torch==2.11.0\ntorchvision==0.26.0\n"))
    code, page = explained(capsys, "--file", "-")
    assert (code, page.splitlines()[0]) == (GOOD, "- (requirements): goes together")


def test_a_program_gets_all_of_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "freeze.txt"
    file.write_text(BROKEN)
    code, page = explained(capsys, "--file", str(file), "--json")
    answer = json.loads(page)
    assert (code, answer["level"]) == (REFUSED, "impossible")
    assert answer["changes"] == [{"name": "transformers", "before": "5.3.0", "after": "4.57.6", "index": ""}]
    assert answer["commands"] == ["pip install transformers==4.57.6"]
    assert isinstance(answer["schema"], int)


def test_an_environment_may_be_asked_for_a_gpu_and_a_driver(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "freeze.txt"
    file.write_text("torch==2.11.0\nvllm==0.26.0\n")
    assert explained(capsys, "--file", str(file), "gpu=h100", "driver=580.95.05")[0] == GOOD
    assert explained(capsys, "--file", str(file), "driver=570.133.20")[0] == REFUSED


def test_this_interpreter_says_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    """It holds no PyTorch, and of what it holds nobody says that it goes together with one."""
    code, page = explained(capsys, "--python", sys.executable)
    assert code in {GOOD, MACHINE}
    assert "numpy" in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing is asked"),
        (("--file", "-", "--python", sys.executable), "two environments"),
        (("--file", "{folder}/none.txt"), "cannot be read"),
        (("--file", "{folder}/empty.txt"), "names no package"),
        (("--file", "{folder}/empty.txt", "torch=2.9.0"), "which says that itself"),
        (("--python", "{folder}/none"), "does not tell which packages it has"),
    ],
)
def test_what_cannot_be_read_is_an_error_of_usage(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "empty.txt").write_text("# nothing\n")
    code = main(["explain", *(word.format(folder=tmp_path) for word in words)])
    assert code == USAGE
    assert message in capsys.readouterr().err
