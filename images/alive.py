#!/opt/venv/bin/python -IS
"""The health check: whether vLLM's engine makes progress whenever it has work.

``/health`` answers 200 while the engine hangs, because another process answers it. This looks at what the
engine itself reports, by ``/metrics``, and remembers it until the next call. An engine without work is asked
for one token: what it is given while it hangs is in none of its reports.

It prints one line that says why, and exits with 0 if the server is well, 1 if it should be started again.
It needs the standard library alone, and reads what the server's user may read.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import socket
import ssl
import stat
import sys
import time
import urllib.parse
from contextlib import suppress
from pathlib import Path

SECONDS = 120.0
"""How long an engine may have work and report nothing new.

The longest step is a prefill of --max-num-batched-tokens, or one for which kernels are compiled first. vLLM
itself gives a step up after VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS, 300 (vllm/envs.py), where it notices.
"""
WAIT = 5.0
"""How long one call may wait for answers, in seconds: a server under load answers late."""
PORT = 8000
FOLDERS = ("/dev/shm", "/tmp")  # noqa: S108 - what lies there is read only if it is our own
"""Where a container can write although its root is read-only."""

WORK = ("vllm:num_requests_running", "vllm:num_requests_waiting")
REPORTS = (
    *WORK,
    "vllm:iteration_tokens_total_count",
    "vllm:iteration_tokens_total_created",
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    "vllm:kv_cache_usage_perc",
    "vllm:prefix_cache_queries_total",
    "vllm:num_preemptions_total",
)
"""What a report of the engine moves, and nothing else does.

No single one is enough: a step that reads one part of a long prompt is not counted as an iteration
(vllm/v1/engine/async_llm.py), but it takes blocks of the cache.
"""
SLEEP = "vllm:engine_sleep_state"
SAMPLE = re.compile(r"^(vllm:\w+)\{([^}]*)\} (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Engines = dict[str, tuple[float, str]]
"""Engines by name: how many requests each has, and all that it last reported."""
Still = dict[str, tuple[str, float]]
"""What has not moved: the report of each engine, and when it was first seen."""
SERVER, QUESTION = "server", "question"
"""Two that stand still as an engine does: a server that does not answer, and a question without an answer."""


class UnhealthyError(Exception):
    """The server should be started again."""


# -- what the engine reports ------------------------------------------------------------------------


def engines_of(metrics: str) -> Engines:
    """The engines in these metrics, without those that were put to sleep: they may leave work undone."""
    samples = [(name, dict(LABEL.findall(labels)), value) for name, labels, value in SAMPLE.findall(metrics)]
    asleep = {
        labels.get("engine")
        for name, labels, value in samples
        if name == SLEEP and labels.get("sleep_state") == "awake" and float(value) == 0
    }
    engines: Engines = {}
    for name, labels, value in samples:
        if name in REPORTS and labels.get("engine") not in asleep:
            engine = f"engine {labels.get('engine', 0)}"
            requests, report = engines.get(engine, (0.0, ""))
            more = float(value) if name in WORK else 0.0
            engines[engine] = (requests + more, f"{report} {name.partition(':')[2]}={value}")
    return engines


def model_of(metrics: str) -> str:
    """The name of the model that is served."""
    names = (dict(LABEL.findall(labels)).get("model_name") for _, labels, _ in SAMPLE.findall(metrics))
    return next(filter(None, names), "")


# -- since when it has reported that ----------------------------------------------------------------


def standing_still(engines: Engines, before: Still, now: float) -> Still:
    """The engines with work, each with its report and the first look that saw it.

    Another report begins anew. So does a look that is yet to come: the machine was started since.
    """
    still: Still = {}
    for engine, (requests, report) in engines.items():
        seen, since = before.get(engine, ("", now))
        if requests:
            still[engine] = (report, since if seen == report and since <= now else now)
    return still


def recall(name: str) -> Still:
    """What the last call remembered; nothing if there was none, or if the file is another user's."""
    for folder in FOLDERS:
        with suppress(OSError, ValueError, TypeError, AttributeError):
            file = os.open(Path(folder, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(file, encoding="utf-8") as text:
                found = os.fstat(file)
                if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
                    kept = json.load(text).items()
                    return {engine: (str(report), float(since)) for engine, (report, since) in kept}
    return {}


def remember(name: str, still: Still) -> None:
    """Keep it for the next call, in one step. Raises UnhealthyError where nothing can be written."""
    for folder in FOLDERS:
        path = Path(folder, name)
        fresh = Path(folder, f"{name}.{os.getpid()}")
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            with os.fdopen(file, "w", encoding="utf-8") as text:
                json.dump(still, text)
            fresh.replace(path)
        except OSError:
            for left in (fresh, path):  # what is left there would be read before what is written elsewhere
                with suppress(OSError):
                    left.unlink()
        else:
            return
    places = " or ".join(FOLDERS)
    raise UnhealthyError(f"nothing can be remembered until the next call: {places} has to be writable")


# -- asking the server ------------------------------------------------------------------------------


class Asker:
    """Asks the server at an address, within a number of seconds for all questions together."""

    def __init__(self, seconds: float) -> None:
        self._until = time.monotonic() + seconds

    def ask(self, url: str, path: str, body: str | None = None) -> tuple[int, str]:
        """Status and text of an answer. Raises OSError or HTTPException where there is none in time."""
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        seconds = max(0.1, self._until - time.monotonic())
        connection = http.client.HTTPConnection(host, port, timeout=seconds)
        if parts.scheme == "https":  # it is the server beside us: there is nobody to be told apart
            context = ssl._create_unverified_context()  # noqa: S323, SLF001 - ssl has no other name for it
            connection = http.client.HTTPSConnection(host, port, timeout=seconds, context=context)
        headers = {"content-type": "application/json"}
        if key := os.environ.get("VLLM_API_KEY"):
            headers["authorization"] = f"Bearer {key}"
        try:
            connection.request("POST" if body else "GET", path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()

    def find(self, urls: list[str]) -> tuple[str, str | None]:
        """The first of these addresses that has metrics, and these; None for them if none answers.

        Raises UnhealthyError if nothing is listening.
        """
        silent = ""
        for url in urls:
            try:
                status, metrics = self.ask(url, "/metrics")
            except ConnectionRefusedError:
                continue
            except (OSError, http.client.HTTPException):
                silent = silent or url
                continue
            if status == http.client.OK:
                return url, metrics
        if not silent:
            raise UnhealthyError(f"no server is listening{' at ' if urls else ''}{', '.join(urls)}")
        return silent, None

    def refusal(self, url: str, model: str) -> str | None:
        """Ask for one token; nothing for an answer, why it is refused, or None if there is no answer."""
        question = json.dumps({"model": model, "prompt": "1", "max_tokens": 1})
        try:
            status, _ = self.ask(url, "/v1/completions", question)
        except (OSError, http.client.HTTPException):
            return None
        return "" if status == http.client.OK else f"/v1/completions answers {status}"


# -- finding the server -----------------------------------------------------------------------------


def listening() -> list[str]:
    """Where processes of this container listen, most likely first: ``http://127.0.0.1:8000``.

    Other containers may share the network: a socket counts only if a process that is seen from here has it.
    """
    sockets: dict[str, str] = {}
    for table in ("tcp", "tcp6"):
        with suppress(OSError):
            rows = [line.split() for line in Path("/proc/net", table).read_text("ascii").splitlines()[1:]]
            # proc(5): local_address is field 1, st is 3 (0A: it listens), inode is 9
            sockets |= {f"socket:[{row[9]}]": address_of(row[1]) for row in rows if row[3] == "0A"}
    found: dict[str, None] = {}
    processes = (int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit())
    for process in sorted(processes):
        with suppress(OSError):  # it has ended, or is another user's
            for opened in Path(f"/proc/{process}/fd").iterdir():
                with suppress(OSError, KeyError):
                    found[sockets[str(opened.readlink())]] = None
    likely = sorted(found, key=lambda address: not address.endswith(f":{PORT}"))
    return [f"{scheme}://{address}" for scheme in ("http", "https") for address in likely]


def address_of(field: str) -> str:
    """``0100007F:1F90`` as ``127.0.0.1:8000``. What listens on every address does so on loopback, too.

    The kernel writes addresses as words of four bytes in the machine's order (net/ipv4/tcp_ipv4.c).
    """
    digits, port = field.split(":")
    words = [bytes.fromhex(digits[at : at + 8]) for at in range(0, len(digits), 8)]
    raw = b"".join(word[::-1] if sys.byteorder == "little" else word for word in words)
    if len(words) == 1:
        return f"{socket.inet_ntop(socket.AF_INET, raw) if any(raw) else '127.0.0.1'}:{int(port, 16)}"
    return f"[{socket.inet_ntop(socket.AF_INET6, raw) if any(raw) else '::1'}]:{int(port, 16)}"


# -- the verdict ------------------------------------------------------------------------------------


def look(urls: list[str], seconds: float, wait: float, *, asks: bool) -> str:
    """Look once; what there is to say of a server that is well. Raises UnhealthyError."""
    asker = Asker(wait)
    url, metrics = asker.find(urls)
    name = f"alive-{os.geteuid()}-{re.sub(r'[^0-9a-z]+', '-', url)}"
    engines, remark = seen_of(asker, url, metrics, asks=asks)
    now = time.monotonic()
    still = standing_still(engines, recall(name), now)
    remember(name, still)
    for engine, (report, since) in still.items():
        if now - since > seconds:
            raise UnhealthyError(f"{words(engine)} for {now - since:.0f} s, allowed are {seconds:g}:{report}")
    return remark or "; ".join(
        f"{words(engine)} for {now - since:.0f} s" for engine, (_, since) in still.items()
    )


def seen_of(asker: Asker, url: str, metrics: str | None, *, asks: bool) -> tuple[Engines, str]:
    """What is at work, and what there is to say where nothing is. Raises UnhealthyError if it is dead."""
    if metrics is None:
        return {SERVER: (1.0, "")}, ""
    with suppress(OSError, http.client.HTTPException):
        status, _ = asker.ask(url, "/health")
        if status != http.client.OK:
            raise UnhealthyError(f"/health answers {status}")
    engines = engines_of(metrics)
    if not engines:
        return {}, "no engine reports anything: it sleeps, or the server was told to keep no statistics"
    if any(requests for requests, _ in engines.values()):
        return engines, ""
    if not asks:
        return engines, "no work"
    refusal = asker.refusal(url, model_of(metrics))
    if refusal is None:
        return {QUESTION: (1.0, "".join(report for _, report in engines.values()))}, ""
    return engines, f"no work, and cannot be asked: {refusal}" if refusal else "no work, and a token if asked"


def words(engine: str) -> str:
    """What stands still, for a reader."""
    special = {SERVER: "the server has not answered", QUESTION: "one token was asked for, and has not come"}
    return special.get(engine, f"{engine} has work and has reported nothing new")


def main() -> None:
    """Print one line, and exit with its code."""
    setting = os.environ.get
    parser = argparse.ArgumentParser(description="Whether vLLM's engine makes progress whenever it has work.")
    parser.add_argument(
        "--seconds",
        type=float,
        default=setting("ALIVE_SECONDS", SECONDS),
        help="how long it may have work and report nothing new (ALIVE_SECONDS; %(default)s)",
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=setting("ALIVE_WAIT", WAIT),
        help="how long to wait for answers, in seconds (ALIVE_WAIT; %(default)s)",
    )
    parser.add_argument(
        "--url", default=setting("ALIVE_URL"), help="the server (ALIVE_URL; what listens in this container)"
    )
    parser.add_argument(
        "--ask",
        action=argparse.BooleanOptionalAction,
        default=setting("ALIVE_ASK", "1") != "0",
        help="ask an engine without work for one token (ALIVE_ASK=0: do not)",
    )
    given = parser.parse_args()
    try:
        said = look([given.url] if given.url else listening(), given.seconds, given.wait, asks=given.ask)
    except UnhealthyError as error:
        sys.stdout.write(f"unhealthy: {error}\n")
        sys.exit(1)
    sys.stdout.write(f"healthy: {said}\n")


if __name__ == "__main__":
    main()
