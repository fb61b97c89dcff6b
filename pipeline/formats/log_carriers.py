"""A line of a log without what carries it: colours, times, pods, streams, processes, levels.

A message is written by one program and carried by others: vLLM's logger, Ray, the container engine,
Kubernetes, journald, a CI runner. Each puts something before it, and they are stacked. All of it is taken
off here, once.
"""

from __future__ import annotations

import json
import re

MAX_JSON_LENGTH = 1 << 16
"""Characters of a line that is read as JSON; of a longer one the escapes alone are undone."""

_MAX_CARRIERS = 12
_MIN_WIDTH, _MAX_WIDTH = 60, 400
"""Of a terminal, in columns."""
_MIN_FILLED = 3
"""Lines that have to end in a terminal's last column before it is taken for one."""
_COLOURS = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|\[(?:\d{1,3};)*\d{1,3}m"
)
"""A terminal's commands; where a copy has lost the escape character, colours alone."""

_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|\s?[+-]\d\d:?\d\d)?"
_CARRIER = re.compile(
    "|".join(
        (
            rf"\ufeff?{_TIME}[ \t]?",  # docker logs --timestamps, GitHub Actions
            r"(?:stdout|stderr) [FP] ",  # Kubernetes' CRI
            r"\[pod/[^\]\n]{1,200}\] ?",  # kubectl logs --prefix
            r"[a-z0-9][\w.-]{0,62} {1,40}\| ",  # docker compose
            (
                r"[a-z0-9][a-z0-9.-]{0,100}-[a-z0-9]{4,10} [a-z0-9][a-z0-9-]{0,62} "
                r"(?=\d{4}-|[(\[]|(?:INFO|ERROR|WARNING|DEBUG)\b|Traceback|[A-Z]\w*(?:Error|Exception)\b)"
            ),  # stern
            r"[^\t\n]{1,100}\t[^\t\n]{1,100}\t(?=\ufeff?\d{4}-)",  # gh run view --log
            r"##\[\w{1,20}\]",  # GitHub Actions, Azure Pipelines
            r"#\d{1,4} \d{1,6}\.\d{1,4} ",  # BuildKit
            r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S{1,100} [\w./@-]{1,60}(?:\[\d{1,10}\])?: ",  # journald
            r"\[ *\d{1,9}\.\d{6}\] |\[[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] ",  # dmesg
            r"[IWEF]\d{4} \d\d:\d\d:\d\d\.\d{1,6} +\d{1,10} [\w./-]{1,80}:\d{1,6}\] ",  # klog
            r"\([A-Za-z_][\w.\[\] -]{0,60} pid=\d{1,10}(?:, ip=[\w.:]{1,60})?\) ?",  # vLLM's processes, Ray
            (
                r"(?:DEBUG|INFO|WARNING|ERROR|CRITICAL) (?:\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})? )?"
                r"(?:\[[\w./ ]{1,80}(?::\d{1,6})?\]|[\w./]{1,80}:\d{1,6}\]) ?"
            ),  # vLLM's logger
            r"\[rank\d{1,5}\]: ?",  # torchrun
        )
    )
)
_REPEATED = re.compile(r" \[repeated \d{1,9}x across cluster\][^\n]{0,200}$")
_FIELDS = ("log", "message", "msg", "MESSAGE", "textPayload", "body", "text")
"""Where a log in JSON has the message: Docker, journald, Google Cloud, OpenTelemetry."""


def text_of(line: str) -> str:
    """The message in one line; it has several lines where a carrier put them into one."""
    text = _COLOURS.sub("", line).rstrip()
    for _ in range(_MAX_CARRIERS):
        if text.startswith("{"):
            inner = _in_json(text)
        else:
            found = _CARRIER.match(text)
            inner = text[found.end() :] if found and found.end() else text
        if inner == text:
            break
        text = _COLOURS.sub("", inner)
    return _REPEATED.sub("", text) if "repeated" in text else text


def _in_json(text: str) -> str:
    """The message of a line in JSON; the line itself where it is none, or has none."""
    if len(text) > MAX_JSON_LENGTH or not text.endswith("}"):
        return _unescaped(text) if text.startswith('{"') else text
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return text
    fields = document if isinstance(document, dict) else {}
    message = next((fields[name] for name in _FIELDS if isinstance(fields.get(name), str)), text)
    return str(message).rstrip()


def _unescaped(text: str) -> str:
    """A part of a line in JSON, as far as its lines and quotes are concerned."""
    return text.replace("\\n", "\n").replace('\\"', '"').lstrip("{")


def unwrapped(text: str) -> tuple[str, tuple[int, ...]]:
    """The text without the line breaks that a terminal put in where a line reached its last column.

    With it goes the number that each of its lines had before. A terminal's width shows: no line is wider, and
    several are exactly that wide. One that ends in a blank was filled up, and not broken; and what begins as
    the line before it, or with what carries a line, is a line of its own.
    """
    lines = text.split("\n")
    width = max(map(len, lines), default=0)
    filled = sum(len(line) == width for line in lines)
    is_wrapped = _MIN_WIDTH <= width <= _MAX_WIDTH and filled >= _MIN_FILLED
    joined: list[str] = []
    numbers: list[int] = []
    before = ""
    for number, line in enumerate(lines, start=1):
        goes_on = is_wrapped and len(before) == width and not before.endswith(" ")
        if goes_on and line[:2] != before[:2] and not _CARRIER.match(line):
            joined[-1] += line
        else:
            joined.append(line)
            numbers.append(number)
        before = line
    return "\n".join(joined), tuple(numbers)
