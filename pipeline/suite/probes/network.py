"""Probe: what the programs that share its network ask of it, until SIGTERM ends the probe.

It is the network's only server of names, which knows no name, and counts what has no way out. It prints
"ready" once it answers. The names of this machine itself are not counted: they are no other's.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

WHERE = ("127.0.0.1", 53)
COUNTERS = (("/proc/net/snmp", "OutNoRoutes"), ("/proc/net/snmp6", "Ip6OutNoRoutes"))
"""Where the kernel counts packets and connections without a route, of IPv4 and of IPv6."""
NAME_ERROR = b"\x81\x83"
"""The flags of an answer that there is no such name (RFC 1035, 4.1.1)."""
HEADER, QUESTION_END = 12, 5
"""Bytes of a message before its question, and of the question behind the name."""


def refused() -> int:
    """How many attempts had no way out so far."""
    return sum(counted(Path(file), name) for file, name in COUNTERS)


def counted(file: Path, name: str) -> int:
    """One counter of the kernel; 0 where it has none of that name."""
    lines = file.read_text().splitlines() if file.exists() else []
    rows = [line.split() for line in lines]
    for names, values in zip(rows, rows[1:], strict=False):  # noqa: RUF007 - Python 3.9 has no pairwise
        if name in names and names[0] == values[0]:
            return int(values[names.index(name)])
    return next((int(row[1]) for row in rows if row[0] == name), 0)


def name_in(question: bytes) -> tuple[str, int]:
    """The name that a message asks for, and where the question ends."""
    labels, at = [], HEADER
    while question[at]:
        labels.append(question[at + 1 : at + 1 + question[at]].decode("ascii", "replace"))
        at += question[at] + 1
    return ".".join(labels), at + QUESTION_END


def main() -> None:
    """Answer and count until the end; then print what was seen."""
    names: list[str] = []
    before, own = refused(), {socket.gethostname(), "localhost"}

    def end(*_: Any) -> None:
        asked = {"names": sorted(set(names) - own), "refused": refused() - before}
        sys.stdout.write(f"\nprobe-result: {json.dumps(asked)}\n")
        sys.stdout.flush()
        sys.exit(0)

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(WHERE)
        signal.signal(signal.SIGTERM, end)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            question, client = server.recvfrom(4096)
            with suppress(IndexError):
                name, stop = name_in(question)
                names.append(name)
                server.sendto(
                    question[:2] + NAME_ERROR + question[4:6] + bytes(6) + question[12:stop], client
                )


main()
