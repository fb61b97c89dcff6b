"""What processes of one machine share is leased: its cores, a GPU. A lease ends with its owner.

It is a number of locked files (flock) in a folder that every machine has for all of its users. The kernel
unlocks what a process held when it is gone, so nothing has to be cleaned up; and it knows who holds a lock,
so nothing is written. Who sees another folder sees other leases: a container has one of its own.
"""

from __future__ import annotations

import fcntl
import math
import os
import re
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.adapters import environ, files
from pipeline.model import PROJECT
from pipeline.model.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

FOLDERS = (Path("/run/lock"), Path("/tmp"))  # noqa: S108 - it has to be one that every user of the machine knows
"""Where the files lie: in the first of these where every user may make some, and remove none of others."""
(VARIABLE,) = environ.LEASES
"""Names another folder: who is told of it, and who is not, do not wait for each other."""
_FOR_ALL = stat.S_ISVTX | stat.S_IWOTH
_QUEUE = "queue"
_POLL_SECONDS = 0.2
_FLOCK = r"^\d+: FLOCK +ADVISORY +WRITE (\d+) [0-9a-f]+:[0-9a-f]+:(\d+) "
"""A line of /proc/locks: the process, and the inode of the file."""


@dataclass(frozen=True)
class Resource:
    """Something to lease: the name of its files, what people call it, and into how many parts it divides."""

    name: str
    what: str
    parts: int = 1


CORES = Resource("cores", "the cores of this machine")


def of_gpu(uuid: str) -> Resource:
    """The memory of the GPU with this UUID, as the driver writes it: to be shared by twentieths."""
    return Resource(uuid, f"the GPU {uuid}", parts=20)


def start_on_gpu(uuid: str) -> Resource:
    """A server's start on this GPU: it measures how much memory is free, so that one starts at a time."""
    return Resource(f"{uuid}.start", f"the start of a server on the GPU {uuid}")


@contextmanager
def lease(
    resource: Resource,
    share: float = 1.0,
    *,
    waits: Callable[[str], None] = lambda _: None,
    seconds: float = math.inf,
) -> Iterator[None]:
    """Have this share of a resource until the block ends, rounded up to whole parts of it.

    Who comes first gets it first, so that many small shares keep no large one waiting. ``waits`` is told
    what is waited for, and who has it, whenever that changes. Raises MachineError where it was not to be had
    within ``seconds``, or where this machine has no folder for locks.
    """
    count = max(1, math.ceil(round(share * resource.parts, 6)))
    queue = _Queue(resource, waits, time.monotonic() + seconds)
    with ExitStack() as stack:
        with queue.locked((_QUEUE,), 1):
            stack.enter_context(queue.locked(queue.parts, count))
        yield


class _Queue:
    """One who waits for a resource."""

    def __init__(self, resource: Resource, waits: Callable[[str], None], deadline: float) -> None:
        self._resource, self._waits, self._deadline = resource, waits, deadline
        self.parts = tuple(f"{number:02}" for number in range(resource.parts))
        self._told = ""

    @contextmanager
    def locked(self, names: tuple[str, ...], count: int) -> Iterator[None]:
        """So many of these files are locked until the block ends."""
        while (held := _lock_some([self._path(name) for name in names], count)) is None:
            self._tell()
            time.sleep(_POLL_SECONDS)
        with held:
            yield

    def _tell(self) -> None:
        """Say who has it: of those that wait before us, where nobody has any part of it just now."""
        holders = _holders(map(self._path, self.parts)) or _holders([self._path(_QUEUE)])
        text = f"{self._resource.what}; held by {' and '.join(holders) or 'another process'}"
        if time.monotonic() > self._deadline:
            raise MachineError(f"waited too long for {text}", hint="see what it does, and end it if it hangs")
        if text != self._told and (holders or not self._told):  # one that is gone just now is no news
            self._told = text
            self._waits(f"waits for {text}")

    def _path(self, name: str) -> Path:
        return _folder() / f"{PROJECT}-{self._resource.name}.{name}"


def _folder() -> Path:
    own = os.environ.get(VARIABLE)
    folders = (Path(own),) if own else FOLDERS
    for folder in folders:
        with suppress(OSError):
            if folder.is_dir() and folder.stat().st_mode & _FOR_ALL == _FOR_ALL:
                return folder
    names = " nor ".join(map(str, folders))
    what = f"this machine has no folder for locks: neither {names} is for every user"
    raise MachineError(what, hint=f"mkdir -p {folders[0]} && chmod 1777 {folders[0]}")


def _lock_some(paths: list[Path], count: int) -> ExitStack | None:
    """So many of these files are locked until the stack is closed; None where fewer are free just now."""
    taken = 0
    with ExitStack() as held:
        for path in paths:
            if file := _locked(path):
                held.enter_context(file)
                taken += 1
            if taken == count:
                return held.pop_all()
    return None


def _opened(path: Path) -> BinaryIO:
    """The file, made where it is absent; to be read by every user, which is enough to lock it."""
    while True:
        try:
            return files.opened(path, links=False)
        except FileNotFoundError:
            _make(path)
        except OSError as error:
            what = f"{path} cannot be locked: it {error.strerror}"
            raise MachineError(what, hint="see who put it there, and remove it") from error


def _make(path: Path) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except FileExistsError:  # another process was faster
        return
    except OSError as error:
        what = f"{path} cannot be made: {error.strerror}"
        raise MachineError(what, hint="see whether its disk is full or read-only") from error
    try:
        os.fchmod(handle, 0o644)  # whatever the umask is
    finally:
        os.close(handle)


def _locked(path: Path) -> BinaryIO | None:
    """The file, locked until it is closed; None where another has it, or it was removed just now."""
    file = _opened(path)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(file.fileno()).st_ino == path.stat().st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        file.close()
        what = f"{path} cannot be locked: {error.strerror}"
        raise MachineError(what, hint="see which file system its folder is on") from error
    file.close()
    return None


def _holders(paths: Iterable[Path]) -> list[str]:
    """Who has locked these files, by the kernel's own list; a process of another namespace is not seen."""
    inodes: set[str] = set()
    for path in paths:
        with suppress(OSError):
            inodes.add(str(path.stat().st_ino))
    pids = set[str]()
    with suppress(OSError):
        for pid, inode in re.findall(_FLOCK, Path("/proc/locks").read_text(), re.MULTILINE):
            pids |= {pid} if inode in inodes else set()
    return [_name(pid) for pid in sorted(pids, key=int) if int(pid) not in {0, os.getpid()}]


def _name(pid: str) -> str:
    with suppress(OSError):
        return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text(errors='replace').strip()})"
    return f"process {pid}"
