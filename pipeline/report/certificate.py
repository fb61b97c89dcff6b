"""A certificate for people and for programs: a page for a terminal, Markdown, and JSON.

Paths, names and settings of an image may be a stranger's: they are made harmless before they are shown.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.formats.units import size
from pipeline.model import Level, Severity, to_json
from pipeline.report.text import counted, escaped, line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.model import Certificate, GpuReach, ImageFinding, ImageReach, LibraryReach, Verdict

_MAX_PATHS = 3
_MAX_NAMES = 3
_MAX_PACKAGES = 3
_MAX_ROWS = 12

_WORDS = {"native": "native", "PTX": "PTX", "partly": "partly", "none": "not on"}
_ORIGINS = {"parent": "the image that it was made from", "own": "its own layers"}
_MARKS: dict[ImageReach, str] = {"native": "native", "PTX": "PTX", "partly": "partly", "none": "-"}


def verdict(certificate: Certificate) -> str:
    """The verdict in a line."""
    counts = ", ".join(
        counted(len(findings), severity) for severity in Severity if (findings := certificate.at(severity))
    )
    outcome = "passed" if certificate.passed else "refused"
    against = ", held against no lock" if certificate.unlocked else ""
    return f"{outcome}{against}: {line(certificate.name)}" + (f" ({counts})" if counts else "")


# -- a page for a terminal --------------------------------------------------------------------------


def page(certificate: Certificate) -> str:
    """The certificate on a page: verdict, driver, GPUs, sizes, then the findings, the worst first.

    Notes are counted, not spelled out; Markdown and JSON have them in full.
    """
    parts = [[verdict(certificate), *_facts(certificate)]]
    parts += [
        [f"{severity}s:", *_entries(findings)]
        for severity in (Severity.ERROR, Severity.WARNING)
        if (findings := certificate.at(severity))
    ]
    if notes := certificate.at(Severity.NOTE):
        parts.append(["notes:", *_counted_by_reason(notes)])
    if certificate.waived:
        parts.append(["exceptions used:", *_waived(certificate)])
    if drivers := [*_drivers(certificate)]:
        parts.append(["drivers, where it has code:", *drivers])
    if rows := _rows(certificate):
        parts.append(["device code of what every model runs:", *_table(rows, _columns(certificate, rows))])
    parts.append([f"{certificate.tool}, {certificate.created}, facts of {certificate.facts}"])
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def _facts(certificate: Certificate) -> Iterator[str]:
    if certificate.digest and certificate.digest not in certificate.name:
        yield f"digest   {certificate.digest}"
    if certificate.driver:
        yield f"driver   {certificate.driver.version} or newer: {line(certificate.driver.reason)}"
    elif certificate.cuda:
        yield f"driver   not known for CUDA {line(certificate.cuda)}"
    else:
        yield "driver   none: nothing inside uses CUDA"
    for reach, label in _WORDS.items():
        if gpus := ("; " if reach == "partly" else ", ").join(_gpus(certificate, reach)):
            yield f"{label:8} {gpus}"
    yield f"size     {_sizes(certificate)}"


def _gpus(certificate: Certificate, reach: str) -> Iterator[str]:
    """The architectures that are reached so, each with names of GPUs."""
    by_arch: dict[str, list[str]] = {}
    lacking: dict[str, str] = {}
    for gpu in certificate.gpus:
        if gpu.reach == reach:
            by_arch.setdefault(gpu.arch, []).append(gpu.name.removeprefix("GeForce "))
            lacking[gpu.arch] = f": {line(gpu.lacks)}" if gpu.lacks else ""
    for arch, names in by_arch.items():
        ellipsis = " …" if len(names) > _MAX_NAMES else ""
        yield f"{arch} ({', '.join(names[:_MAX_NAMES])}{ellipsis}){lacking[arch]}"


def _drivers(certificate: Certificate) -> Iterator[str]:
    """The GPUs that have the same oldest driver and the same last branch, in a line."""
    by_drivers: dict[tuple[str, str], list[str]] = {}
    for gpu in certificate.gpus:
        if gpu.driver:
            by_drivers.setdefault((gpu.driver, gpu.last_driver), []).append(gpu.name.removeprefix("GeForce "))
    for (oldest, last), names in by_drivers.items():
        end = f", up to branch R{line(last)}" if last else ""
        yield f"  {line(oldest)} or newer{end}: {', '.join(map(line, names))}"


def _sizes(certificate: Certificate) -> str:
    sizes = certificate.sizes
    largest = ", ".join(
        f"{line(package.name)} {size(package.installed)}"
        for package in sizes.packages[:_MAX_PACKAGES]
        if package.installed
    )
    compressed = f"{size(sizes.compressed)} compressed, " if sizes.compressed else ""
    return f"{compressed}{size(sizes.installed)} installed" + (f": {largest}" if largest else "")


def _entries(findings: Sequence[ImageFinding]) -> Iterator[str]:
    """Each finding once, with the paths that it is about."""
    for (rule, text, why, hint, origin), paths in _paths_by_finding(findings).items():
        yield f"  {rule}: {line(text)}"
        if origin:
            yield f"    from {_ORIGINS[origin]}"
        if shown := [path for path in paths if path][:_MAX_PATHS]:
            rest = f" and {len(paths) - len(shown)} more" if len(paths) > len(shown) else ""
            yield f"    at {', '.join(map(line, shown))}{rest}"
        yield f"    why: {line(why)}"
        yield f"    hint: {line(hint)}"


def _paths_by_finding(findings: Sequence[ImageFinding]) -> dict[tuple[str, str, str, str, str], list[str]]:
    paths: dict[tuple[str, str, str, str, str], list[str]] = {}
    for finding in findings:
        key = (finding.rule, finding.text, finding.why, finding.hint, finding.origin)
        paths.setdefault(key, []).append(finding.path)
    return paths


def _counted_by_reason(notes: Sequence[ImageFinding]) -> Iterator[str]:
    """A line for each reason, with how often it is given."""
    counts: dict[tuple[str, str], int] = {}
    for note in notes:
        counts[note.rule, note.why] = counts.get((note.rule, note.why), 0) + 1
    for (rule, why), count in counts.items():
        yield f"  {rule}, {count} of these: {line(why)}"


def _waived(certificate: Certificate) -> Iterator[str]:
    for waived in certificate.waived:
        finding = waived.finding
        where = f" at {line(finding.path)}" if finding.path else ""
        yield f"  {finding.rule}{where}: {line(finding.text)}"
        yield f"    until {waived.expires}: {line(waived.reason)}"


# -- the table of device code -----------------------------------------------------------------------


def _rows(certificate: Certificate) -> tuple[LibraryReach, ...]:
    return tuple(row for row in certificate.libraries if row.is_core)[:_MAX_ROWS]


def _columns(certificate: Certificate, rows: Sequence[LibraryReach]) -> tuple[str, ...]:
    """The architectures that one of these libraries reaches."""
    return tuple(
        arch
        for arch in certificate.architectures
        if any(row.reach.get(arch, "none") != "none" for row in rows)
    )


def _table(rows: Sequence[LibraryReach], columns: Sequence[str]) -> Iterator[str]:
    cells = [("", *columns), *(_cells(row, columns) for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns) + 1)]
    for row in cells:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def _cells(row: LibraryReach, columns: Sequence[str]) -> tuple[str, ...]:
    """A library by the last two parts of its path, and a word for each architecture."""
    name = "/".join(line(row.path).split("/")[-2:])
    return (name, *(_MARKS[row.reach.get(arch, "none")] for arch in columns))


# -- for other readers ------------------------------------------------------------------------------


def markdown(certificate: Certificate) -> str:
    """The certificate as Markdown, with every finding and the whole table."""
    parts = [
        f"## {escaped(verdict(certificate))}\n",
        *(f"- {escaped(fact)}\n" for fact in _facts(certificate)),
    ]
    for severity in Severity:
        if findings := certificate.at(severity):
            parts += [f"\n### {severity.capitalize()}s\n\n", *_markdown_findings(findings)]
    if certificate.waived:
        parts += [
            "\n### Exceptions used\n\n",
            "| rule | path | what | until | reason |\n|---|---|---|---|---|\n",
        ]
        for waived in certificate.waived:
            finding = waived.finding
            parts.append(_row(finding.rule, finding.path, finding.text, waived.expires, waived.reason))
    if certificate.libraries:
        columns = _columns(certificate, certificate.libraries)
        parts += ["\n### Device code\n\n", _row("library", *columns), "|---" * (len(columns) + 1) + "|\n"]
        parts += [_row(library.path, *_cells(library, columns)[1:]) for library in certificate.libraries]
    if certificate.gpus:
        columns = ("GPU", "architecture", "code", "oldest driver", "last branch")
        parts += ["\n### GPUs\n\n", _row(*columns), "|---" * len(columns) + "|\n"]
        parts += [_row(*_of_gpu(gpu)) for gpu in certificate.gpus]
    if certificate.sizes.layers:
        parts += ["\n### Layers\n\n", "| layer | compressed | installed | made by |\n|---|---:|---:|---|\n"]
        for layer in certificate.sizes.layers:
            sizes = (size(layer.compressed), size(layer.installed))
            parts.append(_row(layer.digest[:19], *sizes, layer.made_by))
    parts.append(f"\n{certificate.tool}, {certificate.created}, facts of {certificate.facts}\n")
    return "".join(parts)


def _of_gpu(gpu: GpuReach) -> tuple[str, ...]:
    last = f"R{gpu.last_driver}" if gpu.last_driver else "-"
    code = f"{_MARKS[gpu.reach]}: {gpu.lacks}" if gpu.lacks else _MARKS[gpu.reach]
    return (gpu.name, gpu.arch, code, gpu.driver or "-", last)


def _markdown_findings(findings: Sequence[ImageFinding]) -> Iterator[str]:
    is_derived = any(finding.origin for finding in findings)
    columns = ("rule", "path", "what", "why", "hint", *(("from",) if is_derived else ()))
    yield _row(*columns) + "|---" * len(columns) + "|\n"
    for finding in findings:
        cells = (finding.rule, finding.path, finding.text, finding.why, finding.hint)
        yield _row(*cells, *((_ORIGINS.get(finding.origin, ""),) if is_derived else ()))


def _row(*cells: str) -> str:
    return f"| {' | '.join(map(escaped, cells))} |\n"


def as_json(certificate: Certificate) -> str:
    """The certificate as JSON, with the number of its schema; what a signature is made over."""
    return json.dumps(to_json(certificate), indent=2) + "\n"


def answer(verdict: Verdict) -> str:
    """The answer of a certificate to a question about a GPU and a driver: yes or no, and why."""
    words = {
        Level.OK: "yes",
        Level.WARN: "yes, with a warning",
        Level.UNKNOWN: "not known",
        Level.IMPOSSIBLE: "no",
    }
    lines = [words[verdict.level]]
    for finding in sorted(verdict.findings, key=lambda finding: -finding.level.rank):
        lines.append(f"  {finding.level:10} {finding.rule}: {line(finding.text)}")
        if finding.hint:
            lines.append(f"             hint: {line(finding.hint)}")
    return "\n".join(lines) + "\n"
