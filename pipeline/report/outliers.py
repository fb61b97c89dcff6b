"""Which cells answer otherwise than the others: the same prompts to the same model have one answer.

No golden answer is asked, so a model of anybody's is compared too. It changes no outcome: of two answers the
rarer one may be right.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.report.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.model import Status

Answers = tuple[str, ...]
"""A digest of the answer to each prompt, as a record has it."""


@dataclass(frozen=True)
class Outlier:
    """Cells that answer these prompts (counted from 1) otherwise than most cells with this model.

    ``agreeing`` are those that answer alike. Where there are none, no answer is that of most, and ``cells``
    are all that were compared.
    """

    model: str
    cells: tuple[str, ...]
    prompts: tuple[int, ...]
    agreeing: tuple[str, ...]

    def __str__(self) -> str:
        """It as a line."""
        named = f"{counted(len(self.prompts), 'prompt')} ({', '.join(map(str, self.prompts))})"
        if self.agreeing:
            return f"{self.cells[0]} answers {named} otherwise than {_listed(self.agreeing)}, which agree"
        return f"{_listed(self.cells)} answer {named} differently, and no answer is that of most"


def outliers(statuses: Iterable[Status]) -> tuple[Outlier, ...]:
    """The cells that stand out, of those whose records have answers; records of before have none."""
    answers: dict[str, dict[str, Answers]] = {}
    for status in statuses:
        if status.record and status.record.answers:
            answers.setdefault(status.record.model, {})[status.cell.id] = status.record.answers
    return tuple(one for model, of_cells in answers.items() for one in _of_model(model, of_cells))


def lines(statuses: Iterable[Status]) -> tuple[str, ...]:
    """Each as a warning, with what it may mean."""
    return tuple(
        f"warning: {one}: a kernel, or a near tie in a model of your own" for one in outliers(statuses)
    )


def _of_model(model: str, of_cells: Mapping[str, Answers]) -> Iterator[Outlier]:
    """Prompts that divide the cells in the same way are told together."""
    found: dict[tuple[Answers, Answers], list[int]] = {}
    for number in range(1, min(map(len, of_cells.values())) + 1):
        for division in _divided({cell: answers[number - 1] for cell, answers in of_cells.items()}):
            found.setdefault(division, []).append(number)
    for (cells, agreeing), prompts in found.items():
        yield Outlier(model, cells, tuple(prompts), agreeing)


def _divided(of_cells: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Each cell that is not with the majority, beside the majority; without one, all of them beside none."""
    (common, count), *others = Counter(of_cells.values()).most_common()
    if not others:
        return
    if 2 * count <= len(of_cells):
        yield tuple(of_cells), ()
        return
    agreeing = tuple(cell for cell, answer in of_cells.items() if answer == common)
    yield from (((cell,), agreeing) for cell, answer in of_cells.items() if answer != common)


def _listed(cells: Sequence[str]) -> str:
    *most, last = cells
    return f"{', '.join(most)} and {last}" if most else last
