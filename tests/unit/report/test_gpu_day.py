"""The summary of a day with a GPU: nothing is passed over, and nobody's words become Markdown."""

from __future__ import annotations

from pipeline.model import GpuDay, Outcome, Part
from pipeline.report import gpu_day
from tests.builders import HOST, IMAGE, check, now


def _part(**changes: object) -> Part:
    part = Part(
        schema=1,
        name="saboteurs",
        cell=IMAGE.cell.id,
        digest=IMAGE.ref.digest.value,
        inputs="0" * 64,
        host=HOST,
        finished=now(),
        seconds=31,
        checks=(check("hidden_gpu", seen="cuda failed"),),
        facts=(("hidden_gpu", "no GPU is given to it"),),
    )
    return part.model_copy(update=changes)


def test_a_saboteur_is_told_with_what_it_is_and_what_noticed_it() -> None:
    text = gpu_day.markdown(GpuDay(HOST, (_part(),)))
    assert "no GPU is given to it; cuda failed" in text


def test_a_failure_stands_in_the_first_line_of_its_part() -> None:
    failed = _part(checks=(check("a"), check("b", Outcome.FAILED)))
    assert "failed, 1/2, 31 s" in gpu_day.markdown(GpuDay(HOST, (failed,)))


def test_what_was_not_done_is_said_with_the_reason() -> None:
    day = GpuDay(HOST, (), (("serving of a cell", "it has no server"),))
    assert "| serving of a cell | it has no server |" in gpu_day.markdown(day)


def test_words_of_an_environment_are_no_markdown() -> None:
    part = _part(checks=(check("a", Outcome.FAILED, seen="x | y\n# z [l](u)"),))
    assert r"x \| y \# z \[l\](u)" in gpu_day.markdown(GpuDay(HOST, (part,)))
