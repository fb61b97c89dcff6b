"""``explain``: what goes together, and why."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import report
from pipeline.cli import options, output
from pipeline.cli.command import Command
from pipeline.model import Conditions, Level, to_json
from pipeline.model.errors import GOOD, MACHINE, REFUSED, UsageError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence

    from pipeline.cli.options import Options
    from pipeline.compat.explain.question import Question
    from pipeline.model import Matrix, Spec

_EXIT_CODES = {Level.IMPOSSIBLE: REFUSED, Level.UNKNOWN: MACHINE}
"""What is impossible is refused; what the facts do not know could not be found out."""

_QUESTIONS = (
    "a cell's id; or torch= cuda= python= vllm= platform= gpu= arch= driver= glibc= gcc= compat=; "
    "or an image, host/path@sha256:…, with gpu= arch= driver="
)

MAX_LIST_BYTES = 16 << 20
"""Bytes of a list of packages that are read."""

_BESIDE = frozenset({"python", "gpu", "arch", "driver", "glibc", "compat"})
"""What may be asked of an environment: the rest is in it."""


def _add_options(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="CELL|IMAGE|KEY=VALUE", help=_QUESTIONS)
    parser.add_argument(
        "--file",
        metavar="LIST",
        help="what a list of packages holds: pip freeze, requirements, a lock, conda list; - is stdin",
    )
    parser.add_argument(
        "--python", type=Path, metavar="PATH", help="what the environment of this interpreter holds"
    )
    options.add_platform(parser)
    options.add_matrix(parser)
    options.add_json(parser)


def _run(given: Options) -> int:
    return _EXIT_CODES.get(_answered(given), GOOD)


def _answered(given: Options) -> Level:
    if given.file and given.python:
        raise UsageError("--file and --python are two environments", hint="ask for one of them")
    if given.file or given.python:
        return _explain_environment(given)
    if not given.words:
        raise UsageError("nothing is asked", hint=f"name a cell, KEY=VALUE, --file or --python: {_QUESTIONS}")
    return _explain_image(given) if "@" in given.words[0] else _explain_cells(given)


def _explain_environment(given: Options) -> Level:
    """Answer from the facts of what is installed, or shall be."""
    from pipeline import compat
    from pipeline.compat.environment import judge_environment
    from pipeline.compat.explain import question
    from pipeline.report import judged
    from pipeline.runner import environments

    if others := [word for word in given.words if word.partition("=")[0] not in _BESIDE]:
        hint = f"what may be asked of it: {', '.join(sorted(_BESIDE))}"
        raise UsageError(f"{others[0]!r} stands beside an environment, which says that itself", hint=hint)
    query = question.parse(given.words, compat.shipped())
    if given.python:
        environment = environments.of_python(given.python)
    else:
        text = _list(given.file)
        environment = environments.of_list(text, given.file, given.platform or query.platform, query.python)
    judgement = judge_environment(environment, query.conditions, compat.shipped())
    if given.json:
        output.print_json({"schema": report.SCHEMA, **to_json(judgement)})
    else:
        output.print_text(judged.text_of(judgement))
    return judgement.level


def _list(file: str) -> str:
    """The text of a list, or of what is piped in. Raises UsageError where it is none."""
    from pipeline.adapters import files

    try:
        if file == "-":
            return sys.stdin.read(MAX_LIST_BYTES)
        return files.read(Path(file), MAX_LIST_BYTES).decode()
    except (OSError, ValueError) as error:
        what = f"the list {file} cannot be read: {error}"
        raise UsageError(what, hint="name a text file, or - for stdin") from error


def _explain_cells(given: Options) -> Level:
    """Answer from the facts; the matrix is looked at where there is one."""
    from pipeline import compat, matrix
    from pipeline.compat import explain
    from pipeline.compat.explain import question
    from pipeline.report import explained

    facts = compat.shipped()
    words = [*given.words, f"platform={given.platform}"] if given.platform else given.words
    loaded = matrix.load(given.matrix) if given.matrix.is_file() else None
    specs = loaded.specs if loaded else ()
    if "=" not in words[0]:
        query = _question_of_cell(words, loaded)
        concerned: tuple[Spec, ...] = ()
    else:
        query = question.parse(words, facts)
        concerned = tuple(spec for spec in specs if spec.cell.needs_gpu and query.admits(spec.cell))
    answer = explain.explain(query, facts)
    verdicts = [(spec.cell, compat.judge(spec.cell, _conditions(query, spec), facts)) for spec in concerned]
    if given.json:
        cells = [
            {"cell": to_json(cell), "level": verdict.level, **to_json(verdict)} for cell, verdict in verdicts
        ]
        output.print_json({"schema": report.SCHEMA, **to_json(answer), "cells": cells})
    else:
        output.print_text(explained.text_of(answer, verdicts))
    return answer.level


def _question_of_cell(words: Sequence[str], loaded: Matrix | None) -> Question:
    """Whether a cell can exist: one of the matrix with what the matrix says of it, or any other."""
    from pipeline import compat, matrix
    from pipeline.compat.explain import question

    text, *more = words
    if more:
        hint = "ask for one cell alone, or by axes: torch=2.13.0 cuda=cu130 platform=linux/arm64"
        raise UsageError(f"{text!r} is no key=value, and {' '.join(more)} stands beside it", hint=hint)
    specs = loaded.specs if loaded else ()
    cell_id = dict(loaded.aliases).get(text, text) if loaded else text
    for spec in specs:
        if spec.cell.id == cell_id:
            return question.of_cell(spec.cell, compat.conditions_of(spec))
    cell = question.cell_of(text)
    if cell is None:
        what, hint = matrix.no_match(text, [spec.cell.id for spec in specs])
        raise UsageError(what, hint=f"{hint}; or ask by axes: torch=2.13.0 cuda=cu130")
    return question.of_cell(cell, Conditions())


def _conditions(query: Question, spec: Spec) -> Conditions:
    """The conditions of a cell: those of the matrix, and those that the query adds."""
    from pipeline import compat

    of_matrix, of_question = compat.conditions_of(spec), query.conditions
    return replace(
        of_matrix,
        gpus=of_question.gpus,
        archs=(*of_matrix.archs, *of_question.archs),
        driver=of_question.driver,
        glibc=of_question.glibc or of_matrix.glibc,
        gcc=of_question.gcc or of_matrix.gcc,
        compat=of_question.compat or of_matrix.compat,
    )


def _explain_image(given: Options) -> Level:
    """Answer from the certificate beside an image: will it run on this GPU, with this driver."""
    from pipeline import compat
    from pipeline.cli import context
    from pipeline.compat.explain import question
    from pipeline.report import certificate as shown
    from pipeline.runner import audits

    image, conditions = options.image(given.words[0]), given.words[1:]
    services = context.services(given)
    if services is None:
        hint = "name the matrix whose signers are trusted: --matrix FILE"
        raise UsageError(f"{given.matrix}: there is no such file", hint=hint)
    certificate = audits.newest_beside(image, services, given.platform)
    if certificate is None:
        hint = f"python -m pipeline certify {image}"
        raise UsageError(f"no certificate beside {image} is signed by a key that is trusted here", hint=hint)
    verdict = audits.answer(certificate, question.parse(conditions, compat.shipped()).conditions)
    if given.json:
        answer = {"schema": report.SCHEMA, "level": verdict.level, **to_json(verdict)}
        output.print_json({**answer, "certificate": to_json(certificate)})
    else:
        output.print_text(f"{shown.answer(verdict)}\n{shown.page(certificate)}")
    return verdict.level


COMMAND = Command(
    "explain",
    summary="say what goes together, and why: for a cell, an image, an environment, or axis=value…",
    description=(
        "Answers from the facts, each with its source: which versions go together, how to install them, "
        "which driver they need, which GPUs they reach; for what is impossible also what is nearest. Of "
        "an image it answers from the certificate that lies beside it. Of an environment, or a list of "
        "packages, it says what in it does not go together, and the smallest change that mends it. Exit "
        "code 1 where it is impossible, 3 where the facts do not know."
    ),
    examples=(
        ("explain vllm0.32.0-torch2.13.0-cpu-py3.11", "a cell, of the matrix or not"),
        ("explain torch=2.13.0 gpu=h200 driver=550.54.14", "what there is for a GPU and its driver"),
        ("explain vllm=0.17.1 transformers=5.3.0", "whether a companion goes with it"),
        ("explain --file requirements.txt", "what in a list of packages does not go together; - is stdin"),
        ("explain --python .venv/bin/python", "the same of an environment that is there"),
        ('explain "$IMAGE" gpu=h200', "whether an image, host/path@sha256:…, runs there"),
    ),
    add_options=_add_options,
    run=_run,
)
