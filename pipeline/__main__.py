"""The command line: ``python -m pipeline COMMAND``. It parses, calls flow, and prints.

stdout is data, stderr is narration. Exit codes: 0 good; 1 a check failed or the gate refused;
2 the matrix or the usage is wrong; 3 the machine, the network or a tool failed; 130 interrupted.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pipeline import compat, matrix, report
from pipeline.adapters import environ, files
from pipeline.compat.facts import FACTS
from pipeline.model import Conditions, ImageRef, Level, State, shown_json, shown_lines, to_json
from pipeline.model.errors import GOOD, INTERRUPTED, MACHINE, REFUSED, TagproofError, UsageError
from pipeline.report import planned
from pipeline.report.progress import ProgressReporter
from pipeline.stages import plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import FrameType

    from pipeline.compat.question import Question
    from pipeline.model import Matrix, Spec, Status
    from pipeline.runner import Runner, Services, Settings


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    _on_interruption(_interrupt)
    key_pem = environ.take(environ.KEY)  # before anything starts that it does not concern
    options = _parser().parse_args(arguments, argparse.Namespace(key_pem=key_pem))
    try:
        return _run(options)
    except BrokenPipeError:
        return _unheard()


def _run(options: argparse.Namespace) -> int:
    """One command, and what kept it from its work; its exit code."""
    try:
        code: int = options.run(options)
        sys.stdout.flush()  # that nobody hears us is found out here, not when all is over
    except TagproofError as stop:
        _say(f"error: {stop}")
        return stop.exit_code
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        _say(f"error: {error}\nhint: free some room, or make that place writable")
        return MACHINE
    except KeyboardInterrupt:
        print("interrupted: what was started is ended, nothing was left half done", file=sys.stderr)
        return INTERRUPTED
    return code


def _unheard() -> int:
    """Whoever read our words is gone (`… | head`): no verdict arrived, and nobody is there for more words."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    return MACHINE


_OF_THE_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
"""What the system answers where a disk is full, or a place is not ours to write to."""


def _on_interruption(act: Callable[[int, FrameType | None], None]) -> None:
    signal.signal(signal.SIGINT, act)
    signal.signal(signal.SIGTERM, act)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    """Stop the work. What was started is then ended in peace: a second Ctrl-C must not disturb it."""
    _on_interruption(_say_patience)
    raise KeyboardInterrupt


def _say_patience(_signal: int, _frame: FrameType | None) -> None:
    os.write(2, b"ending what was started; this takes some seconds\n")


# -- commands ---------------------------------------------------------------------------------------


def _plan(options: argparse.Namespace) -> int:
    with _flow(options) as flow:
        specs, pruned = matrix.survey(flow.matrix, options.select)
        statuses = flow.each(specs, flow.status)
    if options.github:
        print(json.dumps(plan.github(statuses)))
    elif options.json:
        _write(shown_json(report.as_json((*statuses, *map(plan.left_out, pruned)))))
    else:
        _write(shown_lines(planned.text_of(statuses, pruned)))
    return _seen(statuses, options)


def _certify(options: argparse.Namespace) -> int:
    """Judge the files of any image; the matrix is looked at where there is one."""
    from pipeline.report import certificate as told  # noqa: PLC0415
    from pipeline.report.sarif import sarif  # noqa: PLC0415
    from pipeline.runner import audits  # noqa: PLC0415 - only this command needs it

    if bool(options.reference) is bool(options.root):
        raise UsageError("certify takes one image, or --root DIR", hint="python -m pipeline certify --help")
    if options.root:
        found = audits.of_folder(options.root)
    else:
        found = audits.of_image(options.reference, _machine(options))
    if options.sarif:
        files.write(options.sarif, sarif(found).encode())
    form = told.as_json if options.json else told.markdown if options.markdown else told.page
    _write(shown_json(form(found)) if options.json else shown_lines(form(found)))
    return GOOD if found.passed else REFUSED


def _machine(options: argparse.Namespace) -> Services | None:
    """What there is to work with, where there is a matrix."""
    from pipeline.runner import Services  # noqa: PLC0415

    if not options.matrix.is_file():
        return None
    return Services(_settings(options, matrix.load(options.matrix, options.repository)))


def _explain_image(options: argparse.Namespace) -> int:
    """Answer from the certificate beside an image: will it run on this GPU, with this driver."""
    from pipeline.compat import question  # noqa: PLC0415
    from pipeline.report import certificate as told  # noqa: PLC0415
    from pipeline.runner import audits  # noqa: PLC0415

    text, *words = options.words
    machine = _machine(options)
    if machine is None:
        hint = "name the matrix whose signers are trusted: --matrix FILE"
        raise UsageError(f"{options.matrix}: there is no such file", hint=hint)
    found = audits.beside(_image(text), machine)
    if found is None:
        hint = f"python -m pipeline certify {text}"
        raise UsageError(f"no certificate beside {text} is signed by a key that is trusted here", hint=hint)
    verdict = audits.answer(found, question.parse(words, compat.shipped()).conditions)
    if options.json:
        answer = {"schema": report.SCHEMA, "level": verdict.level, **to_json(verdict)}
        _write(shown_json(json.dumps({**answer, "certificate": to_json(found)}, indent=2) + "\n"))
    else:
        _write(shown_lines(f"{told.answer(verdict)}\n{told.page(found)}"))
    return _EXPLAINED.get(verdict.level, GOOD)


def _image(text: str) -> ImageRef:
    try:
        return ImageRef.parse(text)
    except ValueError as error:
        raise UsageError(str(error), hint="write host/path@sha256:…") from error


def _explain(options: argparse.Namespace) -> int:
    """Answer from the facts; the matrix is looked at where there is one."""
    if "@" in options.words[0]:
        return _explain_image(options)
    from pipeline.compat import explain, question  # noqa: PLC0415 - only this command asks
    from pipeline.report import explained  # noqa: PLC0415

    facts, words = compat.shipped(), options.words
    specs = matrix.load(options.matrix, options.repository).specs if options.matrix.is_file() else ()
    if len(words) == 1 and "=" not in words[0]:
        asked = _question_of_cell(words[0], specs)
        shown: tuple[Spec, ...] = ()
    else:
        asked = question.parse(words, facts)
        shown = tuple(spec for spec in specs if spec.cell.needs_gpu and asked.admits(spec.cell))
    answer = explain.explain(asked, facts)
    cells = [(one.cell, compat.judge(one.cell, _under(asked, one), facts)) for one in shown]
    if options.json:
        told = [
            {"cell": to_json(cell), "level": verdict.level, **to_json(verdict)} for cell, verdict in cells
        ]
        said = {"schema": report.SCHEMA, **to_json(answer), "cells": told}
        _write(shown_json(json.dumps(said, indent=2) + "\n"))
    else:
        _write(shown_lines(explained.text_of(answer, cells)))
    return _EXPLAINED.get(answer.level, GOOD)


_EXPLAINED = {Level.IMPOSSIBLE: REFUSED, Level.UNKNOWN: MACHINE}
"""What is impossible is refused; what the facts do not know could not be found out."""


def _question_of_cell(text: str, specs: Sequence[Spec]) -> Question:
    """Whether a cell can exist: one of the matrix with what the matrix says of it, or any other."""
    from pipeline.compat import question  # noqa: PLC0415

    ids = [spec.cell.id for spec in specs]
    for spec in specs:
        if spec.cell.id == text:
            return question.of_cell(spec.cell, compat.conditions_of(spec))
    cell = question.cell_of(text)
    if cell is None:
        what, hint = matrix.no_match(text, ids)
        raise UsageError(what, hint=f"{hint}; or ask by axes: torch=2.13.0 cuda=cu130")
    return question.of_cell(cell, Conditions())


def _under(asked: Question, spec: Spec) -> Conditions:
    """What the matrix says of a cell, and beside it what is asked for."""
    ours, more = compat.conditions_of(spec), asked.conditions
    return replace(
        ours,
        gpus=more.gpus,
        archs=(*ours.archs, *more.archs),
        driver=more.driver,
        glibc=more.glibc or ours.glibc,
        gcc=more.gcc or ours.gcc,
        compat=more.compat or ours.compat,
    )


def _lock(options: argparse.Namespace) -> int:
    with _flow(options) as flow:
        for spec in _selected(flow, options):
            flow.lock(spec)
    return GOOD


def _build(options: argparse.Namespace) -> int:
    with _flow(options) as flow:
        statuses = flow.each(_selected(flow, options), flow.built)
    for status in statuses:
        if status.state is State.FAILED:
            _say(report.failure(status))
    _print(statuses, options)
    refused = any(status.state is State.FAILED for status in statuses)
    return REFUSED if refused else _seen(statuses, options)


def _verify(options: argparse.Namespace) -> int:
    with _flow(options) as flow:
        specs = _selected(flow, options)
        statuses = (flow.try_out(options.python),) if options.python else flow.each(specs, flow.verify)
    return _tell(statuses, options)


def _publish(options: argparse.Namespace) -> int:
    with _flow(options) as flow:
        statuses = flow.each(_selected(flow, options), flow.publish)
    return _tell(statuses, options)


def _repair(options: argparse.Namespace) -> int:
    """Mend what lies in the way of cells, or beside single images: words with a digest name such."""
    images = [_image(word) for word in options.select if "@" in word]
    options.select = [word for word in options.select if "@" not in word]
    with _flow(options) as flow:
        for image in images:
            flow.clean(image, _say)
        statuses = flow.each(_selected(flow, options), flow.repair) if options.select or not images else ()
    for status in statuses:
        if status.reasons and not status.pending:
            _say(report.failure(status))
    _print(statuses, options)
    left = any(reason.code.is_of_a_tag for status in statuses for reason in status.reasons)
    return REFUSED if left else _code(statuses, options, machine_only=True)


def _gate(options: argparse.Namespace) -> int:
    with _flow(options) as flow:
        decision = flow.judge(options.ref)
    if options.json:
        told = {"schema": report.SCHEMA, **to_json(decision), "allowed": decision.allowed}
        _write(shown_json(json.dumps(told) + "\n"))
    for reason in () if decision.allowed else (*decision.reasons, *decision.rejected):
        _say(reason)
    return GOOD if decision.allowed else REFUSED


def _report(options: argparse.Namespace) -> int:
    with _flow(options) as flow:
        statuses = flow.each(_selected(flow, options), flow.status)
    report.write(statuses, _state(options))
    if not options.json:
        _write(shown_lines(report.markdown(statuses)))
    else:
        _write(shown_json(report.as_json(statuses)))
    return _seen(statuses, options)


def _refresh(options: argparse.Namespace) -> int:
    from pipeline.report import refreshed  # noqa: PLC0415
    from pipeline.runner.facts import update  # noqa: PLC0415 - the other commands have no use for it

    with ProgressReporter() as narrator:
        done = update(narrator, options.matrix, path=options.facts, fresh=options.fresh)
    for problem in done.problems:
        _say(problem)
    if options.json:
        told = {**refreshed.as_json(done.summary), "problems": to_json(done.problems)}
        _write(shown_json(json.dumps(told, indent=2) + "\n"))
    elif not done.problems:
        _write(shown_lines(refreshed.markdown(done.summary)))
    return REFUSED if done.problems else GOOD


_PLAIN_WIDTH = 240
"""Columns of a table that goes to a file or a log, where nothing should be folded."""


# -- printing ---------------------------------------------------------------------------------------


def _say(text: object) -> None:
    """Tell somebody, in lines that no terminal and no log obeys, whoever wrote parts of them."""
    print(shown_lines(str(text)), file=sys.stderr)


def _seen(statuses: Sequence[Status], options: argparse.Namespace) -> int:
    """What kept us from finding out; returns the exit code of a command that judges no cell."""
    for status in statuses:
        if status.state is State.INCONCLUSIVE:
            _say(report.failure(status))
    return _code(statuses, options, machine_only=True)


def _write(text: str) -> None:
    """Data: to stdout, as it is."""
    print(text, end="")


def _tell(statuses: Sequence[Status], options: argparse.Namespace) -> int:
    """The failures, the table and the files of a run; returns its exit code."""
    for status in statuses:
        if status.state in {State.FAILED, State.INCONCLUSIVE} or (status.reasons and not status.pending):
            _say(report.failure(status))
    report.write(statuses, _state(options))
    _print(statuses, options)
    return _code(statuses, options)


def _print(statuses: Sequence[Status], options: argparse.Namespace) -> None:
    if options.json:
        _write(shown_json(report.as_json(statuses)))
        return
    from rich.console import Console  # noqa: PLC0415 - JSON does not need it

    Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH).print(report.table(statuses))


def _code(statuses: Sequence[Status], options: argparse.Namespace, *, machine_only: bool = False) -> int:
    """0 where every cell is where the command should bring it; a pending one counts if all are required."""
    if not machine_only:
        wanted = {State.PUBLISHED} if options.command == "publish" else {State.PROVEN, State.PUBLISHED}
        short = [status for status in statuses if status.state not in wanted]
        required = [status for status in short if options.require_all or not status.pending]
        if any(status.state is not State.INCONCLUSIVE for status in required):
            return REFUSED
    return MACHINE if any(status.state is State.INCONCLUSIVE for status in statuses) else GOOD


_WRITING = ("build", "verify", "publish", "repair")
"""The commands that write what is signed, or what counts by a signature."""

_REPORTING = ("verify", "publish", "report")
"""The commands that leave a report beside the matrix."""

# -- options ----------------------------------------------------------------------------------------


@contextmanager
def _flow(options: argparse.Namespace) -> Iterator[Runner]:
    """The flow for these options; nothing that it started outlives it."""
    from pipeline.runner import Runner, Services  # noqa: PLC0415 - a misspelt option should not wait for the imports

    loaded = matrix.load(options.matrix, options.repository)
    if options.command in _REPORTING:
        _state(options)  # what cannot be written at the end is not found out there
    with ProgressReporter() as narrator:
        flow = Runner(Services(_settings(options, loaded)), narrator)
        if options.command in _WRITING:
            flow.machine.refuse_unusable_key()
        try:
            yield flow
        finally:
            flow.end()


def _selected(flow: Runner, options: argparse.Namespace) -> tuple[Spec, ...]:
    """The cells that the command is about."""
    return matrix.select(flow.matrix, options.select)


def _settings(options: argparse.Namespace, loaded: Matrix) -> Settings:
    from pipeline.runner import Settings  # noqa: PLC0415

    return Settings(
        matrix=loaded,
        find_links=tuple(options.find_links),
        key_pem=options.key_pem,
        fresh=getattr(options, "fresh", False),
    )


def _state(options: argparse.Namespace) -> Path:
    """Where the report is written. Raises UsageError where a link in the checkout leads elsewhere."""
    return files.folder(options.matrix.parent.resolve(), ".state", "report")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline", description=(__doc__ or "").partition("\n\n")[2]
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    common = _common()

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text, parents=[common])
        added.set_defaults(run=run, require_all=False)
        if name not in {"gate", "explain", "certify", "refresh"}:
            added.add_argument("select", nargs="*", metavar="CELL", help="ids or globs; none = all")
        return added

    told = command("plan", _plan, "list the cells with their state and what is left to do")
    told.add_argument("--github", action="store_true", help="print a strategy.matrix for GitHub Actions")
    asked = command("explain", _explain, "say what goes together, and why, for a cell or for axis=value…")
    asked.add_argument("words", nargs="+", metavar="CELL|IMAGE|KEY=VALUE", help=_QUESTIONS)
    certified = command("certify", _certify, "judge by its files alone whether an image will run, and where")
    certified.add_argument("reference", nargs="?", metavar="IMAGE", help=_IMAGES)
    certified.add_argument("--root", type=Path, metavar="DIR", help="an unpacked root instead of an image")
    certified.add_argument("--markdown", action="store_true", help="print Markdown")
    certified.add_argument("--sarif", type=Path, metavar="FILE", help="write SARIF 2.1.0 too")
    command("lock", _lock, "resolve every dependency of a cell to one wheel, by hash")
    built = command("build", _build, "build images into staging")
    verified = command("verify", _verify, "prove images by real inference, building what is missing")
    published = command("publish", _publish, "give proven images their tags; never builds")
    command("repair", _repair, "take away what lies in the way: junk beside an image, tags it may not have")
    command("report", _report, "write Markdown, JUnit and JSON of what the registry says")
    read = command(
        "refresh", _refresh, "read what is new on the index into the facts; print what that changes"
    )
    read.add_argument("--facts", type=Path, default=FACTS, help="default: the facts in this checkout")
    judged = command("gate", _gate, "exit 0 if this digest may carry a tag, 1 with all reasons if not")
    judged.add_argument("ref", help="host/path@sha256:…")
    built.add_argument("--fresh", action="store_true", help="build again, without BuildKit's cache")
    verified.add_argument("--fresh", action="store_true", help="try again what is proven; the image stays")
    read.add_argument("--fresh", action="store_true", help="read every artefact again, also those known")
    for one in (verified, published):
        one.add_argument(
            "--require-all", action="store_true", help="a cell that is pending here is a failure"
        )
    verified.add_argument(
        "--python", type=Path, help="try this interpreter's environment instead of an image"
    )
    return parser


_QUESTIONS = "torch= cuda= python= vllm= platform= gpu= arch= driver= glibc= gcc= compat=; or a cell's id"


_IMAGES = "host/path@sha256:…, host/path:tag, engine:NAME, or the path of an archive or an OCI layout"


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--matrix", type=Path, default=Path("matrix.yaml"), help="default: matrix.yaml here")
    common.add_argument("--repository", help="host/path to publish to, instead of the matrix's")
    common.add_argument("--find-links", action="append", default=[], metavar="DIR", help="a folder of wheels")
    common.add_argument("--json", action="store_true", help="print JSON")
    return common


if __name__ == "__main__":
    sys.exit(main())
