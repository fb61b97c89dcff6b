"""Which tests of the user's a trial has: ``python -m pipeline.suite.user_tests.collect TRIAL NAMES``.

In a process of its own, because their files are imported. The second argument is a file that gets a
``Collected`` as JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pipeline.model import MAX_TEXT_LENGTH, Trial
from pipeline.model.errors import UsageError
from pipeline.suite.user_tests.collected import Collected
from pipeline.suite.user_tests.running import collect


def main(trial: str, names: str) -> None:
    """Write the names of the tests, or why there are none."""
    try:
        found = Collected(names=collect(Trial.model_validate_json(Path(trial).read_bytes())))
    except UsageError as error:
        found = Collected(refused=error.what[:MAX_TEXT_LENGTH], hint=error.hint[:MAX_TEXT_LENGTH])
    Path(names).write_text(found.model_dump_json())


if __name__ == "__main__":
    main(*sys.argv[1:])
