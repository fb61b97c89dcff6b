"""``doctor``: its page, its JSON, and the exit code of each standing."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from pipeline.cli import main as command_line
from pipeline.model.errors import GOOD, MACHINE, REFUSED, USAGE
from pipeline.model.examinations import Aspect, Examination, Prospect, Standing
from pipeline.runner import doctor
from tests.builders import CPU_CELL, CUDA_CELL

if TYPE_CHECKING:
    from collections.abc import Sequence

YES = Prospect(CPU_CELL, "", None, "")
NO = Prospect(CUDA_CELL, "needs an engine", "needs an engine", "needs an engine", "install one")


def run(
    monkeypatch: pytest.MonkeyPatch,
    *words: str,
    aspects: Sequence[Aspect] = (),
    cells: Sequence[Prospect] = (YES,),
) -> int:
    seen = Examination("Debian, x86_64", tuple(aspects), tuple(cells))
    monkeypatch.setattr(doctor, "examine", lambda *_: seen)
    return command_line.main(["doctor", *words, "--matrix", "none.yaml"])


@pytest.mark.parametrize(
    ("standings", "cells", "code"),
    [
        ((Standing.GOOD, Standing.LIMITED, Standing.ABSENT), (YES, NO), GOOD),
        ((Standing.BROKEN, Standing.UNKNOWN), (YES,), REFUSED),
        ((Standing.UNKNOWN,), (YES,), MACHINE),
        ((Standing.GOOD,), (NO,), REFUSED),
        ((Standing.GOOD,), (), GOOD),
    ],
)
def test_the_exit_code_is_that_of_the_worst(
    standings: Sequence[Standing], cells: Sequence[Prospect], code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    aspects = [Aspect("a", standing, "text") for standing in standings]
    assert run(monkeypatch, aspects=aspects, cells=cells) == code


def test_the_page_has_a_line_for_each_thing_and_its_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, aspects=[Aspect("engine", Standing.BROKEN, "no", "start it")], cells=(YES, NO))
    assert capsys.readouterr().out.splitlines() == [
        "this host: Debian, x86_64",
        "",
        "  broken   engine       no",
        "                        hint: start it",
        "",
        "cell                                 build            rehearse         prove",
        f"{CPU_CELL.id}    yes              -                yes",
        f"{CUDA_CELL.id}  needs an engine  needs an engine  needs an engine",
        "",
        "of 2 cells 1 can be built here (`python -m pipeline build`),",
        "1 proven (`python -m pipeline verify`), 0 rehearsed, as `build` does",
        "install one",
    ]


def test_the_same_for_programs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "--json", aspects=[Aspect("engine", Standing.GOOD, "yes")])
    page = json.loads(capsys.readouterr().out)
    assert page["schema"] == 1
    assert page["aspects"] == [{"name": "engine", "standing": "good", "text": "yes", "hint": ""}]
    assert page["prospects"][0]["cell"]["id"] == CPU_CELL.id


def test_an_environment_without_pytorch_is_at_fault_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert command_line.main(["doctor", "--python", sys.executable]) == REFUSED
    out = capsys.readouterr().out
    assert "there is no CUDA (no-torch, its own fault)" in out
    assert "hint: install it there" in out


@pytest.mark.parametrize(
    "words",
    [("--container", "a:b", "--python", "/x"), ("--repository", "no repository"), ("--python", "/no/python")],
)
def test_what_makes_no_question_is_refused(words: tuple[str, ...]) -> None:
    assert command_line.main(["doctor", *words, "--matrix", "none.yaml"]) == USAGE
