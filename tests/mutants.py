"""Which changes to the code no test noticed, held against those for which somebody wrote down why.

``python -m tests.mutants`` reads what `mutmut run` left in ``mutants/``. It fails for a change that survived
and is not in ``survivors.toml``, and for one that is there and does not survive any more. A survivor is known
by its function and by its text before and after, so that the list stays true when lines move.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

LISTED = Path(__file__).with_name("survivors.toml")
SURVIVED = ("survived", "no tests", "suspicious", "skipped")
NOTICED = ("killed", "timeout", "segfault", "caught by type check")


@dataclass(frozen=True, order=True)
class Change:
    """One change: the lines that it replaces, and their function (``pipeline.stages.plan:status``)."""

    function: str
    was: str
    now: str

    def __str__(self) -> str:
        quoted = (f"{name} = '''{getattr(self, name)}'''" for name in ("function", "was", "now"))
        return "\n".join(("[[survivor]]", *quoted, 'why = ""'))


def main() -> int:
    """Print what has no reason, and what has one in vain; returns the exit code."""
    found, listed = survivors(), reasons()
    new, stale = sorted(found - listed.keys()), sorted(listed.keys() - found)
    for text, changes in (
        ("No test notices these changes. Write one, or why none can:", new),
        ("These do not survive any more, or their code is gone. Remove them:", stale),
    ):
        if changes:
            print(text, *changes, sep="\n\n")  # noqa: T201 - what this program is for
    return 1 if new or stale else 0


def reasons() -> dict[Change, str]:
    """The survivors that are listed, each with its reason."""
    listed = tomllib.loads(LISTED.read_text(encoding="utf-8")).get("survivor", [])
    return {Change(one["function"], one["was"], one["now"]): one["why"] for one in listed}


def survivors() -> set[Change]:
    """The changes that mutmut made and no test noticed."""
    lines = (
        line.rpartition(": ") for line in _mutmut("results", "--all", "true").splitlines() if line.strip()
    )
    states = {name.strip(): state for name, _, state in lines}
    if not states or (odd := set(states.values()) - {*SURVIVED, *NOTICED}):
        sys.exit(f"mutmut has not ended its work: {', '.join(sorted(odd)) if states else 'there is none'}")
    with ThreadPoolExecutor() as pool:
        return set(pool.map(change, (name for name, state in states.items() if state in SURVIVED)))


def change(name: str) -> Change:
    """What mutmut changed under this name, such as ``pipeline.stages.plan.x_status__mutmut_7``."""
    lines = _mutmut("show", name).splitlines()
    body = [line for line in lines if not line.startswith(("---", "+++", "#"))]
    was, now = ("\n".join(line[1:].strip() for line in body if line.startswith(sign)) for sign in "-+")
    module, _, mangled = name.rpartition("__mutmut_")[0].rpartition(".")
    function = mangled.removeprefix("x").replace("ǁ", ".").strip("._") if "ǁ" in mangled else mangled[2:]
    return Change(f"{module}:{function}", was, now)


def _mutmut(*arguments: str) -> str:
    program = Path(sys.executable).with_name("mutmut")
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
