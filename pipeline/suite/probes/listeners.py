"""Probe: the TCP sockets that accept connections here, each with its address, port and process.

Arguments: none. A socket's process is None where it cannot be found: that of another user, say.
"""

from __future__ import annotations

import ipaddress
import json
import sys
from contextlib import suppress
from pathlib import Path

LISTENING = "0A"
"""The state of such a socket (Linux, include/net/tcp_states.h)."""


def listeners(table: Path, owners: dict[str, int]) -> list[dict[str, object]]:
    """The rows of one of the kernel's tables that are in that state; none without the table."""
    rows: list[list[str]] = []
    with suppress(OSError):
        rows = [line.split() for line in table.read_text().splitlines()[1:]]
    listening = [row for row in rows if row[3] == LISTENING]
    return [at(row[1]) | {"pid": owners.get(row[9])} for row in listening]


def at(place: str) -> dict[str, object]:
    """Address and port: the kernel prints an address as words of four bytes in the machine's own order."""
    address, _, port = place.partition(":")
    words = [bytes.fromhex(address[start : start + 8]) for start in range(0, len(address), 8)]
    if sys.byteorder == "little":
        words = [word[::-1] for word in words]
    return {"address": str(ipaddress.ip_address(b"".join(words))), "port": int(port, 16)}


def owners() -> dict[str, int]:
    """The processes by the sockets that they hold."""
    found: dict[str, int] = {}
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            target = str(descriptor.readlink())
            if target.startswith("socket:["):
                found[target[len("socket:[") : -1]] = int(descriptor.parts[2])
    return found


def main() -> None:
    """Print the sockets of both protocols."""
    held = owners()
    found = [one for name in ("tcp", "tcp6") for one in listeners(Path("/proc/net") / name, held)]
    sys.stdout.write(f"\nprobe-result: {json.dumps(found)}\n")


main()
