"""Probe: what confines the process that runs it: its user, its networks, and where it may write.

Arguments: the places that are declared to be writable. Prints the numbers of the user and the group, whether
the user has an entry in passwd, the network interfaces, whether a file can be made in the root and in each
of the folders that hold programs, and in which of the declared places one can not.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import tempfile
from pathlib import Path

PROGRAMS = ("/", "/usr", "/opt", "/etc", sys.prefix)


def can_write(folder: str) -> bool:
    """Whether a file can be made there; it is removed again."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def has_entry(uid: int) -> bool:
    """Whether passwd knows the user."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def main() -> None:
    """Look, and print what was found."""
    found = {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "has_entry": has_entry(os.getuid()),
        "interfaces": sorted(one.name for one in Path("/sys/class/net").iterdir()),
        "written": [folder for folder in PROGRAMS if Path(folder).is_dir() and can_write(folder)],
        "not_writable": [folder for folder in sys.argv[1:] if not can_write(folder)],
    }
    sys.stdout.write(f"\nprobe-result: {json.dumps(found)}\n")


main()
