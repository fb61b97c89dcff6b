"""Have every saboteur refused and a healthy image proven, and print a row for each as it ends.

Who caught it, after how many seconds, and in which words. It needs what `verify` needs; images and records
go into a repository of their own, and the images of saboteurs are removed again. Exit code 1 if one was
caught by nobody, or by another than is meant for it, or if the healthy image was refused.
"""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.saboteurs.files import FILES
from tests.saboteurs.proofs import FORGERIES
from tests.saboteurs.servers import SERVERS
from tests.saboteurs.trying import REPOSITORY, Healthy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.saboteurs.saboteur import Caught

HEALTHY = "healthy"


def main() -> int:
    """Print the table; 0 if all is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m tests.saboteurs", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"only these; `{HEALTHY}` is one")
    parser.add_argument("--times", type=int, default=1, help="how often the healthy image is proven")
    parser.add_argument("--repository", default=REPOSITORY, help=f"default: {REPOSITORY}")
    given = parser.parse_args()
    healthy = Healthy(given.repository)
    try:
        wrong = [name for name, is_right in tried(healthy, given.names, given.times) if not is_right]
    finally:
        healthy.release()
    sys.stdout.write(f"not as it should be: {', '.join(wrong) or 'none'}\n")
    return 1 if wrong else 0


def tried(healthy: Healthy, names: Sequence[str], times: int) -> Iterator[tuple[str, bool]]:
    """Each that is named, or all, and whether it was caught by whom it should be."""

    def chosen(every: Sequence[Any]) -> Iterator[Any]:
        return (one for one in every if not names or one.name in names)

    for _ in range(times if not names or HEALTHY in names else 0):
        yield HEALTHY, row(HEALTHY, healthy.proven, lambda caught: not caught.by)
    for saboteur in chosen(FILES):
        yield saboteur.name, row(saboteur.name, partial(healthy.certified, saboteur), saboteur.is_it)
    for forgery in chosen(FORGERIES):
        yield forgery.name, row(forgery.name, partial(healthy.claimed, forgery), forgery.is_it)
    for saboteur in chosen(SERVERS):
        yield saboteur.name, row(saboteur.name, partial(healthy.served, saboteur), saboteur.is_it)


def row(name: str, attempt: Callable[[], Caught], is_right: Callable[[Caught], bool]) -> bool:
    """Print what became of one, and return whether it is what should."""
    started = time.monotonic()
    caught = attempt()
    seconds = time.monotonic() - started
    sign = "ok" if is_right(caught) else "WRONG"
    words = " ".join(caught.words.split())
    sys.stdout.write(f"{sign:5}  {name:24}  {caught.by or 'nobody':10}  {seconds:6.1f} s  {words[:160]}\n")
    sys.stdout.flush()
    return is_right(caught)


if __name__ == "__main__":
    sys.exit(main())
