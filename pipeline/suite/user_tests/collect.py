"""Which tests of the user's a trial has: ``python -m pipeline.suite.user_tests.collect TRIAL NAMES``.

In a process of its own, because their files are imported: the second argument is a file that gets the names
as JSON, or under ``refused`` and ``hint`` why there are none.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.model import Trial
from pipeline.model.errors import UsageError
from pipeline.suite.user_tests.running import collect


def main(trial: str, names: str) -> None:
    """Write the names of the tests."""
    try:
        found: object = collect(Trial.model_validate_json(Path(trial).read_bytes()))
    except UsageError as error:
        found = {"refused": error.what, "hint": error.hint}
    Path(names).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
