"""The summary of a day with a GPU: nothing is passed over, and nobody's words become Markdown."""

from __future__ import annotations

from pipeline.model import GpuDay, Outcome
from pipeline.report import gpu_day
from tests.builders import HOST, check, part

SABOTEURS = part(
    name="saboteurs",
    seconds=31,
    checks=(check("hidden_gpu", seen="cuda failed"),),
    facts=(("hidden_gpu", "no GPU is given to it"),),
)


def test_a_saboteur_is_told_with_what_it_is_and_what_noticed_it() -> None:
    text = gpu_day.markdown(GpuDay(HOST, (SABOTEURS,)))
    assert "no GPU is given to it; cuda failed" in text


def test_a_failure_stands_in_the_first_line_of_its_part() -> None:
    failed = part(seconds=31, checks=(check("a"), check("b", Outcome.FAILED)))
    assert "failed, 1/2, 31 s" in gpu_day.markdown(GpuDay(HOST, (failed,)))


def test_what_was_not_done_is_said_with_the_reason() -> None:
    day = GpuDay(HOST, (), (("serving of a cell", "it has no server"),))
    assert "| serving of a cell | it has no server |" in gpu_day.markdown(day)


def test_words_of_an_environment_are_no_markdown() -> None:
    strange = part(seconds=31, checks=(check("a", Outcome.FAILED, seen="x | y\n# z [l](u)"),))
    assert r"x \| y \# z \[l\](u)" in gpu_day.markdown(GpuDay(HOST, (strange,)))
