"""``lock``: one wheel, by hash, for every dependency of a cell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.formats.units import size
from pipeline.model import Reason, ReasonCode, State, Status, to_json
from pipeline.model.errors import GOOD, MACHINE, TagproofError, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Iterator

    from pipeline.cli.options import Options
    from pipeline.model import Cooled, Lock, Spec
    from pipeline.runner.running import Runner


def _add_options(parser: ArgumentParser) -> None:
    options.add_cells(parser)
    options.add_matrix(parser)
    options.add_find_links(parser)
    options.add_repository(parser, is_shown=False)  # one call of nox hands the same words to every stage
    options.add_json(parser)


def _run(given: Options) -> int:
    from pipeline.cli import context

    with context.opened(given) as runner:
        specs = context.selected(runner, given)
        pinned = runner.pin_model(specs)
        locks = [(spec, _lock_or_reason(runner, spec)) for spec in specs]
    failures = [_inconclusive(spec, made) for spec, made in locks if isinstance(made, Reason)]
    output.narrate_failures(failures, output.is_inconclusive)
    if given.json:
        cells = [_row(spec, made) for spec, made in locks]
        output.print_json({"schema": report.SCHEMA, "cells": cells, "model": pinned and pinned.digest})
    else:
        model = f"{pinned.name}: {len(pinned.hashes)} files, {pinned.digest}\n" if pinned else ""
        output.print_text("".join(_line(spec, made) for spec, made in locks) + model)
    return MACHINE if failures else GOOD


def _lock_or_reason(runner: Runner, spec: Spec) -> Lock | Reason:
    """The cell's new lock, or why there is none; the other cells go on. Raises UsageError."""
    try:
        return runner.lock(spec)
    except UsageError:
        raise
    except TagproofError as error:
        return Reason(ReasonCode.MACHINE, error.what, error.hint)


def _inconclusive(spec: Spec, reason: Reason) -> Status:
    again = f"{output.MODULE} lock {spec.cell.id}"
    return Status(spec.cell, State.INCONCLUSIVE, reasons=(reason,), again=again)


def _line(spec: Spec, made: Lock | Reason) -> str:
    if isinstance(made, Reason):
        return f"{spec.cell.id}: no lock\n"
    wheels = "1 wheel" if len(made.pins) == 1 else f"{len(made.pins)} wheels"
    return f"{spec.cell.id}: {wheels}, {size(made.size)}\n" + "".join(_of_cooldown(made.cooled))


def _of_cooldown(cooled: Cooled | None) -> Iterator[str]:
    """A line for each package that it let through, and for each exception that the lock can do without."""
    if cooled:
        yield f"  uploaded before {cooled.before}, UTC\n"
        yield from (f"  but for {rule.text}: {rule.reason}\n" for rule in cooled.young)
        yield from (f"  without a day: {rule.text}: {rule.reason}\n" for rule in cooled.undated)
        yield from (f"  not needed: the exception of {name} under `lock:`\n" for name in cooled.unneeded)


def _row(spec: Spec, made: Lock | Reason) -> dict[str, Any]:
    cell = {"cell": to_json(spec.cell)}
    if isinstance(made, Reason):
        return {**cell, "lock": None, "wheels": 0, "bytes": 0, "cooldown": None, "reasons": [to_json(made)]}
    counts = {"wheels": len(made.pins), "bytes": made.size}
    return {**cell, "lock": made.digest, **counts, "cooldown": to_json(made.cooled), "reasons": []}


COMMAND = Command(
    "lock",
    summary="resolve every dependency of a cell to one wheel, by hash",
    description=(
        "Asks the index which wheels fit together, and writes locks/CELL.txt: one version and one hash "
        "for each package. Review that file like code. A cell that has a lock gets a new one. The files of "
        "the model that `verify: model:` names are pinned too, in locks/model.sha256. Exit code "
        "3 where a cell could not be locked; the others are."
    ),
    examples=(
        ("lock", "every cell of matrix.yaml"),
        ("lock vllm0.32.0-torch2.13.0-cpu-py3.11", "one cell"),
        ("lock '*-cpu-*' --find-links wheels", "the CPU cells, from wheels of your own first"),
    ),
    add_options=_add_options,
    run=_run,
)
