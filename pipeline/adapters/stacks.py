"""What processes of this machine do just now: the stacks of their Python, and what the kernel says of them.

The stacks are read by py-spy from outside of the process, which goes on meanwhile; it may be in a container.
Linux lets root do so, and another user for his own processes where ``kernel.yama.ptrace_scope`` is 0 (it is 1
on Ubuntu). What the kernel itself says of each thread is there for everyone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PROGRAM = "py-spy"
_MAX_THREADS = 200
_NOT_ALLOWED = "no stacks of Python: they are read by root, or where kernel.yama.ptrace_scope is 0"


def of_processes(pids: Iterable[int], seconds: float) -> str:
    """What each of these processes does, as text. Takes at most these seconds: then the rest is left out."""
    deadline = time.monotonic() + seconds
    return "\n".join(_of_process(pid, deadline - time.monotonic()) for pid in sorted(pids))


def _of_process(pid: int, seconds: float) -> str:
    kernel = "\n".join(_threads(pid)) or "it has ended"
    return f"process {pid}\n{_python(pid, seconds)}\nto the kernel:\n{kernel}\n"


def _python(pid: int, seconds: float) -> str:
    """The stacks of the Python in a process, or one line that says why there are none."""
    path = shutil.which(PROGRAM, path=sysconfig.get_path("scripts")) or shutil.which(PROGRAM)
    if path is None:
        return f"no stacks of Python: {PROGRAM} is not installed beside this program"
    if seconds <= 0:
        return "no stacks of Python: the seconds for it were over"
    command = [path, "dump", "--nonblocking", "--pid", str(pid)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no stacks of Python: {PROGRAM}: {error}"
    if done.returncode == 0:
        return done.stdout.decode(errors="replace").strip()
    said = done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"]
    return _NOT_ALLOWED if "Permission Denied" in said[0] else f"no stacks of Python: {PROGRAM}: {said[0]}"


def _threads(pid: int) -> Iterator[str]:
    """A line for each thread: its name, its state, and what it waits for where the kernel tells that."""
    with suppress(OSError):
        tasks = sorted(Path(f"/proc/{pid}/task").iterdir(), key=lambda task: int(task.name))
        for task in tasks[:_MAX_THREADS]:
            with suppress(OSError):
                yield f"    {task.name} {_thread(task)}"
        if len(tasks) > _MAX_THREADS:
            yield f"    and {len(tasks) - _MAX_THREADS} more"


def _thread(task: Path) -> str:
    said = dict(
        re.findall(r"^(Name|State):\s*(.*)$", (task / "status").read_text(errors="replace"), re.MULTILINE)
    )
    waits_for = ""
    with suppress(OSError):
        waits_for = (task / "wchan").read_text().strip("0\n")
    words = f"{said.get('Name', '')}: {said.get('State', '')}"
    return f"{words}, in {waits_for}" if waits_for else words
